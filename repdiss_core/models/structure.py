"""Where the residual stream of a network lies, read from the network itself and not from a table. Imports torch.

The blocks are the longest `nn.ModuleList` of modules of one class that a forward pass runs one after the other, and
whose output (a tensor, or the first entry of a tuple) has the shape of its input, (b, t, d). Experts fall out, since
they see tokens without their sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from repdiss_core.base.errors import UserError, one_line
from repdiss_core.models.checks import hidden_states

STATE = "hidden_states"  # how transformers calls a block's input where it is not the first positional one
PROBE_TOKENS = (2, 5)  # sequences, tokens


@dataclass(frozen=True, eq=False)
class Structure:
    """The parts of a network that the adapter hooks.

    Args:
        blocks: in the order of the forward pass.
        path: of the list, as in `network.get_submodule`.
        embedding: of tokens.
        head: the unembedding, None where the network has none.
        d_model: width of the stream, which may differ from the embedding's.
        tuple_sizes: of each block, 0 where it gives a tensor, else the size of the tuple that begins with the stream.
    """

    blocks: nn.ModuleList
    path: str
    embedding: nn.Embedding
    head: nn.Module | None
    d_model: int
    tuple_sizes: tuple[int, ...]


class _Call(NamedTuple):
    """One call of a module: its place in the list, the shapes of the stream before and after,
    and the size of the tuple it gave."""

    place: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    tuple_size: int


def structure_of(network: nn.Module, name: str) -> Structure:
    """The blocks, the embedding and the head of a network.

    Raises:
        UserError: no embedding, no list of blocks, or none that the forward pass runs once each with the shape kept.
    """
    embedding = _part(network, "get_input_embeddings")
    if not isinstance(getattr(embedding, "weight", None), Tensor):
        raise UserError(
            f"{name} has no embedding of tokens (get_input_embeddings): RepDiss reads networks that read text. "
            "Choose another model."
        )
    lists = {path: part for path, part in network.named_modules() if isinstance(part, nn.ModuleList) and _alike(part)}
    if not lists:
        raise UserError(
            f"{name} has no blocks: "
            f"no list of modules of one class (nn.ModuleList) was found in {type(network).__name__}."
        )
    seen = _probe(network, lists, embedding, name)
    fits = [path for path, calls in seen.items() if _run_as_blocks(calls, len(lists[path]))]
    if not fits:
        longest = max(lists, key=lambda path: len(lists[path]))
        raise UserError(
            f"{name} has no residual stream that RepDiss finds: "
            f"the modules of {longest} change the shape of what they get, "
            "or are not run once each in their order. Choose a model whose blocks keep it."
        )
    path = max(fits, key=lambda one: len(lists[one]))
    calls = seen[path]
    return Structure(
        lists[path],
        path,
        embedding,
        _part(network, "get_output_embeddings"),
        calls[0].after[-1],
        tuple(call.tuple_size for call in calls),
    )


def state_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The stream that a block is called with."""
    return args[0] if args else kwargs[STATE]


def with_state(args: tuple[Any, ...], kwargs: dict[str, Any], state: Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a block's call with another stream in its place."""
    return ((state, *args[1:]), kwargs) if args else (args, {**kwargs, STATE: state})


def probe_tokens(vocab_size: int, n_sequences: int, n_tokens: int, avoid: set[int]) -> Tensor:
    """(n_sequences, n_tokens) token ids, the same at every call,
    none of `avoid` (padding, whose place some encoders count)."""
    ids = torch.arange(n_sequences * n_tokens, dtype=torch.int64) * 7919 + 11
    usable = [i for i in range(min(vocab_size, 4096)) if i not in avoid] or [0]
    return torch.tensor(usable)[ids % len(usable)].reshape(n_sequences, n_tokens)


def padding_ids(network: nn.Module) -> set[int]:
    """The id that a network's configuration gives to padding, if it gives one."""
    found = getattr(getattr(network, "config", None), "pad_token_id", None)
    return {found} if isinstance(found, int) else set()


def _alike(modules: nn.ModuleList) -> bool:
    return len({type(one) for one in modules}) == 1


def _part(network: nn.Module, getter: str) -> Any:
    try:
        return getattr(network, getter)()
    except (AttributeError, NotImplementedError):
        return None


@torch.no_grad()
def _probe(
    network: nn.Module, lists: dict[str, nn.ModuleList], embedding: nn.Module, name: str
) -> dict[str, list[_Call]]:
    """What each list's modules did in one forward pass of a few tokens."""
    seen: dict[str, list[_Call]] = {path: [] for path in lists}
    weight = embedding.weight
    assert isinstance(weight, Tensor)
    tokens = probe_tokens(weight.shape[0], *PROBE_TOKENS, avoid=padding_ids(network)).to(weight.device)
    with ExitStack() as hooks:
        for path, modules in lists.items():
            for index, module in enumerate(modules):
                hooks.enter_context(_noted(module, index, seen[path]))
        try:
            network(input_ids=tokens)
        except Exception as error:  # whatever a network that wants other inputs says
            raise UserError(
                f"{name} does not run on tokens alone ({one_line(error)}). RepDiss reads networks whose input is text."
            ) from error
    return seen


@contextmanager
def _noted(module: nn.Module, index: int, calls: list[_Call]) -> Iterator[None]:
    def note(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        state = args[0] if args else kwargs.get(STATE)
        size = len(output) if isinstance(output, tuple) else 0
        calls.append(_Call(index, _shape(state), _shape(hidden_states(output)), size))

    handle = module.register_forward_hook(note, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _run_as_blocks(calls: list[_Call], n_blocks: int) -> bool:
    """Whether each block ran once, in order, on (b, t, d) and gave (b, t, d)."""
    in_order = [call.place for call in calls] == list(range(n_blocks))
    return in_order and all(
        len(call.before) == 3 and call.before == call.after and call.before[:2] == PROBE_TOKENS for call in calls
    )

"""One adapter for every residual-stream transformer: the network's own forward pass, hooked at its blocks.

Imports torch.

Masks, rotary angles, sliding windows, experts, soft caps and scales are then the network's own. `blocks` and `head`
replace the stream before a block and let the blocks that are not asked for hand on what they get. `decoder.py` has the
faster, exact path for the architectures it knows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from repdiss_core.base.errors import UserError
from repdiss_core.data.batches import TokenBatch
from repdiss_core.models.checks import checked_tokens, hidden_states
from repdiss_core.models.structure import PROBE_TOKENS, padding_ids, probe_tokens, state_of, structure_of, with_state

RESID_MEANS = ("removed", "kept")


class _Reached(Exception):
    """The state that was waited for is there: the rest of the forward pass is not run."""


class AdapterResidualModel:
    """A transformer, decoder or encoder, cut between its blocks.

    Args:
        network: takes `input_ids` and, for padded batches, `attention_mask`; put into evaluation mode and frozen here.
        name: as in the registry.
        resid_mean: "removed" subtracts each token's mean over d_model in `residuals`, "kept" does not.
        n_ctx: the most tokens of a sequence; None where the network sets no limit.
        causal: whether a token sees only those before it.
    """

    def __init__(
        self, network: nn.Module, name: str, resid_mean: str = "kept", n_ctx: int | None = None, causal: bool = True
    ) -> None:
        if resid_mean not in RESID_MEANS:
            raise UserError(
                f'resid_mean is {resid_mean!r}; it is "removed" (each token\'s mean over d_model) or "kept".'
            )
        self.network, self.name, self.resid_mean = network.eval().requires_grad_(False), name, resid_mean
        config: Any = getattr(network, "config", None)
        if hasattr(config, "use_cache"):
            config.use_cache = False
        self.structure = structure_of(network, name)
        self.n_layers, self.d_model = len(self.structure.blocks), self.structure.d_model
        self.vocab_size = int(self.structure.embedding.weight.shape[0])
        self.n_ctx, self.causal = n_ctx or 2**20, causal
        self.has_head = self.structure.head is not None
        self.device, self.n_forwards = self.structure.embedding.weight.device, 0
        self.checked: tuple[Any, ...] = ()  # what the checks at load found (`load_checks.Checked`)
        self._positions = self._counts_positions_from_zero()

    def embed(self, batch: TokenBatch) -> Tensor:
        """(b, t, d_model): what block 1 reads."""
        self.n_forwards += 1
        found: list[Tensor] = []
        with torch.no_grad():
            self._run(batch, [_before(self.structure.blocks[0], _keeping(found, stop=True))])
        return found[0]

    def blocks(self, h: Tensor, a: int, b: int, batch: TokenBatch) -> Tensor:
        """(b, t, d_model) after blocks a+1 … b of a raw residual stream; differentiable in h."""
        if not 0 <= a <= b <= self.n_layers:
            raise UserError(
                f"{self.name} has {self.n_layers} blocks; "
                f"those after {a} up to {b} were asked for (0 <= a <= b <= {self.n_layers})."
            )
        if a == b:
            return h
        found: list[Tensor] = []
        blocks = self.structure.blocks
        self._run(batch, [*self._passed(a), _before(blocks[a], _replacing(h)), _after(blocks[b - 1], _reaching(found))])
        return found[0]

    def head(self, h: Tensor, batch: TokenBatch) -> Tensor:
        """(b, t, vocab_size) logits of a raw residual stream after the last block,
        by whatever the network does after it.

        Raises:
            UserError: the network has no unembedding.
        """
        if not self.has_head:
            raise UserError(
                f"{self.name} has no head that predicts tokens, so that it is compared by its features and not "
                "stitched."
            )
        output = self._run(batch, [*self._passed(self.n_layers), _before(self.structure.blocks[0], _replacing(h))])
        return output.logits

    @torch.no_grad()
    def residuals(self, batch: TokenBatch, after_embedding: bool = False) -> Iterator[Tensor]:
        """(b, t, d_model) after block 1, 2 … n_layers, without gradient, with `resid_mean` applied.

        The last one is before the final norm, unlike transformers' `hidden_states[-1]`. The forward pass up to the last
        block is run before the first one is handed out. The streams are copies, since a network may add to its own in
        place.

        Args:
            after_embedding: begin with what block 1 reads (layer 0).
        """
        self.n_forwards += 1
        found: list[Tensor] = []
        blocks = self.structure.blocks
        first = [_before(blocks[0], _keeping(found, stop=False))] if after_embedding else []
        each = [_after(block, lambda h: found.append(h.clone())) for block in blocks]
        self._run(batch, [*first, *each, _after(blocks[-1], _reaching([]))])
        found.reverse()
        while found:
            h = found.pop()
            yield h - h.mean(dim=-1, keepdim=True) if self.resid_mean == "removed" else h

    @torch.no_grad()
    def logits(self, batch: TokenBatch) -> Tensor:
        """(b, t, vocab_size) the network's own, from a forward pass without hooks."""
        return self.network(**self._inputs(batch)).logits

    @torch.no_grad()
    def _counts_positions_from_zero(self) -> bool:
        """Whether the network takes `position_ids` 0, 1 … as what it counts itself:
        padded batches then hand over each text's own.

        RoBERTa counts from elsewhere and leaves padding out by itself; Mamba has no positions.
        """
        if "position_ids" not in inspect.signature(self.network.forward).parameters:
            return False
        tokens = probe_tokens(self.vocab_size, *PROBE_TOKENS, avoid=padding_ids(self.network)).to(self.device)
        found: list[Tensor] = []
        with _after(self.structure.blocks[-1], lambda h: found.append(h.clone())):
            for given in ({}, {"position_ids": torch.arange(tokens.shape[1], device=self.device).expand_as(tokens)}):
                self.network(input_ids=tokens, **given)
        return bool(torch.allclose(found[0], found[1], atol=1e-3, rtol=1e-3, equal_nan=True))

    def _inputs(self, batch: TokenBatch) -> dict[str, Tensor]:
        tokens = checked_tokens(self.name, batch.tokens, self.n_ctx, self.vocab_size)
        given = {"input_ids": torch.from_numpy(tokens).to(self.device)}
        if batch.mask is not None:
            mask = batch.mask.astype(np.int64)
            given["attention_mask"] = torch.from_numpy(mask).to(self.device)
            if self._positions:
                counted = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
                given["position_ids"] = torch.from_numpy(counted).to(self.device)
        return given

    def _passed(self, n: int) -> list[AbstractContextManager[None]]:
        """The first n blocks hand on what they get."""
        return [_handing_on(*pair) for pair in zip(self.structure.blocks[:n], self.structure.tuple_sizes, strict=False)]

    def _run(self, batch: TokenBatch, hooks: list[AbstractContextManager[None]]) -> Any:
        """One forward pass of the network inside of hooks: its output, or None where a hook ended it."""
        with ExitStack() as stack:
            for hook in hooks:
                stack.enter_context(hook)
            try:
                return self.network(**self._inputs(batch))
            except _Reached:
                return None


Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def _keeping(found: list[Tensor], stop: bool) -> Callable[..., None]:
    """Keeps a copy of the stream that a block reads, and ends the forward pass there if asked to."""

    def keep(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append(state_of(args, kwargs).clone())
        if stop:
            raise _Reached

    return keep


def _replacing(h: Tensor) -> Callable[..., Arguments]:
    """Has a block read another stream."""
    return lambda args, kwargs: with_state(args, kwargs, h)


def _reaching(found: list[Tensor]) -> Callable[[Tensor], None]:
    """Ends the forward pass with the stream after a block."""

    def reach(h: Tensor) -> None:
        found.append(h)
        raise _Reached

    return reach


@contextmanager
def _before(block: nn.Module, act: Callable[..., Arguments | None]) -> Iterator[None]:
    """Inside, `act` sees the block's arguments and may give others."""
    handle = block.register_forward_pre_hook(lambda _module, args, kwargs: act(args, kwargs), with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _after(block: nn.Module, act: Callable[[Tensor], None]) -> Iterator[None]:
    """Inside, `act` sees the stream after the block."""
    handle = block.register_forward_hook(lambda _module, _args, output: act(hidden_states(output)))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _handing_on(block: nn.Module, tuple_size: int) -> Iterator[None]:
    """Inside, the block gives what it gets, as a tensor or as a tuple of the size that it gives itself."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        state = state_of(args, kwargs)
        return (state, *[None] * (tuple_size - 1)) if tuple_size else state

    block.forward = forward
    try:
        yield
    finally:
        del block.forward

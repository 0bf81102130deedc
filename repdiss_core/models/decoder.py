"""Decoder-only networks of transformers behind the model protocol:
one class for all of `architectures`. Imports torch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import transformers
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask

from repdiss_core.base.errors import UserError, one_line
from repdiss_core.base.paths import typed_path
from repdiss_core.data.batches import TokenBatch
from repdiss_core.models.architectures import ARCHITECTURES, architecture_of, n_parameters, shape_of
from repdiss_core.models.checks import checked_tokens, hidden_states, read_tensors

if TYPE_CHECKING:
    from repdiss_core.models import ModelSpec

RESID_MEANS = ("removed", "kept")
UNEMBEDDING = "lm_head.weight"
# Buffers that older checkpoints carry; the network makes them itself.
_BUFFERS = re.compile(r"\.(attention|attn)\.(bias|masked_bias)$|(^|\.)rotary_emb\.")


class DecoderResidualModel:
    """A causal language model of transformers, cut between its blocks.

    Args:
        network: of one of `ARCHITECTURES`; put into evaluation mode and frozen here.
        name: as in the registry.
        resid_mean: "removed" subtracts each token's mean over d_model in `residuals`, "kept" does not. A network whose
            norms divide by the root mean square reads that mean, so that there it can only be kept.
    """

    def __init__(self, network: PreTrainedModel, name: str, resid_mean: str = "removed") -> None:
        config, known = network.config, ARCHITECTURES[network.config.model_type]
        if resid_mean not in RESID_MEANS:
            raise UserError(
                f'resid_mean is {resid_mean!r}; it is "removed" (each token\'s mean over d_model) or "kept".'
            )
        if known.root_mean_square and resid_mean == "removed":
            raise UserError(
                f"{name} divides by the root mean square, so that each token's mean over d_model matters to it: "
                'use resid_mean "kept".'
            )
        self.network, self.name, self.resid_mean = network.eval().requires_grad_(False), name, resid_mean
        self.n_layers, self.d_model = int(config.num_hidden_layers), int(config.hidden_size)
        self.vocab_size, self.n_ctx = int(config.vocab_size), int(config.max_position_embeddings)
        base = getattr(network, network.base_model_prefix)
        self._embedding, self._unembedding = network.get_input_embeddings(), network.get_output_embeddings()
        self._layers, self._norm = getattr(base, known.blocks), getattr(base, known.norm)
        self._positions = getattr(base, known.positions) if known.positions else None
        self._rotary = None if known.positions else base.rotary_emb
        self._windowed, self._cap = windowed_blocks(config), getattr(config, "final_logit_softcapping", None)
        self.device, self.n_forwards = cast("Tensor", self._embedding.weight).device, 0

    def embed(self, batch: TokenBatch) -> Tensor:
        """(b, t, d_model): token embeddings, and positions where they are learned;
        rotary ones enter in the blocks' attention."""
        tokens = checked_tokens(self.name, batch.tokens, self.n_ctx, self.vocab_size)
        self.n_forwards += 1
        h = self._embedding(torch.from_numpy(tokens).to(self.device))
        return (
            h
            if self._positions is None
            else h + self._positions(torch.arange(h.shape[1], device=h.device).unsqueeze(0))
        )

    def blocks(self, h: Tensor, a: int, b: int, batch: TokenBatch) -> Tensor:
        """(b, t, d_model) after blocks a+1 … b of a raw residual stream; differentiable in h."""
        if not 0 <= a <= b <= self.n_layers:
            raise UserError(
                f"{self.name} has {self.n_layers} blocks; "
                f"those after {a} up to {b} were asked for (0 <= a <= b <= {self.n_layers})."
            )
        last = h
        for after in self._after_each(h, a, b, batch):
            last = after
        return last

    def head(self, h: Tensor, batch: TokenBatch) -> Tensor:
        """(b, t, vocab_size) logits: final norm and unembedding, and what Gemma 2 does to keep logits small."""
        logits = self._unembedding(self._norm(h))
        return logits if self._cap is None else torch.tanh(logits / self._cap) * self._cap

    @torch.no_grad()
    def residuals(self, batch: TokenBatch) -> Iterator[Tensor]:
        """(b, t, d_model) after block 1, 2 … n_layers, one at a time, without gradient.

        The last one is before the final norm, unlike transformers' `hidden_states[-1]`.
        """
        for h in self._after_each(self.embed(batch), 0, self.n_layers, batch):
            yield h - h.mean(dim=-1, keepdim=True) if self.resid_mean == "removed" else h

    def _after_each(self, h: Tensor, a: int, b: int, batch: TokenBatch) -> Iterator[Tensor]:
        """The raw stream after blocks a+1, a+2 … b, which get what the whole model hands to them: causal mask,
        positions, rotary angles.

        A block called without a mask is silently not causal with eager attention.
        """
        if a == b:
            return
        positions = torch.arange(h.shape[1], device=h.device).unsqueeze(0)
        padding = None if batch.mask is None else torch.from_numpy(batch.mask.astype(np.int64)).to(h.device)
        given = {
            "config": self.network.config,
            "inputs_embeds": h,
            "attention_mask": padding,
            "past_key_values": None,
            "position_ids": positions,
        }
        windowed = self._windowed[a:b]
        masks = {
            kind: (create_sliding_window_causal_mask if kind else create_causal_mask)(**given) for kind in set(windowed)
        }
        around: dict[str, Any] = {"position_ids": positions}
        if self._rotary is not None:
            around["position_embeddings"] = self._rotary(h, position_ids=positions)
        for layer, kind in zip(self._layers[a:b], windowed, strict=True):
            h = hidden_states(layer(h, attention_mask=masks[kind], **around))
            yield h


def windowed_blocks(config: PreTrainedConfig) -> list[bool]:
    """Of each block, whether its attention sees a window of the text that a mask cuts (GPT-Neo's blocks cut theirs
    themselves)."""
    types = getattr(config, "layer_types", None)
    if types is not None:
        return [kind == "sliding_attention" for kind in types]
    return [getattr(config, "sliding_window", None) is not None] * config.num_hidden_layers


def checked_config(name: str, config: Any) -> PreTrainedConfig:
    """The configuration of a supported model from its config.json.

    Raises:
        UserError: another kind of model, or a key without which the network's shape would be guessed.
    """
    known = architecture_of(name, config)
    shape_of(name, config)
    try:
        built = getattr(transformers, known.config)(**known.handed_over(config), use_cache=False)
    except Exception as error:  # transformers' validation raises classes of its own
        raise UserError(f"The configuration of {name} cannot be used: {one_line(error)}") from error
    if any(windowed_blocks(built)) and built.sliding_window is None:
        raise UserError(
            f"The configuration of {name} names blocks that see a window (layer_types) and no sliding_window. "
            "Fetch its config.json anew."
        )
    return built


def network_of(
    name: str,
    config: PreTrainedConfig,
    tensors: Mapping[str, Tensor],
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> PreTrainedModel:
    """The network with exactly the given weights; it is never made with random ones first,
    so that 12 billion need no double room.

    Raises:
        UserError: a weight is missing, foreign or of another shape.
    """
    built = getattr(transformers, ARCHITECTURES[config.model_type].network)
    given = _named_as_here(tensors, f"{built.base_model_prefix}.")
    check_room(name, config, given)
    try:
        with torch.device("meta"):
            network = built(config)
    except Exception as error:  # whatever a strange configuration makes torch and transformers say
        raise UserError(f"No network can be built from the configuration of {name}: {one_line(error)}") from error
    own = dict(network.named_parameters())
    tied = UNEMBEDDING not in own
    embedding = next(key for key, parameter in own.items() if parameter is network.get_input_embeddings().weight)
    second = given.pop(UNEMBEDDING, None) if tied else None
    _check_weights(name, own, given)
    if second is not None and not torch.equal(second, given[embedding]):
        raise UserError(
            f"The configuration of {name} ties its unembedding to its embedding, but its weights hold two. "
            "Fetch them anew."
        )
    state = {key: given[key].to(device, dtype) for key in own}
    network.load_state_dict({**state, UNEMBEDDING: state[embedding]} if tied else state, strict=True, assign=True)
    if tied:
        network.get_output_embeddings().weight = network.get_input_embeddings().weight
    _fill_buffers(network, device)
    return network


def check_room(name: str, config: PreTrainedConfig, tensors: Mapping[str, Tensor]) -> None:
    """Raise a `UserError` where a configuration asks for far more numbers than are given:
    building its network could take all memory."""
    form = config.to_dict()
    held, asked = sum(value.numel() for value in tensors.values()), n_parameters(form, shape_of(name, form))
    if asked > 2 * held + 2**20:
        raise UserError(
            f"The weights of {name} do not fit its configuration: it asks for {asked:,} numbers, "
            f"the files hold {held:,}. Fetch them anew."
        )


def load_folder(
    folder: Path,
    name: str,
    resid_mean: str = "removed",
    files: list[str] | None = None,
    dtype: str = "float32",
    device: str = "cpu",
) -> DecoderResidualModel:
    """A model from a folder with config.json and weights, such as a downloaded Pythia.

    Args:
        files: the weights; default every .safetensors file. Torch's own files are read with `weights_only=True`.
    """
    files = sorted(path.name for path in folder.glob("*.safetensors")) if files is None else files
    if not (folder / "config.json").exists() or not files:
        raise UserError(
            f"{name} needs config.json and at least one .safetensors file in {folder}; fetch the model anew."
        )
    try:
        config = checked_config(name, json.loads((folder / "config.json").read_text("utf-8")))
    except UserError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"The files of {name} in {folder} cannot be read ({one_line(error)}). Fetch the model anew."
        ) from error
    return DecoderResidualModel(
        network_of(name, config, read_tensors(name, folder, files), getattr(torch, dtype), device), name, resid_mean
    )


def load_hub(
    spec: ModelSpec, resid_mean: str = "removed", dtype: str = "float32", device: str = "cpu"
) -> DecoderResidualModel:
    """A model of the hub at its pinned commit; what is missing is downloaded."""
    from repdiss_core import hub
    from repdiss_core.data.tokenizer import check_size
    from repdiss_core.models.checks import check_depth
    from repdiss_core.models.paper_models import repo_of, weight_files

    repo = repo_of(spec)
    files = weight_files(hub.pin(repo).files)
    folder = hub.fetch(repo, ["config.json", *files])
    model = load_folder(folder, spec.name, resid_mean, files, dtype, device)
    check_depth(spec, model.n_layers)
    check_size(spec.name, spec.tokenizer_repo, model.vocab_size)
    return model


def load_path(
    spec: ModelSpec, resid_mean: str = "removed", dtype: str = "float32", device: str = "cpu"
) -> DecoderResidualModel:
    """A model of a folder that the user named."""
    from repdiss_core.data.tokenizer import check_size
    from repdiss_core.models.paper_models import weight_files

    folder = typed_path(spec.name)
    model = load_folder(
        folder, spec.name, resid_mean, weight_files([path.name for path in folder.iterdir()]), dtype, device
    )
    check_size(spec.name, spec.tokenizer_repo, model.vocab_size)
    return model


def _named_as_here(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Without old buffers, and under transformers' names: Pythia's files say embed_out for lm_head,
    GPT-2's leave out the base's prefix."""
    given = {
        re.sub(r"^embed_out\.", "lm_head.", key): value for key, value in tensors.items() if not _BUFFERS.search(key)
    }
    if any(key.startswith(prefix) for key in given):
        return given
    return {key if key == UNEMBEDDING else f"{prefix}{key}": value for key, value in given.items()}


def _check_weights(name: str, own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    for what, keys in (
        ("lack", sorted(set(own) - set(given))),
        ("have what the network has not", sorted(set(given) - set(own))),
    ):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise UserError(
                f"The weights of {name} {what}: {', '.join(keys[:3])}{more}. Fetch them anew; nothing was filled in."
            )
    for key, parameter in own.items():
        if parameter.shape != given[key].shape:
            raise UserError(
                f"The weights of {name} do not fit its configuration: {key} is {tuple(given[key].shape)}, "
                f"expected {tuple(parameter.shape)}."
            )


def _fill_buffers(network: PreTrainedModel, device: str) -> None:
    """Rotary frequencies, tables and scales, which are no part of the weights,
    as transformers itself makes them after a load."""
    for parameter in network.parameters():
        parameter._is_hf_initialized = True  # type: ignore[attr-defined]  # what transformers leaves alone
    for module in network.modules():
        hollow = {name: buffer for name, buffer in module.named_buffers(recurse=False) if buffer.is_meta}
        for name, buffer in hollow.items():
            module.register_buffer(name, torch.empty_like(buffer, device=device), persistent=False)
        if hollow:
            network._init_weights(module)

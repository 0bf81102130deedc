"""Models of transformer_lens behind the protocol: any native bridge, the bundled models among them. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources.native import boot
from transformer_lens.model_bridge.sources.native.model import NativeBlock, NativeModel

from repdiss_core import bundled
from repdiss_core.base.errors import UserError
from repdiss_core.bundled.recipe import BUNDLED_MODELS
from repdiss_core.data.batches import TokenBatch
from repdiss_core.models.checks import check_weights
from repdiss_core.models.native import causal_mask, fast_block, supported

if TYPE_CHECKING:
    from repdiss_core.models import ModelSpec

RESID_MEANS = ("removed", "kept")
_WRAPPER = "_original_component."


class HookedResidualModel:
    """A transformer_lens bridge over a native model, cut between its blocks.

    Embedding and blocks run on plain modules that share the bridge's parameters, a quarter faster than through its
    hooks; hooks set on the bridge therefore see `bridge(tokens)` but not `blocks`. The head is the bridge's own.

    Args:
        bridge: made by `TransformerBridge.boot_native`; it is put into evaluation mode and frozen.
        name: as in the registry.
        resid_mean: "removed" subtracts each token's mean over d_model in `residuals`, "kept" does not.
    """

    def __init__(self, bridge: TransformerBridge, name: str, resid_mean: str = "removed") -> None:
        if resid_mean not in RESID_MEANS:
            raise UserError(
                f'resid_mean is {resid_mean!r}; it is "removed" (each token\'s mean over d_model) or "kept".'
            )
        self.bridge = bridge.eval().requires_grad_(False)
        self.name, self.resid_mean = name, resid_mean
        self.config = bridge.cfg
        self.n_layers, self.d_model = int(self.config.n_layers), int(self.config.d_model)
        self.vocab_size, self.n_ctx = int(self.config.d_vocab), int(self.config.n_ctx)
        self.n_forwards = 0
        self._network = _unwrapped(bridge)
        self.device = next(self._network.parameters()).device
        self._fast = supported(self.config)

    def embed(self, batch: TokenBatch) -> Tensor:
        """(b, t, d_model) float32: token embeddings, and learned positions where the model has them."""
        tokens = self._tokens(batch)
        self.n_forwards += 1
        h = self._network.tok_embed(tokens)
        if self._network.pos is not None:
            h = h + self._network.pos(torch.arange(tokens.shape[1], device=self.device))
        return h

    def blocks(self, h: Tensor, a: int, b: int, batch: TokenBatch) -> Tensor:
        """(b, t, d_model) after blocks a+1 … b of a raw residual stream; differentiable in h."""
        if not 0 <= a <= b <= self.n_layers:
            raise UserError(
                f"{self.name} has {self.n_layers} blocks; "
                f"those after {a} up to {b} were asked for (0 <= a <= b <= {self.n_layers})."
            )
        run = self._runner(h.shape[1], batch)
        for block in self._network.layers[a:b]:
            h = run(block, h)
        return h

    def head(self, h: Tensor, batch: TokenBatch) -> Tensor:
        """(b, t, vocab_size) logits: final norm and unembedding."""
        return self.bridge.unembed(self.bridge.ln_final(h))

    @torch.no_grad()
    def residuals(self, batch: TokenBatch) -> Iterator[Tensor]:
        """(b, t, d_model) after block 1, 2 … n_layers, one at a time, without gradient."""
        h = self.embed(batch)
        run = self._runner(h.shape[1], batch)
        for block in self._network.layers:
            h = run(block, h)
            yield h - h.mean(dim=-1, keepdim=True) if self.resid_mean == "removed" else h

    def _runner(self, t: int, batch: TokenBatch) -> Callable[[NativeBlock, Tensor], Tensor]:
        """A function (block, h) -> h; padded batches take the native block, which knows masks."""
        if self._fast and batch.mask is None:
            mask = causal_mask(t).to(self.device)
            return lambda block, h: fast_block(block, h, mask)
        padding = None if batch.mask is None else torch.from_numpy(batch.mask).to(self.device)
        return lambda block, h: block(h, attention_mask=padding)[0]

    def _tokens(self, batch: TokenBatch) -> Tensor:
        tokens = batch.tokens
        if tokens.shape[1] > self.n_ctx:
            raise UserError(
                f"{self.name} reads at most {self.n_ctx} tokens; the sequences have {tokens.shape[1]}. "
                "Cut them shorter."
            )
        if tokens.size and not (int(np.min(tokens)) >= 0 and int(np.max(tokens)) < self.vocab_size):
            raise UserError(
                f"{self.name} knows token ids 0 to {self.vocab_size - 1}; "
                f"the batch has {int(np.min(tokens))} to {int(np.max(tokens))}. "
                "Its tokens come from another tokenizer: choose data made for this model."
            )
        return torch.from_numpy(np.ascontiguousarray(tokens)).to(self.device)


def _unwrapped(bridge: TransformerBridge) -> NativeModel:
    """A plain native model that shares the parameters of a bridge."""
    if not isinstance(bridge.original_model, NativeModel):
        raise UserError(
            f"The bridge wraps a {type(bridge.original_model).__name__}; "
            "HookedResidualModel takes native ones (boot_native)."
        )
    shared = {name.replace(_WRAPPER, ""): p for name, p in bridge.original_model.named_parameters()}
    network = NativeModel(bridge.cfg)
    own = dict(network.named_parameters())
    # The bridge adds a zero unembedding bias that the native model lacks; the head is left to the bridge.
    network.load_state_dict({name: shared[name] for name in own}, strict=True, assign=True)
    return network.to(next(iter(shared.values())).device).eval().requires_grad_(False)


def load_native(bridge: TransformerBridge, tensors: Mapping[str, Tensor]) -> None:
    """Puts tensors under the native model's names into a bridge.

    Raises:
        KeyError: a name is missing or foreign.
        RuntimeError: a shape differs.
    """
    own = {name.replace(_WRAPPER, ""): p for name, p in bridge.original_model.named_parameters()}
    if set(own) != set(tensors):
        raise KeyError(f"parameters differ: {sorted(set(own) ^ set(tensors))[:4]}")
    with torch.no_grad():
        for name, parameter in own.items():
            if parameter.shape != tensors[name].shape:
                raise RuntimeError(f"{name} is {tuple(tensors[name].shape)}, expected {tuple(parameter.shape)}")
            parameter.copy_(tensors[name])


def load_bundled(spec: ModelSpec, resid_mean: str = "removed") -> HookedResidualModel:
    """A bundled model in float32, its weights checked against the facts file."""
    from repdiss_core.models.mini_gpt import bridge_config

    path = bundled.WEIGHTS_FOLDER / f"{spec.name}.safetensors"
    tensors = _checked_weights(path, spec)
    bridge = boot(bridge_config(BUNDLED_MODELS[spec.name].architecture, seed=0), model_name=spec.name)
    load_native(bridge, {name: tensor.float() for name, tensor in tensors.items()})
    return HookedResidualModel(bridge, spec.name, resid_mean)


def _checked_weights(path: Path, spec: ModelSpec) -> dict[str, Tensor]:
    restore = check_weights(spec, path, "repdiss_core/bundled/weights")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"The weights of {spec.name} cannot be read ({error}). {restore}") from error

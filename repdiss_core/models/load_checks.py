"""What is checked of every model that the adapter loads, before a number of it is shown. Imports torch.

The checks are those of nnterp (Dumas 2025) and of `docs/models.md`: states are finite, they do not depend on the
company in a batch, the future does not leak, and the last state through the network's own head gives the network's own
logits. A few tokens are enough for each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from repdiss_core.base.errors import UserError
from repdiss_core.data.batches import TokenBatch
from repdiss_core.models.adapter import AdapterResidualModel
from repdiss_core.models.structure import padding_ids, probe_tokens

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}  # of a token's state, relative to its norm
HALF_TOLERANCE = 0.1
SHORT, LONG = 5, 9  # tokens of the two texts


@dataclass(frozen=True)
class Checked:
    """What a check found: the largest relative difference, None where the check does not apply to the model."""

    name: str
    difference: float | None


def check_model(model: AdapterResidualModel) -> tuple[Checked, ...]:
    """Run every check.

    Raises:
        UserError: the first check that fails, with its name and what to do.
    """
    tolerance = TOLERANCE.get(model.structure.embedding.weight.dtype, HALF_TOLERANCE)
    long, short = _texts(model)
    states, alone = list(model.residuals(TokenBatch(long))), list(model.residuals(TokenBatch(short)))
    _check_finite(model, states)
    found = [Checked("finite states", 0.0)]
    for side in ("right", "left"):
        found.append(_check_padding(model, long, short, states, alone, side, tolerance))
    found.append(_check_causality(model, long, states, tolerance))
    found.append(_check_logits(model, long, tolerance))
    if model.resid_mean == "removed":
        found.append(_check_mean(model, long, tolerance))
    return tuple(found)


def _texts(model: AdapterResidualModel) -> tuple[np.ndarray, np.ndarray]:
    """(1, LONG) and (1, SHORT) token ids, shorter where the model reads less."""
    avoid = padding_ids(model.network)
    tokens = probe_tokens(model.vocab_size, 2, min(LONG, model.n_ctx), avoid).numpy()
    return tokens[:1].copy(), tokens[1:, : min(SHORT, model.n_ctx)].copy()


def _check_finite(model: AdapterResidualModel, states: list[Tensor]) -> None:
    for layer, h in enumerate(states, start=1):
        if not bool(torch.isfinite(h).all()):
            dtype = str(h.dtype).removeprefix("torch.")
            cure = "Its weights are damaged: fetch it anew." if h.dtype == torch.float32 else "Use float32."
            raise UserError(
                f"{model.name} failed the check “finite states”: "
                f"block {layer} gives NaN or infinite values in {dtype}. {cure}"
            )


def _check_padding(
    model: AdapterResidualModel,
    long: np.ndarray,
    short: np.ndarray,
    states: list[Tensor],
    alone: list[Tensor],
    side: str,
    tolerance: float,
) -> Checked:
    """Two texts in one batch, the shorter one padded, have the states that each has alone."""
    n_long, n_short = long.shape[1], short.shape[1]
    pad = next(iter(padding_ids(model.network)), 0)
    filler = np.full((1, n_long - n_short), pad if 0 <= pad < model.vocab_size else 0, dtype=np.int64)
    whole, padded = np.ones((1, n_long), dtype=bool), np.zeros(filler.shape, dtype=bool)
    row, counts = (
        ([short, filler], [whole[:, :n_short], padded])
        if side == "right"
        else ([filler, short], [padded, whole[:, :n_short]])
    )
    batch = TokenBatch(
        np.concatenate([long, np.concatenate(row, axis=1)]), np.concatenate([whole, np.concatenate(counts, axis=1)])
    )
    at = slice(0, n_short) if side == "right" else slice(n_long - n_short, n_long)
    largest = 0.0
    for layer, (h, one, other) in enumerate(zip(model.residuals(batch), states, alone, strict=True), start=1):
        difference = max(relative_difference(h[:1], one), relative_difference(h[1:, at], other))
        if not difference <= tolerance:
            raise UserError(
                f"{model.name} failed the check “batch equals alone, padding {side}”: "
                f"after block {layer} a text's states in a padded batch "
                f"differ from those that it has alone by {difference:.2g} of their norm (at most {tolerance:g}). "
                "Its maps would depend on the batches."
            )
        largest = max(largest, difference)
    return Checked(f"batch equals alone, padding {side}", largest)


def _check_causality(model: AdapterResidualModel, long: np.ndarray, states: list[Tensor], tolerance: float) -> Checked:
    """Another last token leaves all earlier states as they were, and does change its own."""
    if not model.causal:
        return Checked("causality", None)
    changed = long.copy()
    changed[0, -1] = long[0, 0] if long[0, 0] != long[0, -1] else long[0, 1]
    largest = 0.0
    for layer, (h, before) in enumerate(zip(model.residuals(TokenBatch(changed)), states, strict=True), start=1):
        difference = relative_difference(h[:, :-1], before[:, :-1])
        if not difference <= tolerance:
            raise UserError(
                f"{model.name} failed the check “causality”: "
                f"another last token changes the states of earlier ones after block {layer} "
                f"by {difference:.2g} of their norm. A causal model cannot see the future: "
                "its mask or its configuration is wrong."
            )
        largest = max(largest, difference)
    return Checked("causality", largest)


def _check_logits(model: AdapterResidualModel, long: np.ndarray, tolerance: float) -> Checked:
    """The stream alone, carried through the upper blocks and the head, gives the network's own logits.

    The pass that carries it reads other tokens, so that nothing reaches the logits beside the stream.
    """
    if not model.has_head:
        return Checked("own logits", None)
    batch, other, middle = TokenBatch(long), TokenBatch(np.roll(long, 1, axis=1)), model.n_layers // 2
    with torch.no_grad():
        h = model.blocks(model.embed(batch), 0, middle, batch)
        carried = model.head(model.blocks(h, middle, model.n_layers, other), other)
        own = model.logits(batch)
    difference = relative_difference(carried, own)
    if not difference <= tolerance:
        raise UserError(
            f"{model.name} failed the check “own logits”: the states after its last block, "
            "through its final norm and head, give logits that "
            f"differ from its own by {difference:.2g} of their norm (at most {tolerance:g}). "
            "Something passes its blocks by: its states are not all that it computes with."
        )
    return Checked("own logits", difference)


def _check_mean(model: AdapterResidualModel, long: np.ndarray, tolerance: float) -> Checked:
    """A constant added to the stream changes nothing that the network computes from it:
    its mean over d_model may be taken away."""
    batch = TokenBatch(long)
    with torch.no_grad():
        h = model.embed(batch)
        size = h.abs().mean()
        before, after = (model.blocks(x, 0, model.n_layers, batch) for x in (h, h + size))
    difference = relative_difference(_centred(after), _centred(before))
    if not difference <= tolerance:
        raise UserError(
            f"{model.name} failed the check “mean over d_model”: its blocks read each token's mean, "
            "so that it cannot be removed "
            f'(a constant changes the last state by {difference:.2g} of its norm): use resid_mean "kept".'
        )
    return Checked("mean over d_model", difference)


def _centred(h: Tensor) -> Tensor:
    return h - h.mean(dim=-1, keepdim=True)


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest distance of two tokens' states relative to the norm of the second."""
    a, b = ours.double(), theirs.double()
    return float(((a - b).norm(dim=-1) / b.norm(dim=-1).clamp_min(1e-12)).max())

"""Accuracy after identity stitching at a cut: g's upper blocks and head on f's residual stream (torch, where it runs).

Cut c of (f, g) runs f's embeddings and blocks 1 … c, then g's blocks c+1 … L and g's head. Cut 0 takes only the
embeddings from f; cut L exchanges only the head.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core.base.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

SCORINGS = ("exact", "entailment_or_not")


def cut_logits(f_residuals: Sequence[Tensor], g: Any, batch: Any) -> list[Tensor]:
    """[(b, n_labels)] g's logits at every cut 0 … L, from f's residuals [(b, t, d)] at those cuts.

    All cuts below block l pass through it together, as one batch of that many times the sequences; of the last block
    only the token that the head reads is computed.
    """
    import torch

    n_layers, h = len(f_residuals) - 1, f_residuals[0]
    for layer in range(1, n_layers):
        h = torch.cat([g.blocks(h, layer - 1, layer, _repeated(batch, layer)), f_residuals[layer]])
    below = g.read_out(h, _repeated(batch, n_layers)).split(len(f_residuals[0]))
    return [*below, g.head(f_residuals[n_layers], batch)]


def check(models: Sequence[Any]) -> None:
    """Raise a `UserError` unless the models' blocks can be exchanged and their labels mean the same."""
    first = models[0]
    for other in models[1:]:
        if (first.n_layers, first.d_model) != (other.n_layers, other.d_model):
            raise UserError(
                f"Identity stitching exchanges blocks of equal shape, but {first.name} has {first.n_layers} "
                f"layers of width {first.d_model} and "
                f"{other.name} {other.n_layers} of width {other.d_model}. Choose models of one depth and width."
            )
        if set(first.labels) != set(other.labels):
            raise UserError(
                f"{first.name} tells {', '.join(first.labels)} apart and {other.name} {', '.join(other.labels)}: "
                "their accuracies cannot be "
                "compared. Choose classifiers of one label set."
            )
        if first.labels != other.labels:
            raise UserError(
                f"{first.name} and {other.name} have the same labels in another order ({', '.join(first.labels)}; "
                f"{', '.join(other.labels)}): "
                "a stitched model would be scored wrongly. Reorder the labels when loading one of them."
            )


def judge(scoring: str, labels: tuple[str, ...]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """(predictions, labels) -> which are right; HANS counts neutral and contradiction as one answer."""
    if scoring not in SCORINGS:
        raise UserError(f"There is no scoring {scoring!r}; choose {' or '.join(SCORINGS)}.")
    if scoring == "exact":
        return lambda predicted, wanted: predicted == wanted
    if "entailment" not in labels:
        raise UserError(
            f"Scoring entailment_or_not needs a label named entailment; these models have {', '.join(labels)}. "
            "Choose exact."
        )
    entailment = labels.index("entailment")
    return lambda predicted, wanted: (predicted == entailment) == (wanted == entailment)


def _repeated(batch: Any, times: int) -> Any:
    """The batch, stacked on itself."""
    if times == 1:
        return batch
    mask = None if batch.mask is None else np.tile(batch.mask, (times, 1))
    tokens = np.tile(batch.tokens, (times, 1))
    return dataclasses.replace(batch, tokens=tokens, mask=mask, labels=None, rows=None)

"""Typed results: small arrays with checked shapes, labels and provenance. numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from repdiss_core.base.batches import BatchHsic, BatchValues, SameLayerHsic
from repdiss_core.base.crossed import CrossedHsic, CrossedValues
from repdiss_core.base.errors import UserError

__all__ = [
    "BatchHsic",
    "BatchValues",
    "CrossedHsic",
    "CrossedValues",
    "CutAccuracies",
    "LayerCurve",
    "LayerMatrix",
    "SameLayerHsic",
    "StitchResult",
    "Stored",
    "TokenValues",
    "layer_labels",
]


class Stored(Protocol):
    """What every type of result that the cache holds can do."""

    ARRAYS: ClassVar[tuple[str, ...]]

    def covers(self, n_batches: int) -> bool:
        """Whether a request of so many batches needs nothing more."""

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays, plain values) for the cache."""

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> Self:
        """The result that `to_arrays` was called on."""


@dataclass(frozen=True, eq=False)
class LayerMatrix:
    """One number for each (layer of f, layer of g), with its uncertainty.

    Args:
        values: (L_f, L_g) float64; NaN where a layer has no value (see notes). Never clipped.
        standard_error: (L_f, L_g) over batches.
        interval: (2, L_f, L_g) lower and upper end of the 95 % interval.
        n_batches: batches that entered.
        row_labels, column_labels: names of the layers of f and g.
        notes: sentences for the reader.
        provenance: what the values rest on.
    """

    values: np.ndarray
    standard_error: np.ndarray
    interval: np.ndarray
    n_batches: int
    row_labels: tuple[str, ...] = ()
    column_labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows, columns = self.values.shape
        if self.standard_error.shape != (rows, columns) or self.interval.shape != (2, rows, columns):
            raise UserError(
                f"LayerMatrix shapes disagree: values {self.values.shape}, standard_error {self.standard_error.shape}, "
                f"interval {self.interval.shape}; expected (L_f, L_g), (L_f, L_g), (2, L_f, L_g)."
            )
        if not self.row_labels:
            object.__setattr__(self, "row_labels", layer_labels(rows))
        if not self.column_labels:
            object.__setattr__(self, "column_labels", layer_labels(columns))
        if (len(self.row_labels), len(self.column_labels)) != (rows, columns):
            raise UserError(
                f"LayerMatrix has {rows} × {columns} cells but {len(self.row_labels)} row and "
                f"{len(self.column_labels)} column labels."
            )


@dataclass(frozen=True, eq=False)
class StitchResult:
    """What one stitch (layer l of f into layer m of g) cost.

    Args:
        layer_f, layer_g: where f is left and g is entered (after block l, after block m).
        loss: (n_sequences,) mean cross-entropy of each evaluation sequence through the stitched model, in nats a token.
        loss_closed_form: the same with the least-squares phi; empty where none was fitted.
        loss_f, loss_g: (n_sequences,) the models' own losses on the same sequences.
        step, train_loss: (n_points,) the learning curve of phi; empty for identity stitching.
        steps_done, steps: how far the training of phi came, and how far it goes.
        provenance: settings, data and versions.
    """

    layer_f: int
    layer_g: int
    loss: np.ndarray
    loss_closed_form: np.ndarray
    loss_f: np.ndarray
    loss_g: np.ndarray
    step: np.ndarray
    train_loss: np.ndarray
    steps_done: int
    steps: int
    provenance: dict[str, Any] = field(default_factory=dict)

    ARRAYS: ClassVar[tuple[str, ...]] = ("loss", "loss_closed_form", "loss_f", "loss_g", "step", "train_loss")

    @property
    def penalty(self) -> np.ndarray:
        """(n_sequences,) loss of the stitched model minus g's own loss, sequence by sequence."""
        return self.loss - self.loss_g

    @property
    def complete(self) -> bool:
        """Whether phi was trained to the last step and evaluated."""
        return self.steps_done >= self.steps and self.loss.size > 0

    def covers(self, n_batches: int) -> bool:
        """Whether it is complete; how many batches it is evaluated on is part of its key."""
        return self.complete

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays, plain values) for the cache."""
        plain = {name: getattr(self, name) for name in ("layer_f", "layer_g", "steps_done", "steps", "provenance")}
        return {name: np.asarray(getattr(self, name)) for name in self.ARRAYS}, plain

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> StitchResult:
        """The result that `to_arrays` was called on."""
        numbers = {name: np.asarray(arrays[name], dtype=np.float64) for name in cls.ARRAYS}
        wanted: dict[str, Any] = numbers | {n: plain[n] for n in ("layer_f", "layer_g", "steps_done", "steps")}
        return cls(**wanted, provenance=plain.get("provenance", {}))


@dataclass(frozen=True, eq=False)
class CutAccuracies:
    """Which items a stitched classifier gets right at every cut.

    Args:
        correct: (L+1, n_items) uint8, the stitch at cut 0 … L.
        own_f, own_g: (n_items,) uint8, both models by themselves.
    """

    correct: np.ndarray
    own_f: np.ndarray
    own_g: np.ndarray

    ARRAYS: ClassVar[tuple[str, ...]] = ("correct", "own_f", "own_g")

    def covers(self, n_batches: int) -> bool:
        """Always: how many items there are is part of the key."""
        return True

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays, plain values) for the cache."""
        plain = {"n_items": self.correct.shape[1], "n_cuts": len(self.correct)}
        return {name: getattr(self, name) for name in self.ARRAYS}, plain

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> CutAccuracies:
        """The result that `to_arrays` was called on."""
        return cls(*(arrays[name] for name in cls.ARRAYS))


@dataclass(frozen=True, eq=False)
class TokenValues:
    """One batch of tokens with what a measure says of each; positions that are no row of the features have NaN.

    Args:
        tokens: (b, t) int64 ids.
        cosine, contribution: (b, t), see `repdiss_core.measures.token_alignment`.
    """

    tokens: np.ndarray
    cosine: np.ndarray
    contribution: np.ndarray

    ARRAYS: ClassVar[tuple[str, ...]] = ("tokens", "cosine", "contribution")

    def covers(self, n_batches: int) -> bool:
        """Always: which batch it is of is part of the key."""
        return True

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays, plain values) for the cache."""
        return {name: getattr(self, name) for name in self.ARRAYS}, {}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> TokenValues:
        """The result that `to_arrays` was called on."""
        return cls(*(arrays[name] for name in cls.ARRAYS))


@dataclass(frozen=True, eq=False)
class LayerCurve:
    """One number a layer with its uncertainty: a curve of Figure 1.

    Args:
        name: the curve's label, such as "solu → gelu".
        layer: (L,) layers of the bottom model, counted from 1.
        values, standard_error: (L,).
        interval: (2, L).
        style: hints that figures understand (role, kind_f, kind_g).
        notes, provenance: as in `LayerMatrix`.
    """

    name: str
    layer: np.ndarray
    values: np.ndarray
    standard_error: np.ndarray
    interval: np.ndarray
    style: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.layer)
        if self.values.shape != (n,) or self.standard_error.shape != (n,) or self.interval.shape != (2, n):
            raise UserError(
                f"LayerCurve {self.name!r} has {n} layers but values {self.values.shape}, "
                f"standard_error {self.standard_error.shape}, "
                f"interval {self.interval.shape}; expected (L,), (L,), (2, L)."
            )


def layer_labels(n_layers: int, first: int = 1) -> tuple[str, ...]:
    """("1", …, "L"): layer l is the residual stream after block l; layer 0, where it is first, that before block 1."""
    return tuple(str(layer) for layer in range(first, n_layers + first))

"""Typed results: small arrays with checked shapes, labels and provenance. numpy only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from repdiss_core.base.errors import UserError


@dataclass(frozen=True, eq=False)
class BatchHsic:
    """HSIC values of every batch of one comparison; append-only, reduced later as often as one likes.

    Args:
        cross: (n_batches, L_f, L_g) HSIC of each layer of f with each layer of g.
        self_f: (n_batches, L_f) HSIC of each layer of f with itself.
        self_g: (n_batches, L_g) the same for g.
        n_tokens: (n_batches,) rows that entered each batch.
        notes: what a reader must know, such as why a layer has no value.
        massive: what is known of massive tokens, by name, first axis the batches: peak_f (n_batches, L_f) and peak_g,
            the longest row over the median row of each layer; tokens_f (n_batches, 8) and tokens_g, ids of the tokens
            dropped, -1 where fewer.
    """

    cross: np.ndarray
    self_f: np.ndarray
    self_g: np.ndarray
    n_tokens: np.ndarray
    notes: tuple[str, ...] = ()
    massive: dict[str, np.ndarray] = field(default_factory=dict)

    ARRAYS = ("cross", "self_f", "self_g", "n_tokens")
    MASSIVE = ("peak_f", "peak_g", "tokens_f", "tokens_g")

    def __post_init__(self) -> None:
        b, lf, lg = self.cross.shape
        if any(len(a) != b for a in self.massive.values()):
            raise UserError(
                f"BatchHsic holds {b} batches, but what it says of massive tokens has another number of them."
            )
        if self.self_f.shape != (b, lf) or self.self_g.shape != (b, lg) or self.n_tokens.shape != (b,):
            raise UserError(
                f"BatchHsic shapes disagree: cross {self.cross.shape}, self_f {self.self_f.shape}, "
                f"self_g {self.self_g.shape}, "
                f"n_tokens {self.n_tokens.shape}; expected (B, L_f, L_g), (B, L_f), (B, L_g), (B,)."
            )

    @property
    def n_batches(self) -> int:
        """How many batches were measured."""
        return int(self.cross.shape[0])

    def first(self, n_batches: int) -> BatchHsic:
        """The first batches alone."""
        cut = slice(0, n_batches)
        massive = {name: a[cut] for name, a in self.massive.items()}
        return BatchHsic(self.cross[cut], self.self_f[cut], self.self_g[cut], self.n_tokens[cut], self.notes, massive)

    @classmethod
    def joined(cls, parts: list[BatchHsic]) -> BatchHsic:
        """The batches of all parts, in their order."""
        massive = {name: np.concatenate([part.massive[name] for part in parts]) for name in parts[0].massive}
        notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
        cross, self_f, self_g, n_tokens = _joined(parts, cls.ARRAYS)
        return cls(cross, self_f, self_g, n_tokens, notes, massive)

    def transposed(self) -> BatchHsic:
        """The same comparison seen from g."""
        massive = {f"{name[:-1]}{'g' if name[-1] == 'f' else 'f'}": a for name, a in self.massive.items()}
        return BatchHsic(self.cross.transpose(0, 2, 1), self.self_g, self.self_f, self.n_tokens, self.notes, massive)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What the cache holds of it, beside the notes."""
        return {name: getattr(self, name) for name in self.ARRAYS} | self.massive

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], notes: tuple[str, ...] = ()) -> BatchHsic:
        """The result that `to_arrays` was called on."""
        massive = {name: arrays[name] for name in cls.MASSIVE if name in arrays}
        cross, self_f, self_g, n_tokens = (arrays[name] for name in cls.ARRAYS)
        return cls(cross, self_f, self_g, n_tokens, notes, massive)


@dataclass(frozen=True, eq=False)
class SameLayerHsic:
    """HSIC of equal layers of two models, for every batch: append-only, as `BatchHsic`.

    Args:
        cross: (n_batches, L) HSIC of layer l of f with layer l of g.
        self_f, self_g: (n_batches, L) HSIC of each layer with itself.
        n_tokens: (n_batches,) rows that entered each batch.
    """

    cross: np.ndarray
    self_f: np.ndarray
    self_g: np.ndarray
    n_tokens: np.ndarray
    notes: tuple[str, ...] = ()

    ARRAYS = ("cross", "self_f", "self_g", "n_tokens")

    def __post_init__(self) -> None:
        shape = self.cross.shape
        if (
            len(shape) != 2
            or self.self_f.shape != shape
            or self.self_g.shape != shape
            or self.n_tokens.shape != shape[:1]
        ):
            raise UserError(
                f"SameLayerHsic shapes disagree: cross {shape}, self_f {self.self_f.shape}, "
                f"self_g {self.self_g.shape}, "
                f"n_tokens {self.n_tokens.shape}; expected (B, L), (B, L), (B, L), (B,)."
            )

    @property
    def n_batches(self) -> int:
        """How many batches were measured."""
        return int(self.cross.shape[0])

    @classmethod
    def joined(cls, parts: list[SameLayerHsic]) -> SameLayerHsic:
        """The batches of all parts, in their order."""
        cross, self_f, self_g, n_tokens = _joined(parts, cls.ARRAYS)
        return cls(cross, self_f, self_g, n_tokens, tuple(dict.fromkeys(note for part in parts for note in part.notes)))

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays, plain values) for the cache."""
        return {name: getattr(self, name) for name in self.ARRAYS}, {"notes": list(self.notes)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], plain: dict[str, Any]) -> SameLayerHsic:
        """The result that `to_arrays` was called on."""
        cross, self_f, self_g, n_tokens = (arrays[name] for name in cls.ARRAYS)
        return cls(cross, self_f, self_g, n_tokens, tuple(plain.get("notes", ())))


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

    ARRAYS = ("loss", "loss_closed_form", "loss_f", "loss_g", "step", "train_loss")

    @property
    def penalty(self) -> np.ndarray:
        """(n_sequences,) loss of the stitched model minus g's own loss, sequence by sequence."""
        return self.loss - self.loss_g

    @property
    def complete(self) -> bool:
        """Whether phi was trained to the last step and evaluated."""
        return self.steps_done >= self.steps and self.loss.size > 0

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays, plain values) for the cache."""
        plain = {name: getattr(self, name) for name in ("layer_f", "layer_g", "steps_done", "steps", "provenance")}
        return {name: np.asarray(getattr(self, name)) for name in self.ARRAYS}, plain

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], plain: dict[str, Any]) -> StitchResult:
        """The result that `to_arrays` was called on."""
        numbers = {name: np.asarray(arrays[name], dtype=np.float64) for name in cls.ARRAYS}
        wanted: dict[str, Any] = numbers | {n: plain[n] for n in ("layer_f", "layer_g", "steps_done", "steps")}
        return cls(**wanted, provenance=plain.get("provenance", {}))


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


def _joined(parts: Sequence[BatchHsic] | Sequence[SameLayerHsic], names: tuple[str, ...]) -> Iterator[np.ndarray]:
    """Each named array of all parts, one after the other along the batches."""
    return (np.concatenate([getattr(part, name) for part in parts]) for name in names)


def layer_labels(n_layers: int) -> tuple[str, ...]:
    """("1", …, "L"): layer l is the residual stream after block l."""
    return tuple(str(layer) for layer in range(1, n_layers + 1))

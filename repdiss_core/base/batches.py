"""Typed results that grow by batches: append-only rows with checked shapes,
reduced later as often as one likes. numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from repdiss_core.base.errors import UserError


class BatchRows:
    """What results that grow by batches have in common: arrays whose first axis runs over the batches, and notes."""

    ARRAYS: ClassVar[tuple[str, ...]]
    MASSIVE: ClassVar[tuple[str, ...]] = ()
    n_tokens: np.ndarray
    notes: tuple[str, ...]

    @property
    def n_batches(self) -> int:
        """How many batches were measured."""
        return len(self.n_tokens)

    def covers(self, n_batches: int) -> bool:
        """Whether at least so many batches are there."""
        return self.n_batches >= n_batches

    def between(self, first: int, last: int | None = None) -> Self:
        """The batches first … last - 1 alone."""
        arrays = {name: a[first:last] for name, a in self.to_arrays()[0].items()}
        return type(self).from_arrays(arrays, {"notes": self.notes})

    def first(self, n_batches: int) -> Self:
        """The first batches alone."""
        return self.between(0, n_batches)

    @classmethod
    def of_batch(
        cls, values: np.ndarray, f: Any, g: Any, notes: tuple[str, ...], massive: Mapping[str, np.ndarray] = {}
    ) -> Self:
        """One batch, from its values and both prepared sides."""
        raise NotImplementedError(cls.__name__)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The batches of all parts, in their order."""
        named = [part.to_arrays()[0] for part in parts]
        arrays = {name: np.concatenate(_of_all(name, named)) for name in dict.fromkeys(n for one in named for n in one)}
        return cls.from_arrays(arrays, {"notes": dict.fromkeys(note for part in parts for note in part.notes)})

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays, plain values) for the cache."""
        arrays = {name: getattr(self, name) for name in self.ARRAYS} | getattr(self, "massive", {})
        return arrays, {"notes": list(self.notes)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any] = {}) -> Self:
        """The result that `to_arrays` was called on."""
        known: dict[str, Any] = {name: arrays[name] for name in cls.ARRAYS} | {"notes": tuple(plain.get("notes", ()))}
        if cls.MASSIVE:
            known["massive"] = {name: arrays[name] for name in cls.MASSIVE if name in arrays}
        return cls(**known)


def _of_all(name: str, parts: Sequence[Mapping[str, np.ndarray]]) -> list[np.ndarray]:
    """The array of each part; where one says nothing of massive tokens there are none in its batches: 0, and ids -1."""
    like = next(one[name] for one in parts if name in one)
    nothing = -1 if name.startswith(("tokens", "rows")) else 0
    return [
        one[name] if name in one else np.full((len(one["n_tokens"]), *like.shape[1:]), nothing, like.dtype)
        for one in parts
    ]


def _exchanged(massive: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is known of massive tokens, with f and g exchanged."""
    return {f"{name[:-1]}{'g' if name[-1] == 'f' else 'f'}": a for name, a in massive.items()}


def _check_massive(kind: str, n_batches: int, massive: Mapping[str, np.ndarray]) -> None:
    if any(len(a) != n_batches for a in massive.values()):
        raise UserError(
            f"{kind} holds {n_batches} batches, but what it says of massive tokens has another number of them."
        )


@dataclass(frozen=True, eq=False)
class BatchHsic(BatchRows):
    """HSIC values of every batch of one comparison.

    Args:
        cross: (n_batches, L_f, L_g) HSIC of each layer of f with each layer of g.
        self_f: (n_batches, L_f) HSIC of each layer of f with itself.
        self_g: (n_batches, L_g) the same for g.
        n_tokens: (n_batches,) rows that entered each batch.
        notes: what a reader must know, such as why a layer has no value.
        massive: what is known of massive tokens, by name, first axis the batches: peak_f (n_batches, L_f) and peak_g,
            the longest row over the median row of each layer; tokens_f (n_batches, 8) and tokens_g, ids of massive
            tokens, -1 where fewer. Where they were not dropped, and some batch has any: also rows_f (n_batches, 8) and
            rows_g, their places in the batch (sequence after sequence); count_f (n_batches, L_f) and count_g, how many
            are massive in each layer; share_f (n_batches, L_f) and share_g, what they carry of the layer's self term.
    """

    cross: np.ndarray
    self_f: np.ndarray
    self_g: np.ndarray
    n_tokens: np.ndarray
    notes: tuple[str, ...] = ()
    massive: dict[str, np.ndarray] = field(default_factory=dict)

    ARRAYS: ClassVar[tuple[str, ...]] = ("cross", "self_f", "self_g", "n_tokens")
    MASSIVE: ClassVar[tuple[str, ...]] = tuple(
        f"{name}_{side}" for name in ("peak", "tokens", "rows", "count", "share") for side in "fg"
    )

    def __post_init__(self) -> None:
        b, lf, lg = self.cross.shape
        _check_massive("BatchHsic", b, self.massive)
        if self.self_f.shape != (b, lf) or self.self_g.shape != (b, lg) or self.n_tokens.shape != (b,):
            raise UserError(
                f"BatchHsic shapes disagree: cross {self.cross.shape}, self_f {self.self_f.shape}, self_g "
                f"{self.self_g.shape}, n_tokens {self.n_tokens.shape}; expected (B, L_f, L_g), (B, L_f), (B, "
                "L_g), (B,)."
            )

    @property
    def layers(self) -> tuple[int, int]:
        """(L_f, L_g)."""
        return self.cross.shape[1:]

    @classmethod
    def of_batch(
        cls, values: np.ndarray, f: Any, g: Any, notes: tuple[str, ...], massive: Mapping[str, np.ndarray] = {}
    ) -> Self:
        """One batch, from the cross values (L_f, L_g) and both prepared sides."""
        cross, self_f, self_g = (np.asarray(a, dtype=np.float64)[None] for a in (values, f.self_hsic, g.self_hsic))
        rows = {name: a[None] for name, a in massive.items()}
        return cls(cross, self_f, self_g, np.array([f.n_tokens]), notes, rows)

    def transposed(self) -> Self:
        """The same comparison seen from g."""
        cross = self.cross.transpose(0, 2, 1)
        return type(self)(cross, self.self_g, self.self_f, self.n_tokens, self.notes, _exchanged(self.massive))


@dataclass(frozen=True, eq=False)
class SameLayerHsic(BatchRows):
    """HSIC of equal layers of two models, for every batch.

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

    ARRAYS: ClassVar[tuple[str, ...]] = ("cross", "self_f", "self_g", "n_tokens")

    def __post_init__(self) -> None:
        shape = self.cross.shape
        sides = (self.self_f.shape, self.self_g.shape)
        if len(shape) != 2 or sides != (shape, shape) or self.n_tokens.shape != shape[:1]:
            raise UserError(
                f"SameLayerHsic shapes disagree: cross {shape}, self_f {self.self_f.shape}, "
                f"self_g {self.self_g.shape}, "
                f"n_tokens {self.n_tokens.shape}; expected (B, L), (B, L), (B, L), (B,)."
            )

    @classmethod
    def of_batch(
        cls, values: np.ndarray, f: Any, g: Any, notes: tuple[str, ...], massive: Mapping[str, np.ndarray] = {}
    ) -> Self:
        """One batch, from the values of equal layers (L,) and both prepared sides."""
        cross, self_f, self_g = (np.asarray(a)[None] for a in (values, f.self_hsic, g.self_hsic))
        return cls(cross, self_f, self_g, np.array([f.n_tokens]), notes)


@dataclass(frozen=True, eq=False)
class BatchValues(BatchRows):
    """The values of any measure on every batch of one comparison.

    Args:
        values: (n_batches, L_f, L_g) or, for measures that keep p numbers a cell, (n_batches, L_f, L_g, p) float64; NaN
            where a layer has no value.
        n_tokens: (n_batches,) rows that entered each batch.
        notes, massive: as in `BatchHsic`.
    """

    values: np.ndarray
    n_tokens: np.ndarray
    notes: tuple[str, ...] = ()
    massive: dict[str, np.ndarray] = field(default_factory=dict)

    ARRAYS: ClassVar[tuple[str, ...]] = ("values", "n_tokens")
    MASSIVE: ClassVar[tuple[str, ...]] = BatchHsic.MASSIVE

    def __post_init__(self) -> None:
        _check_massive("BatchValues", len(self.n_tokens), self.massive)
        if self.values.ndim not in (3, 4) or self.n_tokens.shape != self.values.shape[:1]:
            raise UserError(
                f"BatchValues shapes disagree: values {self.values.shape}, n_tokens {self.n_tokens.shape}; "
                "expected (B, L_f, L_g) or (B, L_f, L_g, p), and (B,)."
            )

    @property
    def layers(self) -> tuple[int, int]:
        """(L_f, L_g)."""
        return self.values.shape[1:3]

    @classmethod
    def of_batch(
        cls, values: np.ndarray, f: Any, g: Any, notes: tuple[str, ...], massive: Mapping[str, np.ndarray] = {}
    ) -> Self:
        """One batch, from the values (L_f, L_g) or (L_f, L_g, p) and both prepared sides."""
        rows = {name: a[None] for name, a in massive.items()}
        return cls(np.asarray(values, dtype=np.float64)[None], np.array([f.n_tokens]), notes, rows)

    def transposed(self) -> Self:
        """The same comparison seen from g."""
        return type(self)(self.values.swapaxes(1, 2), self.n_tokens, self.notes, _exchanged(self.massive))

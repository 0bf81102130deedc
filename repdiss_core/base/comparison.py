"""What is computed and cached: a `Comparison` of two models, and a `Request` of several.

A Comparison holds everything that changes the numbers and nothing else. Reductions, intervals and the number of
batches belong to the view of a result; they are never part of the key.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from repdiss_core.base.errors import UserError
from repdiss_core.base.layer_pairs import ALL, LayerPairs, OneCut, layer_pairs

Setting = str | int | float | bool


@dataclass(frozen=True, order=True)
class ModelId:
    """A model by name and by the hash of its weights (or its hub revision)."""

    name: str
    weights: str


@dataclass(frozen=True, order=True)
class DataId:
    """A stream of token batches, by name, split, content hash and the way it is cut into batches."""

    name: str
    split: str
    content: str
    sequences_per_batch: int
    tokens_per_sequence: int
    seed: int = 0

    @property
    def tokens_per_batch(self) -> int:
        """Tokens in one batch."""
        return self.sequences_per_batch * self.tokens_per_sequence


@dataclass(frozen=True)
class Comparison:
    """One measure between two models on one stream of data; the unit of computing and caching.

    Args:
        measure: a name in `repdiss_core.measures.MEASURES`.
        f: the bottom model of a stitch, the rows of a CKA map.
        g: the top model of a stitch, the columns of a CKA map.
        data: the evaluation stream.
        layer_pairs: which layers stand beside each other: all, equal ones, every cut, or one pair.
        hook: where the residual stream is read.
        resid_mean: "removed" subtracts each token's mean over d_model from features, "kept" does not.
        dtype: of the forward pass.
        measure_version: raised whenever a measure's numbers change.
        settings: what the measure itself takes, sorted by name.
    """

    measure: str
    f: ModelId
    g: ModelId
    data: DataId
    layer_pairs: LayerPairs = ALL
    hook: str = "resid_post"
    resid_mean: str = "removed"
    dtype: str = "float32"
    measure_version: int = 1
    settings: tuple[tuple[str, Setting], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", tuple(sorted(tuple(item) for item in self.settings)))

    @cached_property
    def key(self) -> str:
        """64 hexadecimal digits that name this comparison in every cache."""
        return _digest(self.to_dict())

    def setting(self, name: str, default: Any = None) -> Any:
        """The value of one of the measure's settings."""
        return dict(self.settings).get(name, default)

    @property
    def layer_pair(self) -> tuple[int, int]:
        """(layer of f, layer of g) of one pair of layers, both counted from 1 (0 is the embedding).

        Raises:
            UserError: the comparison is not of one pair.
        """
        if not isinstance(self.layer_pairs, OneCut):
            raise UserError(
                f"The layer pair of a stitch is {self.layer_pairs.text!r}; expected two numbers such as '2:2' "
                "(layer of f, layer of g)."
            )
        return self.layer_pairs.layer_f, self.layer_pairs.layer_g

    def to_dict(self) -> dict[str, Any]:
        """The canonical form: plain JSON types, settings as an object, layer pairs as their text."""
        return {**dataclasses.asdict(self), "layer_pairs": self.layer_pairs.text, "settings": dict(self.settings)}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Comparison:
        """The comparison that `to_dict` was called on."""
        return cls(
            **{
                **form,
                "f": ModelId(**form["f"]),
                "g": ModelId(**form["g"]),
                "data": DataId(**form["data"]),
                "layer_pairs": layer_pairs(form.get("layer_pairs", "all")),
                "settings": tuple(form["settings"].items()),
            }
        )


@dataclass(frozen=True)
class Request:
    """A set of comparisons over the first `n_batches` batches: what a page asks for and a job runs."""

    comparisons: tuple[Comparison, ...]
    n_batches: int

    @cached_property
    def key(self) -> str:
        """Names the job that computes this request; the order of the comparisons does not matter."""
        return _digest({"comparisons": sorted(c.key for c in self.comparisons), "n_batches": self.n_batches})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"comparisons": [c.to_dict() for c in self.comparisons], "n_batches": self.n_batches}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Request:
        """The request that `to_dict` was called on."""
        return cls(tuple(Comparison.from_dict(c) for c in form["comparisons"]), int(form["n_batches"]))


def in_order(
    measure: str, symmetric: bool, f: ModelId, g: ModelId, data: DataId, **fields: Any
) -> tuple[Comparison, bool]:
    """A comparison of two models, and whether (f, g) had to be swapped to reach its canonical order.

    A pair of a symmetric measure has one entry: the models in the order of their names.
    """
    swapped = symmetric and (g.name, g.weights) < (f.name, f.weights)
    first, second = (g, f) if swapped else (f, g)
    return Comparison(measure, first, second, data, **fields), swapped


def cka_comparison(f: ModelId, g: ModelId, data: DataId, **fields: Any) -> tuple[Comparison, bool]:
    """A CKA comparison in canonical order, and whether (f, g) had to be swapped to reach it."""
    return in_order("cka", True, f, g, data, **fields)


def _digest(form: Mapping[str, Any]) -> str:
    canonical = json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()

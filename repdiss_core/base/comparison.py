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
        layer_pairs: "all" for CKA maps; one pair "l:m" (layer of f, layer of g) for a stitch.
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
    layer_pairs: str = "all"
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
        """(layer of f, layer of g) of a stitch, both counted from 1 (0 is the embedding)."""
        layer_f, layer_g = self.layer_pairs.split(":")
        return int(layer_f), int(layer_g)

    def to_dict(self) -> dict[str, Any]:
        """The canonical form: plain JSON types, settings as an object."""
        return {**dataclasses.asdict(self), "settings": dict(self.settings)}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Comparison:
        """The comparison that `to_dict` was called on."""
        return cls(
            **{
                **form,
                "f": ModelId(**form["f"]),
                "g": ModelId(**form["g"]),
                "data": DataId(**form["data"]),
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


def cka_comparison(f: ModelId, g: ModelId, data: DataId, **fields: Any) -> tuple[Comparison, bool]:
    """A CKA comparison in canonical order, and whether (f, g) had to be swapped to reach it.

    CKA is symmetric, so that a pair has one entry: the models in the order of their names.
    """
    swapped = (g.name, g.weights) < (f.name, f.weights)
    first, second = (g, f) if swapped else (f, g)
    return Comparison("cka", first, second, data, **fields), swapped


def _digest(form: Mapping[str, Any]) -> str:
    canonical = json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()

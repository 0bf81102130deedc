"""Any measure on features or models at hand, by what its spec says alone:
what the contract test and toys measure with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repdiss_core.base.layer_pairs import AllLayers
from repdiss_core.measures import MeasureSpec, Pass
from repdiss_core.measures.shared import BatchContext, LayerPreparations

N, D, SEQUENCES = 64, 6, 8  # rows of a batch, features of a layer, sequences that the rows belong to
FIT, SCORED = 6, 3
Batches = list[list[np.ndarray]]  # batches of layers (N, D)

rng = np.random.default_rng(0)
ROTATION = np.linalg.qr(rng.normal(size=(D, D)))[0]
SKEW = ROTATION @ np.diag([20.0, 5.0, 1.0, 1.0, 0.5, 0.1])
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rotation": lambda x: x @ ROTATION,
    "isotropic_scale": lambda x: 37.5 * x,
    "shift": lambda x: x + np.arange(D),
    "invertible_linear": lambda x: x @ SKEW,
}


def related_features(seed: int = 0, n_layers: int = 2) -> tuple[Batches, Batches]:
    """Features of f, and of g, a noisy linear image of them: the same map in every batch."""
    draw = np.random.default_rng(seed)
    maps = draw.normal(size=(n_layers, D, D))
    f = [[draw.normal(size=(N, D)) + 3.0 for _ in range(n_layers)] for _ in range(FIT + SCORED)]
    g = [[x @ m + 0.5 * draw.normal(size=(N, D)) for x, m in zip(batch, maps, strict=True)] for batch in f]
    return f, g


def independent_features(seed: int, n: int, d: int) -> tuple[Batches, Batches]:
    """One layer each of unrelated Gaussians."""
    draw = np.random.default_rng(seed)
    f, g = ([[draw.normal(size=(n, d))] for _ in range(FIT + SCORED)] for _ in range(2))
    return f, g


def options_of(spec: MeasureSpec) -> list[dict[str, Any]]:
    """The defaults, and each other choice of each option by itself."""
    defaults = {o.id: o.default for o in spec.options}
    cases = [defaults]
    cases += [defaults | {o.id: value} for o in spec.options for value in o.values if value != o.default]
    return [case for case in cases if int(case.get("fit_batches", 0)) <= 10]


def prepared(spec: MeasureSpec, layers: Sequence[np.ndarray], options: Mapping[str, Any]) -> Any:
    """One side of one batch."""
    n = len(layers[0])
    ids = np.arange(n) * SEQUENCES // n
    return spec.load().prepare(LayerPreparations(layers, ids), BatchContext(ids, options))


def measured(spec: MeasureSpec, f: Batches, g: Batches, options: Mapping[str, Any]) -> np.ndarray:
    """(L_f, L_g) values of a feature measure, put together over batches as the spec says."""
    if spec.runs is Pass.TOKENS:
        rows = [[np.nanmean(spec.load()(x, y).cosine) for y in g[0]] for x in f[0]]
        return np.array(rows)
    sides = [
        (one := prepared(spec, a, options), one if a is b else prepared(spec, b, options))
        for a, b in zip(f, g, strict=True)
    ]
    stored = spec.stored[AllLayers]
    if spec.runs is Pass.POOLED:
        statistics = None
        for side_f, side_g in sides[:FIT]:
            statistics = spec.load().accumulate(statistics, side_f, side_g)
        fitted = spec.load().fit(statistics, BatchContext(None, options))
        values = [(spec.load().score(fitted, *pair), *pair) for pair in sides[FIT:]]
    else:
        values = [(spec.load().cross(*pair), *pair) for pair in sides[:SCORED]]
    whole = stored.joined([stored.of_batch(value, *pair, (), {}) for value, *pair in values])
    return spec.reduction.reduce(whole, next(iter(spec.reduction.names))).values


class Based:
    """A residual model in another basis: the same function of the tokens, features x · change.

    Args:
        change: (d, d) invertible.
        shift: (d,) added to every residual.
    """

    def __init__(self, model: Any, change: np.ndarray | None = None, shift: np.ndarray | None = None) -> None:
        d = model.d_model
        self.model, self.name, self.n_layers, self.d_model = model, f"{model.name}'", model.n_layers, d
        self.vocab_size, self.labels = getattr(model, "vocab_size", 0), getattr(model, "labels", ())
        self.change = torch.eye(d) if change is None else torch.tensor(change, dtype=torch.float32)
        self.shift = torch.zeros(d) if shift is None else torch.tensor(shift, dtype=torch.float32)
        self.back = torch.linalg.inv(self.change)

    def _in(self, h: Tensor) -> Tensor:
        return h @ self.change + self.shift

    def _out(self, h: Tensor) -> Tensor:
        return (h - self.shift) @ self.back

    def embed(self, batch: Any) -> Tensor:
        return self._in(self.model.embed(batch))

    def blocks(self, h: Tensor, a: int, b: int, batch: Any) -> Tensor:
        return self._in(self.model.blocks(self._out(h), a, b, batch))

    def head(self, h: Tensor, batch: Any) -> Tensor:
        return self.model.head(self._out(h), batch)

    def read_out(self, h: Tensor, batch: Any) -> Tensor:
        return self.model.read_out(self._out(h), batch)


def based(model: Any, change: str) -> Based:
    """A model whose residual stream is changed in one of the ways of `INVARIANCES`, and which predicts as before."""
    d = model.d_model
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(d, d)))[0]
    return {
        "rotation": lambda: Based(model, rotation),
        "isotropic_scale": lambda: Based(model, 37.5 * np.eye(d)),
        "shift": lambda: Based(model, shift=np.arange(d) * 1.0),
        "invertible_linear": lambda: Based(model, rotation @ np.diag(np.geomspace(10.0, 0.2, d))),
    }[change]()

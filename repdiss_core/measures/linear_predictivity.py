"""Linear predictivity: the share of one layer's variance that a linear map of another explains on unseen batches.

1 − ‖Y − Ŷ‖² / ‖Y − mean‖² with ŷ = m_y + (x − m_x) W, the ridge map W = (S_x + λI)⁻¹ C fitted on other batches, S_x
and C being the sums of squares and products about the means m there, and λ a multiple of the mean eigenvalue of S_x.
The mean in the denominator is that of the scored batch. Directed: f → g and g → f are two values.

At most 1; below 1 for equal input by what the ridge takes, at most 0 on average for independent features. A rotation,
a scale or a shift of either layer changes nothing. A *pooled* measure: `accumulate` takes in one fitting batch after
another, `fit` solves once (one factorisation a source layer serves all targets), `score` reads the scored batches.
Sums run over batches in float64; products of a batch's centred features are float32 above 256 tokens.
Memory: 8 · Σd_f · Σd_g bytes for the sums of all pairs, 4 · Σd_f · Σd_g for the maps of each direction.
Largest error against float64 (n = 1024, d = 512, float32): 1e-6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repdiss_core.base.errors import UserError
from repdiss_core.measures.gram import full_float32
from repdiss_core.measures.linear_statistics import Moments, PreparedBatch, Statistics, accumulate, prepare
from repdiss_core.measures.shared import check_partners

__all__ = [
    "RIDGE",
    "LinearMaps",
    "Scores",
    "accumulate",
    "fit",
    "flops",
    "least_tokens",
    "linear_predictivity_matrix",
    "prepare",
    "score",
]
RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class LinearMaps:
    """Fitted maps.

    Args:
        forward: {(layer of f, layer of g): (d_f, d_g)} from f to g; empty where only the other direction is wanted.
        backward: {(layer of f, layer of g): (d_g, d_f)} from g to f.
        means_f, means_g: [(d,)] float64 means over the fitting batches.
        notes: which layers have no value, and why.
    """

    forward: dict[tuple[int, int], Tensor]
    backward: dict[tuple[int, int], Tensor]
    means_f: list[Tensor]
    means_g: list[Tensor]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Scores:
    """Squared errors of one or several scored batches, float64; NaN where a pair has none.

    Args:
        forward: (B, L_f, L_g) Σ |y − ŷ|² of g's layers predicted from f's.
        backward: (B, L_f, L_g) Σ |x − x̂|² of f's layers predicted from g's.
        total_f: (B, L_f) Σ |x − mean|² of the batch; total_g: (B, L_g).
        notes: which layers have no value, and why.
    """

    forward: np.ndarray
    backward: np.ndarray
    total_f: np.ndarray
    total_g: np.ndarray
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Scores:
        """The batches of all parts, in their order."""
        forward, backward, total_f, total_g = (
            np.concatenate([getattr(p, name) for p in parts]) for name in ("forward", "backward", "total_f", "total_g")
        )
        notes = tuple(dict.fromkeys(note for p in parts for note in p.notes))
        return cls(forward, backward, total_f, total_g, notes)

    def predictivity(self, direction: str = "forward") -> np.ndarray:
        """(L_f, L_g) shares of variance explained over all batches, f → g ("forward") or g → f ("backward")."""
        check_direction(direction, ("forward", "backward"))
        forward = direction == "forward"
        errors = (self.forward if forward else self.backward).sum(axis=0)
        total = self.total_g.sum(axis=0)[None, :] if forward else self.total_f.sum(axis=0)[:, None]
        return 1.0 - errors / np.where(total > 0, total, np.nan)


def linear_predictivity_matrix(
    fit_f: Sequence[Sequence[Any]],
    fit_g: Sequence[Sequence[Any]],
    score_f: Sequence[Sequence[Any]],
    score_g: Sequence[Sequence[Any]],
    ridge: float = RIDGE,
    direction: str = "forward",
    pairs: str = "all",
) -> np.ndarray:
    """(L_f, L_g) share of variance of g's layers that maps of f's explain ("forward"), or of f's by g's ("backward").

    Args:
        fit_f, fit_g: for each fitting batch, for each layer, (n, d) features; rows of f and g are the same tokens.
        score_f, score_g: the same for the batches that are scored, which the fit has not seen.
        ridge: λ over the mean eigenvalue.
        direction: "forward" or "backward".
        pairs: "all", or "same_layer" (NaN elsewhere).

    Raises:
        UserError: unequal numbers of batches, and as `accumulate`, `fit` and `score`.
    """
    for name, f, g in (("fitting", fit_f, fit_g), ("scored", score_f, score_g)):
        if len(f) != len(g) or len(f) == 0:
            raise UserError(
                f"f has {len(f)} {name} batches and g has {len(g)}; both need the same batches, at least one."
            )
    statistics: Statistics | None = None
    for f, g in zip(fit_f, fit_g, strict=True):
        statistics = accumulate(statistics, prepare(f), prepare(g), pairs)
    assert statistics is not None  # there is at least one batch
    maps = fit(statistics, ridge, direction)
    scores = [score(maps, prepare(f), prepare(g)) for f, g in zip(score_f, score_g, strict=True)]
    return Scores.joined(scores).predictivity(direction)


def fit(statistics: Statistics, ridge: float = RIDGE, direction: str = "both") -> LinearMaps:
    """The ridge maps of the pairs accumulated.

    Args:
        ridge: λ over the mean eigenvalue of S_x, above 0.
        direction: "forward" (f → g), "backward" (g → f) or "both".

    Raises:
        UserError: a ridge that is not above 0, or no more fitting tokens than features.
    """
    check_direction(direction, ("forward", "backward", "both"))
    if not ridge > 0:
        raise UserError(
            f"The ridge is a multiple of the mean eigenvalue above 0; {ridge:g} was given, {RIDGE:g} is usual."
        )
    wanted = [d for d in ("forward", "backward") if direction in (d, "both")]
    sources = {"forward": statistics.f, "backward": statistics.g}
    for name in wanted:
        _check_enough(sources[name])
    notes = tuple(
        f"{'fg'[side]}: layer {layer + 1} predicts nothing: its features are the same for every fitting token"
        for side, name in enumerate(("forward", "backward"))
        for layer, squares in enumerate(sources[name].squares)
        if name in wanted and not float(squares.trace()) > 0
    )
    maps = {
        name: _maps(sources[name], statistics.products, ridge, side)
        for side, name in enumerate(("forward", "backward"))
        if name in wanted
    }
    return LinearMaps(maps.get("forward", {}), maps.get("backward", {}), statistics.f.means, statistics.g.means, notes)


def score(maps: LinearMaps, f: PreparedBatch, g: PreparedBatch) -> Scores:
    """Squared errors of the maps on one batch that the fit has not seen.

    Raises:
        UserError: where token counts differ.
    """
    check_partners(f, g)
    with full_float32(f.centred[0].device):
        forward = _errors(maps.forward, f, g, maps.means_f, maps.means_g)
        backward = _errors({pair[::-1]: w for pair, w in maps.backward.items()}, g, f, maps.means_g, maps.means_f).T
    totals = [np.where(side.missing, 0.0, side.totals) for side in (f, g)]
    more = tuple(f"{name}: {note}" for name, side in (("f", f), ("g", g)) for note in side.notes)
    return Scores(forward[None], backward[None], totals[0][None], totals[1][None], maps.notes + more)


def least_tokens(d_f: int, d_g: int) -> int:
    """The fewest fitting tokens, over all fitting batches, that both directions take."""
    return max(d_f, d_g) + 1


def flops(n: int, d_f: int, d_g: int, layers_f: int = 1, layers_g: int = 1) -> float:
    """Operations for a fitting batch with both directions; a scored batch takes up to twice of it.

    A fit takes 2 d³ for each pair and direction, once.
    """
    return 2.0 * n * (layers_f * d_f**2 + layers_g * d_g**2 + layers_f * layers_g * d_f * d_g)


def check_direction(direction: str, allowed: tuple[str, ...]) -> None:
    """Raise `UserError` for an unknown direction."""
    if direction not in allowed:
        raise UserError(f"Linear predictivity has the directions {', '.join(allowed)}; {direction!r} was asked for.")


def _check_enough(moments: Moments) -> None:
    widest = max(len(m) for m in moments.means)
    if moments.n_tokens <= widest:
        raise UserError(
            f"A linear map of {widest} features was to be fitted on {moments.n_tokens} tokens; it needs more tokens "
            f"than features: fit on at least {widest + 1} tokens, with more or larger batches."
        )


def _maps(
    source: Moments, products: dict[tuple[int, int], Tensor], ridge: float, side: int
) -> dict[tuple[int, int], Tensor]:
    """{(layer of f, layer of g): the map from the source}; `side` 0 where the source is f, 1 where it is g."""
    maps: dict[tuple[int, int], Tensor] = {}
    for layer, squares in enumerate(source.squares):
        mean_eigenvalue = float(squares.diagonal().mean())
        own = [pair for pair in products if pair[side] == layer]
        if not mean_eigenvalue > 0:
            continue
        identity = torch.eye(len(squares), dtype=squares.dtype, device=squares.device)
        factor = torch.linalg.cholesky(squares + ridge * mean_eigenvalue * identity)
        for pair in own:
            right = products[pair] if side == 0 else products[pair].T
            maps[pair] = torch.cholesky_solve(right, factor)
    return maps


def _errors(
    maps: dict[tuple[int, int], Tensor],
    x: PreparedBatch,
    y: PreparedBatch,
    means_x: list[Tensor],
    means_y: list[Tensor],
) -> np.ndarray:
    """(L_x, L_y) Σ |y − ŷ|²: about the batch's means, and n times the squared error of its mean."""
    errors = np.full((x.n_layers, y.n_layers), np.nan)
    for (row, column), w in maps.items():
        scale = 2.0 ** int(x.exponents[row] - y.exponents[column])
        inside = torch.addmm(y.centred[column], x.centred[row], (w * scale).to(x.centred[row].dtype), alpha=-1.0)
        offset = (y.means[column] - means_y[column]) - (x.means[row] - means_x[row]) @ w
        squared = float((torch.linalg.vector_norm(inside, dim=1).double() ** 2).sum())
        errors[row, column] = np.ldexp(squared, 2 * int(y.exponents[column])) + x.n_tokens * float((offset**2).sum())
    return errors

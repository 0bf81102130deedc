"""The measures in plain torch, pair by pair, and RSA by rsatoolbox: what `bench measures` compares with."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

Matrix = Callable[[list[Tensor], list[Tensor]], np.ndarray]
K = 10


def pairwise(prepare: Callable[[Tensor], object], pair: Callable[..., float]) -> Matrix:
    """A map from one function a layer and one a pair."""

    def matrix(f: list[Tensor], g: list[Tensor]) -> np.ndarray:
        first, second = ([prepare(x - x.mean(dim=0)) for x in layers] for layers in (f, g))
        return np.array([[pair(a, b) for b in second] for a in first])

    return matrix


def _dissimilarity_ranks(c: Tensor) -> Tensor:
    correlations = torch.corrcoef(c)
    upper = torch.triu_indices(len(c), len(c), offset=1)
    ranks = (1 - correlations[upper[0], upper[1]]).argsort().argsort().to(c.dtype)  # no mid-ranks
    return ranks - ranks.mean()


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def _mask(c: Tensor) -> tuple[Tensor, Tensor]:
    unit = torch.nn.functional.normalize(c, dim=1)
    cosines = unit @ unit.T
    near = cosines.clone().fill_diagonal_(-torch.inf).topk(K, dim=1).indices
    return cosines, torch.zeros_like(cosines).scatter_(1, near, 1.0)


def _common(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> float:
    return float((a[1] * b[1]).sum() / (len(a[1]) * K))


def _jaccard(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> float:
    common = (a[1] * b[1]).sum(dim=1)
    return float((common / (2 * K - common)).mean())


def _masked_hsic(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """Both orders averaged, as `measures.cknna` states."""
    n = len(mask)
    x, y = (torch.where(mask > 0, side, torch.zeros_like(side)) for side in (a, b))
    chains = (x.sum(dim=0) * y.sum(dim=1) + y.sum(dim=0) * x.sum(dim=1)).sum()
    return ((x * y.T).sum() + x.sum() * y.sum() / ((n - 1) * (n - 2)) - chains / (n - 2)) / (n * (n - 3))


def _cknna(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> float:
    own = _masked_hsic(a[0], a[0], a[1]) * _masked_hsic(b[0], b[0], b[1])
    return float(_masked_hsic(a[0], b[0], a[1] * b[1]) / own.sqrt())


def _procrustes(x: Tensor, y: Tensor) -> float:
    return float(torch.linalg.svdvals(x.T @ y).sum() / (x.norm() * y.norm()))


PLAIN: dict[str, Matrix] = {
    "rsa": pairwise(_dissimilarity_ranks, _cosine),
    "mutual_knn": pairwise(_mask, _common),
    "jaccard_knn": pairwise(_mask, _jaccard),
    "cknna": pairwise(_mask, _cknna),
    "procrustes": pairwise(lambda c: c, _procrustes),
}


def plain_predictivity(
    fit: tuple[list[Tensor], list[Tensor]], scored: tuple[list[Tensor], list[Tensor]], ridge: float
) -> np.ndarray:
    """(L,) share of variance of layer l of g that layer l of f explains: one ridge regression a pair."""
    values = []
    for x, y, a, b in zip(*fit, *scored, strict=True):
        mean_x, mean_y = x.mean(dim=0), y.mean(dim=0)
        c = x - mean_x
        squares = c.T @ c
        squares.diagonal().add_(ridge * squares.diagonal().mean())
        w = torch.linalg.solve(squares, c.T @ (y - mean_y))
        errors = ((b - mean_y - (a - mean_x) @ w) ** 2).sum()
        values.append(1 - float(errors / ((b - b.mean(dim=0)) ** 2).sum()))
    return np.array(values)


def rsatoolbox_rsa() -> Matrix | None:
    """RSA by rsatoolbox, on features whose columns are centred; None where it is not installed."""
    if find_spec("rsatoolbox") is None:
        return None
    rdm, data = import_module("rsatoolbox.rdm"), import_module("rsatoolbox.data")

    def matrix(f: list[Tensor], g: list[Tensor]) -> np.ndarray:
        first, second = (
            rdm.concat([rdm.calc_rdm(data.Dataset((x - x.mean(dim=0)).numpy()), method="correlation") for x in layers])
            for layers in (f, g)
        )
        return np.asarray(rdm.compare(first, second, method="spearman"))

    return matrix

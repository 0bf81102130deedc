"""One number for how far two models lie apart: the paper's equation (2). numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from repdiss_core.base.errors import UserError


def cka_distance(values: Any) -> np.ndarray | float:
    """sqrt(Σ_l arccos(CKA_l)²), the distance of two models of one depth (equation (2) of the paper), in radians.

    Clipping rule: CKA is clipped to [−1, 1] inside the arccos and nowhere else. Only rounding can carry it outside,
    since the CKA of one batch is the cosine of an angle. A negative value is an angle above π/2.

    A metric for the CKA of one fixed batch: with "biased" the angle is that between the doubly centred Gram matrices,
    with "unbiased" that between the U-centred ones, and angles obey the triangle inequality, and so does the root of
    their summed squares over layers. CKA *averaged* over batches, by either reduction, need not obey it.
    It is 0 for models whose layers differ by rotation, scale and shift.

    Args:
        values: (L,) CKA of layer l of f with layer l of g, or (…, L) for many pairs at once.

    Returns:
        A number for (L,), an array (…,) otherwise; NaN where a layer has no CKA.

    Raises:
        UserError: for no layers at all.
    """
    cka = np.asarray(values, dtype=np.float64)
    if cka.ndim == 0 or cka.shape[-1] == 0:
        raise UserError(
            "The CKA distance sums over layers, and there are none: give the CKA of each pair of equal layers, "
            "shape (L,)."
        )
    distance = np.sqrt((np.arccos(np.clip(cka, -1.0, 1.0)) ** 2).sum(axis=-1))
    return float(distance) if cka.ndim == 1 else distance


def same_layer_values(matrix: Any) -> np.ndarray:
    """(L,) the diagonal of an (L_f, L_g) map of CKA values.

    Raises:
        UserError: where the models differ in depth: equation (2) pairs layer l with layer l.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.shape[0] != matrix.shape[1]:
        raise UserError(
            "The CKA distance pairs layer l of one model with layer l of the other, but the models have "
            f"{matrix.shape[0]} and "
            f"{matrix.shape[1]} layers: choose models of one depth."
        )
    return matrix.diagonal().copy()


def distance_matrix(models: tuple[str, ...], cka: Mapping[tuple[str, str], Any]) -> np.ndarray:
    """(n_models, n_models) distances of all models from each other, symmetric with a zero diagonal.

    Args:
        models: names, in the order of rows and columns.
        cka: (L,) same-layer CKA of each pair, under (f, g) or (g, f).

    Raises:
        UserError: for a pair that is missing, or pairs with different numbers of layers.
    """
    distances = np.zeros((len(models), len(models)))
    depths = {len(np.atleast_1d(values)) for values in cka.values()}
    if len(depths) > 1:
        raise UserError(
            f"The pairs have {' and '.join(map(str, sorted(depths)))} layers: "
            "distances over different depths cannot be compared."
        )
    for i, f in enumerate(models):
        for j, g in enumerate(models[:i]):
            values = cka.get((f, g), cka.get((g, f)))
            if values is None:
                raise UserError(
                    f"The CKA of {f} with {g} is missing: "
                    "measure every pair of models before asking for their distances."
                )
            distances[i, j] = distances[j, i] = cka_distance(values)
    return distances

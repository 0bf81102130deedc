"""HSIC of all layer pairs of two models on one batch: `prepare` each model once, then multiply any pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repdiss_core.base.errors import UserError
from repdiss_core.measures.centring import centre_into, gram_row_sums
from repdiss_core.measures.gram import (
    FLOAT64_UP_TO,
    cross_products,
    float64_on_cpu,
    full_float32,
    pack_gram,
    pack_matrix,
    packed_sizes,
    padded_rows,
    same_products,
)
from repdiss_core.measures.hsic import BIASED, UNBIASED, Correction, Estimator, check_token_count
from repdiss_core.measures.products import Workspace, choose_product
from repdiss_core.measures.sequence_aware import SEQUENCE_AWARE, check_sequence_ids

ESTIMATORS: dict[str, Estimator] = {e.name: e for e in (UNBIASED, BIASED, SEQUENCE_AWARE)}
ROUNDING = {
    torch.float32: 1e-6,
    torch.float64: 1e-12,
}  # a remainder this much smaller than what it is left over from is rounding


@dataclass(frozen=True, eq=False)
class Prepared:
    """All layers of one model on one batch, ready to be multiplied with those of any other model on the same batch.

    Args:
        estimator: which HSIC.
        n_tokens: rows of the features.
        packed: (L, length) packed Gram matrices of the centred, scaled layers (see gram.py); zeros for a layer
            without a value.
        n_off: how many packed numbers lie above the diagonal tiles.
        statistics: (L, p) float64 φ, and `correction` what to do with them (see `hsic.Correction`).
        exponents: (L,) the power of two that each layer's features were divided by.
        self_hsic: (L,) float64 HSIC of each layer with itself; 0 for a layer without a value.
        notes: which layers have no value, and why.
        sequence_ids: (n_tokens,) for the estimator that needs them.
    """

    estimator: str
    n_tokens: int
    packed: Tensor
    n_off: int
    statistics: np.ndarray
    correction: Correction
    exponents: np.ndarray
    self_hsic: np.ndarray
    notes: tuple[str, ...]
    sequence_ids: np.ndarray | None = None

    @property
    def n_layers(self) -> int:
        """How many layers were prepared."""
        return len(self.exponents)


def prepare(
    layers: Sequence[Tensor], estimator: str = "unbiased", sequence_ids: Any = None, workspace: Workspace | None = None
) -> Prepared:
    """One model's layers on one batch, centred, scaled, and turned into packed Gram matrices.

    Args:
        layers: (n_tokens, d) features of each layer, tensors of any floating type on any device (arrays are taken
            too); d may differ.
        estimator: "unbiased", "biased" or "sequence_aware".
        sequence_ids: (n_tokens,) which sequence each token belongs to; for "sequence_aware".
        workspace: memory to prepare in, reused from batch to batch; the result is then valid until `workspace.reset()`.

    Raises:
        UserError: for an unknown estimator, no layers, layers of different token counts or devices, fewer than 4
            tokens (or sequences, where they count), and NaN or infinite features (the sentence names the layer).
    """
    if estimator not in ESTIMATORS:
        raise UserError(f"There is no CKA estimator {estimator!r}; choose one of {', '.join(ESTIMATORS)}.")
    spec = ESTIMATORS[estimator]
    features = _checked_layers(layers)
    n, device = len(features[0]), features[0].device
    ids = check_sequence_ids(sequence_ids, n) if spec.needs_sequences else None
    dtype = torch.float64 if n <= FLOAT64_UP_TO and device.type != "mps" else torch.float32  # MPS has no float64
    n_off, length = packed_sizes(padded_rows(n))
    packed = (workspace or Workspace()).take(len(features), length, dtype, device)
    with full_float32(device):
        correction = spec.correction(n, ids)
        pair_weights = _packed_root_weights(correction, packed)
        statistics, exponents = _fill(features, packed, spec, ids, pair_weights)
    return _with_self_hsic(spec, n, packed, n_off, statistics, correction, exponents, ids)


def hsic_cross(f: Prepared, g: Prepared) -> np.ndarray:
    """(L_f, L_g) float64: HSIC of every layer of f with every layer of g.

    The products depend on the two models alone, never on what else is compared, so that the same pair gives the
    same bytes in any company. Where f is g, the diagonal is `f.self_hsic` itself: CKA of a layer with itself is
    exactly 1.

    Raises:
        UserError: where token counts, estimators or sequence ids differ.
    """
    _check_partners(f, g)
    with full_float32(f.packed.device):
        total = cross_products(f.packed, g.packed, f.n_off)
    total += (f.statistics * f.correction.weights) @ g.statistics.T
    values = _finished(total, f.correction, f.exponents[:, None] + g.exponents[None, :])
    if f is g:
        np.fill_diagonal(values, f.self_hsic)
    return values


def hsic_same_layers(f: Prepared, g: Prepared) -> np.ndarray:
    """(L,) float64: HSIC of layer l of f with layer l of g; no other pair is multiplied.

    Raises:
        UserError: as `hsic_cross`, and for models of different depth.
    """
    _check_partners(f, g)
    if f.n_layers != g.n_layers:
        raise UserError(
            f"Layers are paired one to one, but the models have {f.n_layers} and {g.n_layers}: "
            "compare models of one depth."
        )
    with full_float32(f.packed.device):
        total = same_products(f.packed, g.packed, f.n_off)
    total += (f.statistics * f.correction.weights * g.statistics).sum(axis=1)
    return _finished(total, f.correction, f.exponents + g.exponents)


def _checked_layers(layers: Sequence[Any]) -> list[Tensor]:
    """The layers as tensors of one device and one token count."""
    if len(layers) == 0:
        raise UserError("There are no layers to compare: give at least one (n_tokens, d) feature matrix.")
    features = [
        layer if isinstance(layer, Tensor) else torch.from_numpy(np.require(layer, requirements=("C", "W")))
        for layer in layers
    ]
    for index, x in enumerate(features):
        if x.ndim != 2 or x.shape[1] == 0:
            raise UserError(
                f"Layer {index + 1} has shape {tuple(x.shape)}, but features are (n_tokens, d): "
                "use `flatten` for (b, t, d)."
            )
        if len(x) != len(features[0]):
            raise UserError(
                f"Layer {index + 1} has {len(x)} tokens and layer 1 has {len(features[0])}: "
                "all layers must come from the same tokens."
            )
        if x.device != features[0].device:
            raise UserError(
                f"Layer {index + 1} is on {x.device} and layer 1 on {features[0].device}: "
                "move all layers to one device."
            )
        if x.is_complex():
            raise UserError(f"Layer {index + 1} holds complex numbers; features must be real.")
    check_token_count(len(features[0]))
    return features


def _packed_root_weights(correction: Correction, packed: Tensor) -> Tensor | None:
    """(length,) square roots of the pair weights: multiplied into both factors, they weight the product."""
    if correction.pair_weights is None:
        return None
    n = len(correction.pair_weights)
    roots = np.zeros((padded_rows(n), padded_rows(n)))
    roots[:n, :n] = np.sqrt(correction.pair_weights)
    return pack_matrix(torch.from_numpy(roots)).to(packed.dtype).to(packed.device)


def _fill(
    features: list[Tensor], packed: Tensor, spec: Estimator, ids: np.ndarray | None, root_weights: Tensor | None
) -> tuple[np.ndarray, np.ndarray]:
    """Write the packed Gram matrix of each layer; returns ((L, p) statistics, (L,) exponents)."""
    n, buffers, statistics, exponents = len(features[0]), {}, [], []
    product = choose_product(packed.device, packed.dtype)
    for index, x in enumerate(features):
        d = x.shape[1]
        if d not in buffers:
            buffers[d] = torch.zeros(padded_rows(n), d, dtype=packed.dtype, device=packed.device)
        c = buffers[d]
        x = x if x.dtype == torch.float64 else x.to(packed.dtype)
        norms, typical, exponent = centre_into(x, c, spec.robust_centre, f"Layer {index + 1}")
        pack_gram(c, packed[index], spec.keep_diagonal, product)
        if root_weights is not None:
            packed[index] *= root_weights
        rows = float64_on_cpu(c[:n]) if spec.needs_sequences else None
        row_sums = float64_on_cpu(gram_row_sums(c[:n], norms, typical))
        statistics.append(spec.statistics(row_sums, float64_on_cpu(norms) ** 2, rows, ids))
        exponents.append(exponent)
    return np.stack(statistics), np.array(exponents)


def _with_self_hsic(
    spec: Estimator,
    n: int,
    packed: Tensor,
    n_off: int,
    statistics: np.ndarray,
    correction: Correction,
    exponents: np.ndarray,
    ids: Any,
) -> Prepared:
    """The prepared model, with layers that do not vary set to zero and noted."""
    with full_float32(packed.device):
        entries = same_products(packed, packed, n_off)
    total = entries + (statistics * correction.weights * statistics).sum(axis=1)
    empty = total <= ROUNDING[packed.dtype] * entries
    notes = tuple(
        f"layer {index + 1} has no CKA: its features are the same for every token, or for all but one"
        for index in np.flatnonzero(empty)
    )
    for index in np.flatnonzero(empty):
        packed[index] = 0.0
        statistics[index] = total[index] = 0.0
    self_hsic = _finished(total, correction, 2 * exponents)
    return Prepared(spec.name, n, packed, n_off, statistics, correction, exponents, self_hsic, notes, ids)


def _finished(total: np.ndarray, correction: Correction, exponents: np.ndarray) -> np.ndarray:
    """HSIC in the units of the features: divided by the number of tuples, with the powers of two of both layers put
    back."""
    return np.ldexp(total / correction.denominator, 2 * exponents)


def _check_partners(f: Prepared, g: Prepared) -> None:
    """Raise `UserError` where two prepared models cannot be multiplied."""
    if f.n_tokens != g.n_tokens:
        raise UserError(
            f"f has {f.n_tokens} tokens in this batch and g has {g.n_tokens}: both models must read the same tokens."
        )
    if f.estimator != g.estimator:
        raise UserError(
            f"f was prepared for the estimator {f.estimator!r} and g for {g.estimator!r}: prepare both alike."
        )
    ids_f, ids_g = f.sequence_ids, g.sequence_ids
    if ids_f is not None and (ids_g is None or not np.array_equal(ids_f, ids_g)):
        raise UserError("f and g were prepared with different sequence ids: both models must read the same sequences.")
    if f.packed.device != g.packed.device:
        raise UserError(f"f lies on {f.packed.device} and g on {g.packed.device}: prepare both on one device.")

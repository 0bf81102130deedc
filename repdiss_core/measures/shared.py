"""What several measures need of one model's layers on one batch, made once when it is first asked for.

Every measure here reads features whose columns are centred (each feature has mean 0 over the tokens of the batch), so
that none of them sees a shift. The cosine Gram matrix serves RSA, neighbour lists and CKNNA; the orthonormal bases
serve SVCCA and PWCCA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repdiss_core.base.errors import UserError
from repdiss_core.measures.centring import centre_into
from repdiss_core.measures.gram import FLOAT64_UP_TO, full_float32
from repdiss_core.measures.products import Workspace, choose_product

STRIP = 128  # rows of a Gram matrix that one product computes, from the diagonal to the right
CONSTANT = 8.0  # a layer whose centred features are within this many rounding errors of its raw ones does not vary
RANK = 10.0  # singular values below this many rounding errors of the largest are rounding


@dataclass(frozen=True)
class BatchContext:
    """What a measure is told beside the features.

    Args:
        sequence_ids: (n_tokens,) which sequence each token belongs to, where that is known.
        settings: the options of measures by name: "k", "neighbours", "correlation", "variance", "ridge".
        workspace: memory to prepare in, where the engine reuses it from batch to batch.
    """

    sequence_ids: np.ndarray | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    workspace: Workspace | None = None


DEFAULTS = BatchContext()


@dataclass(frozen=True, eq=False)
class PreparedLayers:
    """What each measure's preparation holds.

    Args:
        n_tokens: rows of the features.
        missing: (L,) bool, layers without a value.
        notes: which layers have no value, and why.
    """

    n_tokens: int
    missing: np.ndarray
    notes: tuple[str, ...]

    @property
    def n_layers(self) -> int:
        """How many layers were prepared."""
        return len(self.missing)


@dataclass(frozen=True, eq=False)
class OrthonormalBasis:
    """The thin singular value decomposition of a layer's centred features, X = Q · loadings, float64.

    Args:
        q: (n, r) orthonormal columns, the directions of most variance first; r is the rank of X.
        singular_values: (r,).
        loadings: (r, d).
    """

    q: Tensor
    singular_values: Tensor
    loadings: Tensor


class LayerPreparations:
    """One model's layers on one batch: centred features, and on demand cosine Gram matrices, thin factors and bases.

    Arithmetic is float64 up to 256 tokens and float32 above (as in CKA); memory at most 4 · L · n² bytes for the Gram
    matrices above 256 tokens, freed with the object.

    Args:
        layers: (n, d) features of each layer, tensors or arrays of any real floating type; d may differ.
        sequence_ids: (n,) which sequence each token belongs to.
        workspace: memory to prepare in, reused from batch to batch; what was prepared is then valid until its `reset`.

    Raises:
        UserError: no layers, layers that are not (n, d), of different n or device, or that hold NaN or infinity.
    """

    def __init__(self, layers: Sequence[Any], sequence_ids: Any = None, workspace: Workspace | None = None) -> None:
        self.workspace = workspace or Workspace()
        self.features = checked_layers(layers)
        self.n_tokens, self.device = len(self.features[0]), self.features[0].device
        self.sequence_ids = _checked_ids(sequence_ids, self.n_tokens)
        small = self.n_tokens <= FLOAT64_UP_TO and self.device.type != "mps"  # MPS has no float64
        self.dtype = torch.float64 if small else torch.float32
        self.lists: dict[tuple[int, bool], Any] = {}  # neighbour lists by (k, other sequences alone)

    @property
    def widths(self) -> tuple[int, ...]:
        """d of each layer."""
        return tuple(x.shape[1] for x in self.features)

    @cached_property
    def centred(self) -> list[Tensor]:
        """[(n, d)] features with column means 0, each layer divided by 2 to the power `exponents`."""
        return [c for c, _, _ in self._centred]

    @cached_property
    def exponents(self) -> np.ndarray:
        """(L,) powers of two that the centred features were divided by; 0 but for very large or small features."""
        return np.array([exponent for _, exponent, _ in self._centred])

    @cached_property
    def constant(self) -> np.ndarray:
        """(L,) bool: layers whose features are the same for every token."""
        return np.array([constant for _, _, constant in self._centred])

    def without_value(self, measure: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """((L,) bool constant layers, notes that say which layers have no value of this measure)."""
        where = np.flatnonzero(self.constant)
        notes = (f"layer {i + 1} has no {measure}: its features are the same for every token" for i in where)
        return self.constant.copy(), tuple(notes)

    @cached_property
    def row_means(self) -> list[Tensor]:
        """[(n,)] √d · mean over the features of each row of length 1: its product with (1, …, 1)/√d."""
        means = []
        for c in self.centred:
            lengths = torch.linalg.vector_norm(c, dim=1)
            means.append(c.sum(dim=1) / torch.where(lengths > 0, lengths * c.shape[1] ** 0.5, torch.ones_like(lengths)))
        return means

    @cached_property
    def cosines(self) -> Tensor:
        """(L, n, n) cosines of every two centred rows; 0 for rows of zeros. 2 · n² · d · (1/2 + 64/n) FLOPs a layer."""
        n, n_layers = self.n_tokens, len(self.features)
        out = self.workspace.take(n_layers * n, n, self.dtype, self.device).view(n_layers, n, n)
        with full_float32(self.device):
            for c, matrix in zip(self.centred, out, strict=True):
                symmetric_gram(unit_rows(c), matrix)
        return out

    @cached_property
    def thin(self) -> list[Tensor]:
        """[(n, min(n, d))] T with T Tᵀ = X Xᵀ of the centred features: X itself, or where d > n a root of its Gram.

        The root is Rᵀ of Xᵀ = Q R, which keeps the digits that squaring into a Gram matrix would lose.
        """
        with full_float32(self.device):
            return [
                c if c.shape[1] <= len(c) else torch.linalg.qr(c.T.contiguous(), mode="r").R.T for c in self.centred
            ]

    @cached_property
    def bases(self) -> list[OrthonormalBasis]:
        """The orthonormal basis of each layer; float64 whatever the features are."""
        return [self._basis(c) for c in self.centred]

    def _basis(self, c: Tensor) -> OrthonormalBasis:
        u, s, vh = torch.linalg.svd(c.double(), full_matrices=False)
        rank = int((s > RANK * torch.finfo(self.dtype).eps * s[0]).sum())
        return OrthonormalBasis(u[:, :rank], s[:rank], s[:rank, None] * vh[:rank])

    @cached_property
    def _centred(self) -> list[tuple[Tensor, int, bool]]:
        with full_float32(self.device):
            return [self._centre(x, f"Layer {index + 1}") for index, x in enumerate(self.features)]

    def _centre(self, x: Tensor, name: str) -> tuple[Tensor, int, bool]:
        x = x if x.dtype == torch.float64 else x.to(self.dtype)
        c = self.workspace.take(x.shape[0], x.shape[1], self.dtype, self.device)
        norms, _, exponent = centre_into(x, c, False, name)
        c -= c.mean(dim=0)  # what rounding left of the mean: it counts where the mean is many times the spread
        first = float(torch.linalg.vector_norm(x[0].double())) * 2.0**-exponent
        if float(norms.max()) > 1e-3 * first:  # far more than rounding
            return c, exponent, False
        rounding = CONSTANT * torch.finfo(x.dtype).eps * float(x.abs().max()) * 2.0**-exponent
        return c, exponent, float(c.abs().max()) <= rounding


def as_preparations(layers: Sequence[Any] | LayerPreparations, context: BatchContext) -> LayerPreparations:
    """The shared preparations themselves, or new ones of the features given."""
    if isinstance(layers, LayerPreparations):
        return layers
    return LayerPreparations(layers, context.sequence_ids)


def single_batch(
    prepare: Callable[..., Any],
    cross: Callable[..., np.ndarray],
    features_f: Any,
    features_g: Any,
    context: BatchContext,
) -> np.ndarray:
    """(L_f, L_g) values of one batch from features at hand; equal arguments are prepared once."""
    f = prepare(features_f, context)
    return cross(f, f if features_g is features_f else prepare(features_g, context))


def finished(values: np.ndarray, f: PreparedLayers, g: PreparedLayers, self_value: float | None = 1.0) -> np.ndarray:
    """The (L_f, L_g) values with NaN where a layer has none, and a layer's value with itself exactly `self_value`."""
    if f is g and self_value is not None:
        np.fill_diagonal(values, self_value)
    values[f.missing, :] = np.nan
    values[:, g.missing] = np.nan
    return values


def check_partners(f: PreparedLayers, g: PreparedLayers) -> None:
    """Raise `UserError` where two prepared models did not read the same number of tokens."""
    if f.n_tokens != g.n_tokens:
        raise UserError(
            f"f has {f.n_tokens} tokens in this batch and g has {g.n_tokens}: both models must read the same tokens."
        )


def check_tokens(n: int, least: int, measure: str) -> None:
    """Raise `UserError` where a batch is too small for a measure."""
    if n < least:
        raise UserError(
            f"{measure} needs at least {least} tokens, and this batch holds {n}: "
            f"use batches of at least {least} tokens."
        )


def unit_rows(c: Tensor) -> Tensor:
    """(n, d) the rows scaled to length 1; rows of zeros stay."""
    lengths = torch.linalg.vector_norm(c, dim=1, keepdim=True)
    return c / torch.where(lengths > 0, lengths, torch.ones_like(lengths))


def symmetric_gram(rows: Tensor, out: Tensor) -> None:
    """Write rows · rowsᵀ (n, n) into out: strips from the diagonal to the right are computed, the rest is copied."""
    product = choose_product(rows.device, rows.dtype)
    for start in range(0, len(rows), STRIP):
        end = min(start + STRIP, len(rows))
        product(rows[start:end], rows[start:], out[start:end, start:])
        if end < len(rows):
            out[end:, start:end] = out[start:end, end:].T


def checked_layers(layers: Sequence[Any]) -> list[Tensor]:
    """The layers as real tensors (n, d) of one device and one n."""
    if len(layers) == 0:
        raise UserError("There are no layers to compare: give at least one (n_tokens, d) feature matrix.")
    features = [x if isinstance(x, Tensor) else torch.from_numpy(np.array(x, copy=None, order="C")) for x in layers]
    first = features[0]
    for index, x in enumerate(features):
        if x.ndim != 2 or 0 in x.shape:
            raise UserError(
                f"Layer {index + 1} has shape {tuple(x.shape)}, but features are (n_tokens, d), neither of them 0."
            )
        if len(x) != len(first):
            raise UserError(
                f"Layer {index + 1} has {len(x)} tokens and layer 1 has {len(first)}: "
                "all layers must come from the same tokens."
            )
        if x.device != first.device:
            raise UserError(
                f"Layer {index + 1} is on {x.device} and layer 1 on {first.device}: move all layers to one device."
            )
        if not x.is_floating_point():
            raise UserError(
                f"Layer {index + 1} holds numbers of type {x.dtype}; features must be real floating-point numbers."
            )
    return features


def _checked_ids(ids: Any, n: int) -> np.ndarray | None:
    if ids is None:
        return None
    ids = np.asarray(ids.detach().cpu() if hasattr(ids, "detach") else ids)
    if ids.shape != (n,):
        raise UserError(
            f"sequence_ids has shape {ids.shape}, but there are {n} tokens: give one id for each token, shape ({n},)."
        )
    return np.unique(ids, return_inverse=True)[1].reshape(-1)

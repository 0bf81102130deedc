"""Centred features, packed Gram matrices and their inner products: the arithmetic under CKA.

A Gram matrix is symmetric, so only its upper triangle is computed, tile by tile, and written into one long vector:
first the tiles above the diagonal (`n_off` numbers that count twice), then the tiles on it. The inner product of
two Gram matrices is then an inner product of two such vectors, and all layers of a model are the rows of one matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from repdiss_core.measures.products import Product, product_mm

STRIP = 128  # rows of a tile above the diagonal
LEAF = 32  # edge of a tile on the diagonal; the padded number of rows is a multiple of it
FLOAT64_UP_TO = 256  # up to this many tokens float64 adds little time

# Products of float32 are summed in float64 after this many terms. Longer sums lose the small products that follow
# those of a massive token; and at 10⁶ multiplications OpenBLAS leaves its kernel for small matrices, which reads
# the rows at twice the speed.
CHUNK = 512


@dataclass(frozen=True)
class Region:
    """`count` tiles of `height` × `width`: tile k starts at row `row + k·step` and column `column + k·step`."""

    row: int
    column: int
    step: int
    count: int
    height: int
    width: int

    @property
    def size(self) -> int:
        """Numbers in all tiles together."""
        return self.count * self.height * self.width


def padded_rows(n: int) -> int:
    """The number of rows with which tiles come out even; the rows beyond n are zero and add nothing to any sum."""
    return -(-n // LEAF) * LEAF


@lru_cache(maxsize=64)
def regions(n_padded: int) -> tuple[Region, ...]:
    """Tiles that cover the upper triangle of an (n_padded, n_padded) matrix once, those on the diagonal last."""
    full = n_padded // STRIP * STRIP
    strips = [(row, STRIP) for row in range(0, full, STRIP)] + [(row, LEAF) for row in range(full, n_padded, LEAF)]
    tiles = [
        Region(row, row + height, 0, 1, height, n_padded - row - height)
        for row, height in strips
        if row + height < n_padded
    ]
    half = STRIP // 2
    while half >= LEAF and full:  # inside each full strip: one square of half its edge, two of a quarter, …
        tiles.append(Region(0, half, 2 * half, full // (2 * half), half, half))
        half //= 2
    return (*tiles, Region(0, 0, LEAF, n_padded // LEAF, LEAF, LEAF))


def packed_sizes(n_padded: int) -> tuple[int, int]:
    """(n_off, length): how many packed numbers lie above the diagonal tiles, and how many there are."""
    sizes = [region.size for region in regions(n_padded)]
    return sum(sizes[:-1]), sum(sizes)


def pack_gram(c: Tensor, out: Tensor, keep_diagonal: bool, product: Product = product_mm) -> None:
    """Write the packed c cᵀ of c (n_padded, d) into out (length,); its diagonal is set to 0 unless it is kept."""
    width, begin = c.shape[1], 0
    for region in regions(len(c)):
        tiles = out[begin : begin + region.size].view(region.count, region.height, region.width)
        begin += region.size
        if region.count == 1:
            left, right = (
                c[start : start + length]
                for start, length in ((region.row, region.height), (region.column, region.width))
            )
            product(left, right, tiles[0])
            continue
        left = c.as_strided(
            (region.count, region.height, width),
            (region.step * width, width, 1),
            c.storage_offset() + region.row * width,
        )
        right = c.as_strided(
            (region.count, region.width, width),
            (region.step * width, width, 1),
            c.storage_offset() + region.column * width,
        )
        torch.bmm(left, right.transpose(1, 2), out=tiles)
    if not keep_diagonal:
        out[-len(c) * LEAF :].view(-1, LEAF, LEAF).diagonal(dim1=1, dim2=2).zero_()


def pack_matrix(matrix: Tensor) -> Tensor:
    """(length,) the packed upper triangle of a symmetric (n_padded, n_padded) matrix, in the order of `pack_gram`."""
    n = len(matrix)
    tiles = [
        matrix.as_strided((r.count, r.height, r.width), (r.step * (n + 1), n, 1), r.row * n + r.column).reshape(-1)
        for r in regions(n)
    ]
    return torch.cat(tiles)


def cross_products(a: Tensor, b: Tensor, n_off: int) -> np.ndarray:
    """(L_a, L_b) float64: Σ_ij A_ij B_ij of every pair of packed symmetric matrices, a (L_a, length) and b (L_b,
    length)."""
    return 2.0 * _cross(a[:, :n_off], b[:, :n_off]) + _cross(a[:, n_off:], b[:, n_off:])


def same_products(a: Tensor, b: Tensor, n_off: int) -> np.ndarray:
    """(L,) float64: Σ_ij A_ij B_ij of equal rows only; a and b are (L, length)."""
    return 2.0 * _same(a[:, :n_off], b[:, :n_off]) + _same(a[:, n_off:], b[:, n_off:])


def _cross(a: Tensor, b: Tensor) -> np.ndarray:
    total = np.zeros((len(a), len(b)))
    for x, y in _chunks(a, b):  # (L, n_chunks, CHUNK)
        if a.device.type == "cpu":
            total += np.matmul(x.numpy().transpose(1, 0, 2), y.numpy().transpose(1, 2, 0)).sum(axis=0, dtype=np.float64)
        else:
            total += float64_on_cpu(torch.bmm(x.transpose(0, 1), y.permute(1, 2, 0))).sum(axis=0)
    return total


def _same(a: Tensor, b: Tensor) -> np.ndarray:
    total = np.zeros(len(a))
    for x, y in _chunks(a, b):
        if a.device.type == "cpu":
            total += np.matmul(x.numpy()[:, :, None, :], y.numpy()[:, :, :, None]).sum(axis=(1, 2, 3), dtype=np.float64)
        else:
            total += float64_on_cpu((x * y).sum(dim=2)).sum(axis=1)
    return total


def _chunks(a: Tensor, b: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Both matrices cut along their rows into equal chunks, and what is left over."""
    length = a.shape[1]
    whole = length // CHUNK * CHUNK
    for begin, end, size in ((0, whole, CHUNK), (whole, length, length - whole)):
        if end > begin:
            yield a[:, begin:end].unflatten(1, (-1, size)), b[:, begin:end].unflatten(1, (-1, size))


def float64_on_cpu(tensor: Tensor) -> np.ndarray:
    """The tensor as a float64 numpy array; conversion happens on the CPU, since not every device has float64."""
    return tensor.detach().cpu().double().numpy()


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Inside, float32 products keep float32 accuracy (no TF32, no bfloat16, no autocast); settings return to what
    they were."""
    on_cpu = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # made when torch starts
    backends = (torch.backends.cuda.matmul, on_cpu)
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        with torch.no_grad(), torch.autocast(device_type=device.type, enabled=False):
            yield
    finally:
        for backend, precision in zip(backends, before):
            backend.fp32_precision = precision

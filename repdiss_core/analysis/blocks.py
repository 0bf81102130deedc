"""Contiguous blocks of a within-model map: an exact segmentation, and whether it is more than a smooth band.

In any deep network neighbouring layers are more alike than distant ones, so a bright diagonal is no block. What counts
here is the *excess* of a cell over what cells of its distance have on average: with S the map and d = j − i,

    R_ij = S_ij − (fitted line of S over depth, along the diagonal at distance d)

The line (a constant where a diagonal has under four cells) also takes out a similarity that rises or falls evenly with
depth. A segmentation into contiguous blocks has the gain G = Σ R_ij over pairs i < j of the same block: modularity with
a distance-dependent null (Newman 2004; Expert et al. 2011). It is maximised exactly by dynamic programming; the number
of blocks is the one of the highest gain, since each diagonal of R sums to 0: one block has gain 0, and so has a block a
layer. The blocks are accepted where the mean excess within them is at least `min_contrast` above that between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repdiss_core.base.errors import UserError
from repdiss_core.measures.reduction import t_quantile

MIN_CONTRAST = 0.1
MIN_LAYERS = 6  # below, a diagonal has too few cells to tell a step from a band that runs faster in some layers
_LINE_CELLS = 4


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Blocks of a map, or none.

    Args:
        starts: first layer of each block, counted from 0; (0,) where no blocks were found.
        n_layers: of the map.
        contrast: mean excess within the best blocks minus between them, in CKA; 0 where there is no candidate.
        gains: (K,) the highest gain with 1 … K blocks.
        candidate: the starts of the best segmentation, also where it was not accepted.
    """

    starts: tuple[int, ...]
    n_layers: int
    contrast: float
    gains: np.ndarray
    candidate: tuple[int, ...]

    @property
    def found(self) -> bool:
        """Whether there are blocks."""
        return len(self.starts) > 1

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """(first layer, layer after the last) of each block; empty where none were found."""
        return tuple(zip(self.starts, (*self.starts[1:], self.n_layers))) if self.found else ()

    @property
    def first_length(self) -> int | None:
        """Layers of the first block; None where no blocks were found."""
        return self.blocks[0][1] if self.found else None

    @property
    def first_share(self) -> float | None:
        """The first block's share of the depth, in (0, 1); None where no blocks were found."""
        return None if self.first_length is None else self.first_length / self.n_layers


def excess(matrix: np.ndarray) -> np.ndarray:
    """(L, L) what a symmetric map has beyond its smooth band; 0 on the diagonal, and every diagonal sums to 0."""
    found = np.zeros_like(matrix, dtype=float)
    n = len(matrix)
    for distance in range(1, n):
        cells = (np.diagonal(matrix, distance) + np.diagonal(matrix, -distance)) / 2
        depth = np.arange(len(cells)) - (len(cells) - 1) / 2
        rest = cells - cells.mean()
        if len(cells) >= _LINE_CELLS:
            rest = rest - depth * (depth @ rest) / (depth @ depth)
        rows = np.arange(len(cells))
        found[rows, rows + distance] = found[rows + distance, rows] = rest
    return found


def segment(matrix: np.ndarray, min_contrast: float = MIN_CONTRAST, n_blocks: int | None = None) -> Segmentation:
    """The blocks of a within-model map.

    Args:
        matrix: (L, L) similarity of every layer with every other of one model; the diagonal is not read.
        min_contrast: in CKA; below it the answer is no blocks.
        n_blocks: take the best segmentation into so many blocks instead of choosing, whatever its contrast.

    Raises:
        UserError: not a square matrix, a cell without a value, under six layers, or more blocks than layers.
    """
    _check(matrix, n_blocks)
    rest = excess(matrix)
    gains, cuts = _best_cuts(rest)
    chosen = int(np.argmax(gains > gains.max() - 1e-9)) + 1 if n_blocks is None else n_blocks
    starts = _trace(cuts, chosen)
    contrast = _contrast(rest, starts)
    accepted = n_blocks is not None or contrast >= min_contrast
    return Segmentation(starts if accepted else (0,), len(matrix), contrast, gains, starts)


@dataclass(frozen=True, eq=False)
class SegmentationInterval:
    """A segmentation of the mean map and how it varies over batches.

    Args:
        segmentation: of the mean map.
        contrast: (2,) t interval over batches of the contrast of the mean map's blocks.
        support: for each inner boundary, the share of batches whose own map, segmented alone, has it too.
        n_batches: batches used.
    """

    segmentation: Segmentation
    contrast: np.ndarray
    support: tuple[float, ...]
    n_batches: int


def segment_batches(maps: np.ndarray, min_contrast: float = MIN_CONTRAST, level: float = 0.95) -> SegmentationInterval:
    """The blocks of the mean map, with the interval of their contrast;
    they are accepted where its lower end exceeds `min_contrast` too.

    Args:
        maps: (B, L, L) the map of every batch.

    Raises:
        UserError: as in `segment`, or fewer than two batches.
    """
    if maps.ndim != 3 or len(maps) < 2:
        raise UserError(f"An interval over batches needs at least 2 maps; the array is {maps.shape}.")
    whole = segment(maps.mean(axis=0), min_contrast)
    rests = [excess(one) for one in maps]
    parts = np.array([_contrast(rest, whole.candidate) for rest in rests])
    half = t_quantile(0.5 + level / 2, len(maps) - 1) * parts.std(ddof=1) / np.sqrt(len(maps))
    interval = np.array([parts.mean() - half, parts.mean() + half])
    if whole.found and interval[0] < min_contrast:
        whole = Segmentation((0,), whole.n_layers, whole.contrast, whole.gains, whole.candidate)
    own = [set(segment(one, min_contrast).starts) for one in maps]
    support = tuple(float(np.mean([start in starts for starts in own])) for start in whole.starts[1:])
    return SegmentationInterval(whole, interval, support, len(maps))


def _check(matrix: np.ndarray, n_blocks: int | None) -> None:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise UserError(
            f"Blocks are looked for in a map within one model, which is square; this one is {matrix.shape}."
        )
    n = len(matrix)
    if n < MIN_LAYERS:
        raise UserError(f"A model of {n} layers is too shallow for blocks; at least {MIN_LAYERS} are needed.")
    off = ~np.eye(n, dtype=bool)
    if not np.isfinite(matrix[off]).all():
        raise UserError(
            f"{int((~np.isfinite(matrix[off])).sum())} cells of the map have no value; blocks need them all."
        )
    if n_blocks is not None and not 1 <= n_blocks <= n:
        raise UserError(f"{n} layers cannot be cut into {n_blocks} blocks; choose 1 to {n}.")


def _best_cuts(rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """((L,) highest gain with 1 … L blocks; (L, L+1) where the last of k+1 blocks over the first j layers starts)."""
    n = len(rest)
    inside = np.zeros((n + 1, n + 1))  # [i, j]: Σ of the pairs among layers i … j−1
    for j in range(1, n + 1):
        for i in range(j - 1, -1, -1):
            inside[i, j] = inside[i, j - 1] + rest[i : j - 1, j - 1].sum()
    best = np.full((n, n + 1), -np.inf)
    cuts = np.zeros((n, n + 1), dtype=int)
    best[0, 1:] = inside[0, 1:]
    for k in range(1, n):
        for j in range(k + 1, n + 1):
            options = best[k - 1, k:j] + inside[k:j, j]
            cuts[k, j] = k + int(np.argmax(options))
            best[k, j] = options.max()
    return best[:, n], cuts


def _trace(cuts: np.ndarray, n_blocks: int) -> tuple[int, ...]:
    starts, end = [], len(cuts)
    for k in range(n_blocks - 1, 0, -1):
        end = int(cuts[k, end])
        starts.append(end)
    return (0, *reversed(starts))


def _contrast(rest: np.ndarray, starts: tuple[int, ...]) -> float:
    """Mean excess of pairs within a block minus that of pairs between blocks; 0 where either kind is absent."""
    label = np.searchsorted(np.array(starts), np.arange(len(rest)), side="right")
    upper = np.triu(np.ones(rest.shape, dtype=bool), 1)
    same = np.equal.outer(label, label)
    if not (same & upper).any() or not (~same & upper).any():
        return 0.0
    return float(rest[same & upper].mean() - rest[~same & upper].mean())

"""Blocks of constructed maps: planted ones are found, smooth bands have none, and the dynamic programme is exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from repdiss_core.analysis.blocks import excess, segment, segment_batches
from repdiss_core.base.errors import UserError


def planted(starts, n, within=0.9, between=0.5, band=0.0, noise=0.0, seed=0):
    label = np.searchsorted(np.array(starts), np.arange(n), side="right")
    distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    error = np.random.default_rng(seed).normal(size=(n, n)) * noise
    return np.where(np.equal.outer(label, label), within, between) - band * distance + (error + error.T) / 2


def smooth(positions, scale):
    return np.exp(-np.abs(np.subtract.outer(positions, positions)) / scale)


PLANTED = [((0, 4, 11), 12), ((0, 3), 6), ((0, 2, 7), 8), ((0, 8, 23), 24), ((0, 1, 11), 12), ((0, 6), 12)]


@pytest.mark.parametrize("starts, n", PLANTED)
@pytest.mark.parametrize(
    "look", [{}, {"band": 0.02, "noise": 0.02}, {"within": 0.8, "between": 0.5, "band": 0.01, "noise": 0.03}]
)
def test_planted_blocks_are_found(starts, n, look):
    found = segment(planted(starts, n, **look))
    assert found.found and found.starts == starts
    assert found.blocks[0] == (0, starts[1]) and found.blocks[-1][1] == n
    assert found.first_length == starts[1] and found.first_share == starts[1] / n


@pytest.mark.parametrize("n", [6, 8, 12, 36])
@pytest.mark.parametrize("scale", [0.1, 0.3, 1.0])
def test_a_smooth_band_has_no_blocks(n, scale):
    """Neither an even one, nor one that runs faster in late or in early layers, nor one with a little noise."""
    i = np.arange(n)
    for positions in (i, i**1.5 / n**0.5, np.log1p(i) * n / 3):
        found = segment(smooth(positions, scale * n))
        assert not found.found and found.blocks == () and found.first_length is None and found.first_share is None
    error = np.random.default_rng(0).normal(size=(n, n)) * 0.02
    assert not segment(smooth(i, scale * n) + (error + error.T) / 2).found
    assert segment(smooth(i, scale * n)).contrast == pytest.approx(0, abs=1e-9)


def test_constant_maps_and_even_gradients_have_no_blocks():
    i = np.arange(12)
    assert not segment(np.full((12, 12), 0.7)).found
    assert not segment(0.4 + 0.02 * np.add.outer(i, i)).found
    assert not segment(0.9 - 0.02 * np.add.outer(i, i)).found


def test_the_excess_sums_to_zero_along_every_diagonal():
    rest = excess(planted((0, 3, 8), 10, noise=0.05))
    assert np.allclose([np.diagonal(rest, d).sum() for d in range(10)], 0)
    assert np.array_equal(rest, rest.T)


def test_dynamic_programming_equals_trying_every_segmentation():
    for seed in range(5):
        a = np.random.default_rng(seed).normal(size=(8, 8))
        matrix = (a + a.T) / 2
        rest = excess(matrix)
        found = segment(matrix)
        for k in range(1, 9):
            every = {}
            for inner in itertools.combinations(range(1, 8), k - 1):
                starts = (0, *inner)
                ends = (*inner, 8)
                every[starts] = sum(np.triu(rest[s:e, s:e], 1).sum() for s, e in zip(starts, ends))
            best = max(every, key=every.__getitem__)
            assert found.gains[k - 1] == pytest.approx(every[best])
            assert every[segment(matrix, n_blocks=k).starts] == pytest.approx(every[best])
        assert len(found.candidate) == int(np.argmax(found.gains)) + 1
        assert found.gains[0] == pytest.approx(0) and found.gains[-1] == pytest.approx(0)


def test_the_contrast_is_the_criterion():
    matrix = planted((0, 4), 8, within=0.7, between=0.6)
    weak = segment(matrix)
    assert not weak.found and weak.candidate == (0, 4) and 0 < weak.contrast < 0.1
    assert segment(matrix, min_contrast=weak.contrast - 1e-6).starts == (0, 4)
    assert not segment(matrix, min_contrast=weak.contrast + 1e-6).found


def test_batches_give_the_interval_and_the_support():
    maps = np.stack([planted((0, 3, 9), 10, noise=0.05, seed=s) for s in range(12)])
    found = segment_batches(maps)
    assert found.segmentation.starts == (0, 3, 9) and found.n_batches == 12
    low, high = found.contrast
    assert 0.1 < low < found.segmentation.contrast < high and high - low < 0.05
    assert min(found.support) > 0.9
    # A contrast that hangs on a few batches is not accepted, though the mean map alone would be.
    mixed = np.stack([planted((0, 5), 10, 0.99, 0.05)] * 3 + [planted((0, 5), 10, 0.5, 0.5)] * 6)
    doubtful = segment_batches(mixed)
    assert segment(mixed.mean(axis=0)).found
    assert doubtful.contrast[0] < 0.1 and not doubtful.segmentation.found and doubtful.support == ()
    flat = segment_batches(np.stack([smooth(np.arange(8), 3.0)] * 3))
    assert not flat.segmentation.found and flat.support == ()


def test_bad_maps_are_told():
    with pytest.raises(UserError, match="5 layers is too shallow for blocks; at least 6"):
        segment(np.eye(5))
    with pytest.raises(UserError, match=r"which is square; this one is \(4, 5\)"):
        segment(np.zeros((4, 5)))
    hole = planted((0, 3), 6)
    hole[1, 2] = hole[2, 1] = np.nan
    with pytest.raises(UserError, match="2 cells of the map have no value"):
        segment(hole)
    with pytest.raises(UserError, match="6 layers cannot be cut into 7 blocks; choose 1 to 6"):
        segment(planted((0, 3), 6), n_blocks=7)
    with pytest.raises(UserError, match="at least 2 maps"):
        segment_batches(np.zeros((1, 6, 6)))

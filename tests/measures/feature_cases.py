"""What the tests of the one-batch measures share: related features, changes of them, and checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from repdiss_core.base.errors import UserError

Matrix = Callable[..., np.ndarray]


def layers(n: int = 60, widths: tuple[int, ...] = (8, 5, 12), seed: int = 0) -> list[np.ndarray]:
    """Layers that share much of what they hold, with means that are not 0."""
    rng = np.random.default_rng(seed)
    common = np.random.default_rng(99).normal(size=(n, 6))
    return [common @ rng.normal(size=(6, d)) + 0.8 * rng.normal(size=(n, d)) + 3.0 * rng.normal(size=d) for d in widths]


def check_against(matrix: Matrix, slow: Callable[..., float], tolerance: float = 1e-10, **settings: Any) -> None:
    """Every cell is the slow form's value, for layers of different widths."""
    f, g = layers(), layers(widths=(7, 9), seed=1)
    expected = [[slow(x, y, **settings) for y in g] for x in f]
    np.testing.assert_allclose(matrix(f, g, **settings), expected, atol=tolerance)


def check_self_and_symmetry(matrix: Matrix, symmetric: bool = True, **settings: Any) -> None:
    """1 for equal input, exactly where it is the same object; symmetric or not, as declared; arrays as tensors."""
    f, g = layers(), layers(seed=1)
    assert (matrix(f, f, **settings).diagonal() == 1.0).all()
    np.testing.assert_allclose(matrix(f, [x.copy() for x in f], **settings).diagonal(), 1.0, atol=1e-12)
    values, swapped = matrix(f, g, **settings), matrix(g, f, **settings).T
    assert np.allclose(values, swapped, atol=1e-11) == symmetric
    tensors = [[torch.from_numpy(x) for x in side] for side in (f, g)]
    assert values.tobytes() == matrix(*tensors, **settings).tobytes()
    assert values.dtype == np.float64 and values.shape == (3, 3)


def check_changes(matrix: Matrix, nothing: set[str], something: set[str], **settings: Any) -> None:
    """Changes of g that leave the value as it is, and changes that do not."""
    rng = np.random.default_rng(3)
    rotation = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    changes = {
        "rotation": lambda x: x @ rotation,
        "scale": lambda x: 37.5 * x,
        "shift": lambda x: x + 100 * np.arange(8),
        "invertible": lambda x: x @ rotation @ np.diag([9.0, 5, 1, 1, 1, 0.5, 0.2, 0.1]),
    }
    assert nothing | something == set(changes)
    f, g = layers(widths=(8,)), layers(widths=(8,), seed=1)
    before = matrix(f, g, **settings)
    for name, change in changes.items():
        gap = float(np.abs(matrix(f, [change(g[0])], **settings) - before).max())
        assert gap < 1e-9 if name in nothing else gap > 1e-3, (name, gap)


def check_independent(matrix: Matrix, expected: float, within: float) -> None:
    """The mean over 40 draws of independent Gaussians, n = 128 and d = 16, as in the design."""
    rng = np.random.default_rng(5)
    values = [matrix([rng.normal(size=(128, 16))], [rng.normal(size=(128, 16))])[0, 0] for _ in range(40)]
    assert abs(float(np.mean(values)) - expected) < within, np.mean(values)


def check_constant_layers(prepare: Any, cross: Any, label: str) -> None:
    """A layer that does not vary is NaN with a note; the others have their values."""
    for value in (0.0, 2.5, 1e-3 / 3):
        f, g = layers(), layers(seed=1)
        f[1][:] = value
        prepared, other = prepare(f), prepare(g)
        values = cross(prepared, other)
        assert np.isnan(values[1]).all() and np.isfinite(values[[0, 2]]).all()
        assert f"layer 2 has no {label}: its features are the same for every token" in prepared.notes
        assert list(prepared.missing) == [False, True, False] and not other.notes


def check_float32(matrix: Matrix, slow: Callable[..., float], tolerance: float, d: int = 96, **settings: Any) -> None:
    """The largest error of float32 above 256 tokens: plain, a mean of 1000 σ, a massive token, very small and large."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(300, d))
    y = x @ rng.normal(size=(d, d)) / d**0.5 + rng.normal(size=(300, d))
    far, massive = x.copy(), x.copy()
    far[:, 3] += 1000.0
    massive[17] *= 1000.0
    shared = y.copy()
    shared[17] *= 1000.0
    pairs = {"plain": (x, y), "far": (far, y), "massive": (massive, y), "massive in both": (massive, shared)}
    for name, (first, second) in (pairs | {"small": (1e-20 * x, y), "large": (1e15 * x, y)}).items():
        f, g = (np.asarray(a, dtype=np.float32) for a in (first, second))
        error = abs(matrix([f], [g], **settings)[0, 0] - slow(f.astype(np.float64), g.astype(np.float64), **settings))
        assert error <= tolerance, (name, error)


def check_bad_features(matrix: Matrix) -> None:
    """Sentences that every measure shares."""
    f = layers()
    infinite = layers()
    infinite[2][4, 1] = np.inf
    cases = [
        (([], f), "There are no layers to compare"),
        ((f, layers(n=50)), "f has 60 tokens in this batch and g has 50: both models must read the same tokens"),
        (([f[0], f[1][:50]], f), "Layer 2 has 50 tokens and layer 1 has 60"),
        (([f[0][None]], f), r"Layer 1 has shape \(1, 60, 8\), but features are \(n_tokens, d\)"),
        (([f[0].astype(np.int64)], f), "Layer 1 holds numbers of type torch.int64; features must be real"),
        ((infinite, f), r"Layer 3 holds NaN or infinite features \(first in row 4\)"),
    ]
    for (first, second), match in cases:
        with pytest.raises(UserError, match=match):
            matrix(first, second)

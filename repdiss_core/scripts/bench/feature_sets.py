"""Feature sets on which CKA implementations were found to break, with a float64 reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from repdiss_core.measures.hsic import u_centred

Layers = list[np.ndarray]
FeatureSet = Callable[[np.random.Generator, int, int], tuple[Layers, Layers]]
N_LAYERS = 3


def _independent(rng: np.random.Generator, n: int, d: int) -> tuple[Layers, Layers]:
    """Unrelated Gaussian features: CKA 0."""
    return [rng.normal(size=(n, d)) for _ in range(N_LAYERS)], [rng.normal(size=(n, d)) for _ in range(N_LAYERS)]


def _correlated(rng: np.random.Generator, n: int, d: int) -> tuple[Layers, Layers]:
    """A residual stream: each layer adds to the one before, and g shares its start with f."""
    start = rng.normal(size=(n, d))
    f, g = [start + 0.5 * rng.normal(size=(n, d))], [start + 0.5 * rng.normal(size=(n, d))]
    for layers in (f, g):
        for _ in range(N_LAYERS - 1):
            layers.append(layers[-1] + 0.5 * rng.normal(size=(n, d)))
    return f, g


def _changed(base: FeatureSet, change: Callable[[np.ndarray], np.ndarray]) -> FeatureSet:
    """The same features with every layer changed."""

    def build(rng: np.random.Generator, n: int, d: int) -> tuple[Layers, Layers]:
        f, g = base(rng, n, d)
        return [change(x) for x in f], [change(x) for x in g]

    return build


def _times(rows: slice, columns: slice, factor: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(x: np.ndarray) -> np.ndarray:
        x = x.copy()
        x[rows, columns] *= factor
        return x

    return change


def _shifted(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x[:, 5] += 1000.0
    return x


EVERY = slice(None)
FEATURE_SETS: dict[str, FeatureSet] = {
    "independent": _independent,
    "correlated": _correlated,
    "one dimension ×1000": _changed(_correlated, _times(EVERY, slice(5, 6), 1000.0)),
    "one dimension's mean at 1000 σ": _changed(_correlated, _shifted),
    "one token ×1000": _changed(_correlated, _times(slice(0, 1), EVERY, 1000.0)),
    "one token ×1000, unrelated": _changed(_independent, _times(slice(0, 1), EVERY, 1000.0)),
    "three tokens ×1000": _changed(_correlated, _times(slice(0, 30, 10), EVERY, 1000.0)),
    "one token and one mean ×1000": _changed(_changed(_correlated, _shifted), _times(slice(0, 1), EVERY, 1000.0)),
    "scale 1e-3": _changed(_correlated, lambda x: 1e-3 * x),
    "scale 1e6": _changed(_correlated, lambda x: 1e6 * x),
}


def build(name: str, n: int, d: int, seed: int = 0) -> tuple[Layers, Layers]:
    """(layers of f, layers of g): float32 arrays (n, d), made from the seed."""
    f, g = FEATURE_SETS[name](np.random.default_rng(seed), n, d)
    return [x.astype(np.float32) for x in f], [x.astype(np.float32) for x in g]


def reference_cka(f: Layers, g: Layers) -> np.ndarray:
    """(L_f, L_g) unbiased CKA in float64 from U-centred Gram matrices, built one at a time and by another route
    than the kernel's."""
    a, b = ([_u_gram(x) for x in layers] for layers in (f, g))
    cross = np.array([[float(np.sum(x * y)) for y in b] for x in a])
    norms_a, norms_b = (np.sqrt([float(np.sum(x * x)) for x in grams]) for grams in (a, b))
    return cross / np.outer(norms_a, norms_b)


def _u_gram(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    x = x - np.median(x, axis=0)  # any centre gives the same U-centred matrix; the median keeps the most digits
    return u_centred(x @ x.T)

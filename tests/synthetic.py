"""Generated results put into a test's own cache through the official store:
shapes of the real thing, values of none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from repdiss_core.base.comparison import Comparison
from repdiss_core.base.paths import REPOSITORY
from repdiss_core.base.results import StitchResult
from repdiss_core.models import model_spec
from repdiss_core.store.cache import ResultStore

SEQUENCES = 64


def generator(comparison: Comparison) -> np.random.Generator:
    """Its own stream of numbers for each comparison."""
    return np.random.default_rng(int(hashlib.sha256(comparison.key.encode()).hexdigest()[:8], 16))


def fill(store: ResultStore, comparisons: Iterable[Comparison], n_batches: int = 100) -> None:
    """Store a generated result for every comparison."""
    assert not store.directory.is_relative_to(REPOSITORY), "generated results belong in a test's own cache"
    for comparison in comparisons:
        put = put_cka if comparison.measure == "cka" else put_stitch
        put(store, comparison, n_batches)


def put_cka(store: ResultStore, comparison: Comparison, n_batches: int = 100) -> None:
    """HSIC values whose CKA falls with the distance between the layers."""
    rng = generator(comparison)
    depth_f, depth_g = model_spec(comparison.f.name).n_layers, model_spec(comparison.g.name).n_layers
    same = comparison.f == comparison.g
    distance = np.abs(np.subtract.outer(np.arange(depth_f), np.arange(depth_g)))
    level = (1.0 if same else 0.8) - 0.17 * distance
    cross = level + 0.02 * rng.standard_normal((n_batches, depth_f, depth_g))
    if same:
        cross = (cross + cross.transpose(0, 2, 1)) / 2
        cross[:, np.arange(depth_f), np.arange(depth_f)] = 1.0
    arrays = {
        "cross": cross,
        "self_f": np.ones((n_batches, depth_f)),
        "self_g": np.ones((n_batches, depth_g)),
        "n_tokens": np.full(n_batches, comparison.data.tokens_per_batch),
    }
    store.put(
        comparison.key,
        arrays,
        {"comparison": comparison.to_dict(), "notes": [], "provenance": {"generated": "for a test"}},
    )


def put_stitch(store: ResultStore, comparison: Comparison, n_batches: int = 100) -> None:
    """A finished stitch with its learning curve."""
    rng = generator(comparison)
    layer_f, layer_g = comparison.layer_pair
    own = 3.4 + 0.3 * rng.standard_normal(SEQUENCES)
    cost = 0.0 if comparison.f == comparison.g else 0.35 - 0.05 * layer_f
    cost += 0.06 if comparison.f.name.startswith("mini-solu") and comparison.f != comparison.g else 0.0
    loss = own + cost + 0.05 * rng.standard_normal(SEQUENCES)
    step = np.arange(0, 301, 10)
    train = float(loss.mean()) + 0.6 * np.exp(-step / 60) + 0.02 * rng.standard_normal(step.size)
    result = StitchResult(
        layer_f, layer_g, loss, loss + 0.05, own + 0.01, own, step, train, 300, 300, {"generated": "for a test"}
    )
    arrays, meta = result.to_arrays()
    store.put(comparison.key, arrays, {**meta, "comparison": comparison.to_dict()})

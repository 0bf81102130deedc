"""What a measure says of single tokens between two layers, on one batch each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from repdiss_core.base.comparison import Comparison
from repdiss_core.base.results import TokenValues
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.batch_features import BatchFeatures, ModelLoader
from repdiss_core.engine.join import Join
from repdiss_core.engine.stopping import Progress
from repdiss_core.measures import spec_of


def run_tokens(
    comparisons: Sequence[Comparison],
    join: Join,
    activations: ActivationCache,
    load: ModelLoader,
    stream: Any,
    progress: Progress,
) -> None:
    """Compute and store every comparison, each of one pair of layers on the batch that its setting names.

    A position that is no row of the features (padding) has NaN.
    """
    for number, comparison in enumerate(comparisons):
        index = int(comparison.setting("batch", 0))
        stream.require(index + 1)
        features = BatchFeatures(stream.batch(index), index, load, activations)
        layers = [
            features.layers(model, comparison)[layer - 1]
            for model, layer in zip((comparison.f, comparison.g), comparison.layer_pair, strict=True)
        ]
        measured = spec_of(comparison).load()(*layers)
        tokens = np.asarray(features.tokens.tokens)
        counted = features.tokens.counted
        keep = np.ones(tokens.shape, bool) if counted is None else np.asarray(counted, bool)
        placed = [_placed(getattr(measured, name), keep) for name in TokenValues.ARRAYS[1:]]
        join.put(comparison, TokenValues(tokens.astype(np.int64), *placed))
        progress((number + 1) / len(comparisons), f"pair {number + 1} of {len(comparisons)}")


def _placed(values: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """(b, t) the values (n,) where `keep` is set, NaN elsewhere."""
    placed = np.full(keep.shape, np.nan)
    placed[keep] = values
    return placed

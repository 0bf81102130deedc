"""Alignment of single tokens between two layers, on one batch each."""

from __future__ import annotations

from typing import Any

import numpy as np

from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.batch_features import BatchFeatures, ModelLoader
from repdiss_core.engine.plan import TokenGroup
from repdiss_core.store.cache import ResultStore


def run_tokens(
    group: TokenGroup,
    store: ResultStore,
    activations: ActivationCache,
    load: ModelLoader,
    stream: Any,
    made: dict[str, Any],
    progress: Any,
) -> None:
    """Compute and store every comparison of the group; entries hold cosine, contribution and token ids, each (b, t).

    A position that is no row of the features (padding) has NaN.
    """
    from repdiss_core.measures.token_alignment import token_alignment

    for number, comparison in enumerate(group.comparisons):
        index = int(comparison.setting("batch", 0))
        stream.require(index + 1)
        features = BatchFeatures(stream.batch(index), index, load, activations)
        layers = [
            features.layers(model, comparison)[layer - 1]
            for model, layer in zip((comparison.f, comparison.g), comparison.layer_pair, strict=True)
        ]
        found = token_alignment(*layers)
        tokens = np.asarray(features.batch.tokens)
        keep = np.ones(tokens.shape, bool) if features.batch.mask is None else np.asarray(features.batch.mask, bool)
        arrays = {"tokens": tokens.astype(np.int64)}
        for name in ("cosine", "contribution"):
            placed = np.full(tokens.shape, np.nan)
            placed[keep] = getattr(found, name)
            arrays[name] = placed
        store.put(comparison.key, arrays, {"comparison": comparison.to_dict(), "provenance": made})
        progress((number + 1) / len(group.comparisons), f"pair {number + 1} of {len(group.comparisons)}")

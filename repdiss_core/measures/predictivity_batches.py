"""Linear predictivity as a pooled measure: what `measures.protocol` asks for,
on the functions of `linear_predictivity`.

Directed: f predicts g. The other direction is the comparison of g with f.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from repdiss_core.measures import linear_predictivity
from repdiss_core.measures.linear_predictivity import LinearMaps, prepare
from repdiss_core.measures.linear_statistics import PreparedBatch, Statistics
from repdiss_core.measures.shared import BatchContext

__all__ = ["accumulate", "fit", "prepare", "score"]


def accumulate(statistics: Statistics | None, f: PreparedBatch, g: PreparedBatch) -> Statistics:
    """Takes in one more fitting batch."""
    return linear_predictivity.accumulate(statistics, f, g)


def fit(statistics: Statistics, context: BatchContext) -> LinearMaps:
    """The ridge maps from f to g; the option `ridge` is λ over the mean eigenvalue."""
    return linear_predictivity.fit(statistics, float(context.settings["ridge"]), "forward")


def score(fitted: LinearMaps, f: Any, g: Any) -> np.ndarray:
    """(L_f, L_g, 2) float64: Σ |y − ŷ|² and Σ |y − mean|² of one batch that the fit has not seen."""
    scores = linear_predictivity.score(fitted, f, g)
    return np.stack([scores.forward[0], np.broadcast_to(scores.total_g[0], scores.forward[0].shape)], axis=-1)

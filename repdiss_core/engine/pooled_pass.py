"""Measures that are fitted on some batches and scored on others:
sufficient statistics first, then values batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from repdiss_core.base.comparison import Comparison
from repdiss_core.base.errors import UserError
from repdiss_core.engine.batch_features import BatchFeatures
from repdiss_core.engine.feature_pass import FeaturePass, notes_of
from repdiss_core.engine.join import rows_type
from repdiss_core.engine.stopping import Progress, ShouldStop, Stopped
from repdiss_core.measures import spec_of


class PooledPass(FeaturePass):
    """Fits on the first `fit_batches` batches of the stream and scores on the `n_batches` after them.

    The fit is made again where a result is extended: it is a function of the key alone, and so are the values.
    """

    def __init__(self, comparisons: Sequence[Comparison], n_batches: int, *rest: Any) -> None:
        self.fit_batches = int(spec_of(comparisons[0]).chosen(comparisons[0])["fit_batches"])
        if self.fit_batches < 1:
            raise UserError(
                f"{spec_of(comparisons[0]).short} was given {self.fit_batches} batches to fit on; expected at least 1."
            )
        super().__init__(comparisons, self.fit_batches + n_batches, *rest)
        self.fitted: dict[str, Any] = {}

    def run(self, progress: Progress, should_stop: ShouldStop) -> None:
        """Fit, then score every missing batch.

        Raises:
            Stopped: after storing what was finished.
        """
        from repdiss_core.measures.shared import BatchContext

        statistics: dict[str, Any] = {c.key: None for c in self.comparisons}
        for index in range(self.fit_batches):
            if should_stop():
                raise Stopped
            features = BatchFeatures(self.stream.batch(index), index, self.load, self.activations)
            for c in self.comparisons:
                statistics[c.key] = spec_of(c).load().accumulate(statistics[c.key], *features.sides(c)[0])
            progress(0.5 * (index + 1) / self.fit_batches, f"fitting batch {index + 1} of {self.fit_batches}")
        for c in self.comparisons:
            self.fitted[c.key] = spec_of(c).load().fit(statistics[c.key], BatchContext(None, spec_of(c).chosen(c)))
        n_scored = self.n_batches - self.fit_batches
        first = min(map(self.join.count, self.comparisons))
        for number in range(first, n_scored):
            if should_stop():
                self.join.flush()
                raise Stopped
            self._measure_batch(
                self.fit_batches + number, [c for c in self.comparisons if self.join.count(c) <= number]
            )
            self.join.flush(due=True)
            progress(0.5 + 0.5 * (number + 1 - first) / max(1, n_scored - first), f"batch {number + 1} of {n_scored}")
        self.join.flush()

    def _measure_batch(self, index: int, comparisons: list[Comparison]) -> None:
        features = BatchFeatures(self.stream.batch(index), index, self.load, self.activations)
        for c in comparisons:
            sides, massive = features.sides(c)
            values = spec_of(c).load().score(self.fitted[c.key], *sides)
            self.join.add(c, rows_type(c).of_batch(values, *sides, notes_of(c, sides), massive))

"""Values of a group of comparisons batch by batch: each model runs once a batch,
each pair is multiplied once a measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from repdiss_core.base.comparison import Comparison
from repdiss_core.base.errors import UserError
from repdiss_core.data.row_batches import FeatureStream
from repdiss_core.data.row_streams import RowStream
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.batch_features import BatchFeatures, ModelLoader
from repdiss_core.engine.crossed_windows import CrossedWindow, first_needed, window_of
from repdiss_core.engine.join import Join, rows_type
from repdiss_core.engine.stopping import Progress, ShouldStop, Stopped
from repdiss_core.measures import spec_of
from repdiss_core.measures.spec import counted_from, first_layer


class FeaturePass:
    """Measures comparisons that read one stream, up to `n_batches`; partial results are stored every two seconds.

    Args:
        join: takes the values of each batch; what it holds already is not measured again.
        load: (model, resid_mean) -> ResidualModel.
        stream: the comparisons' token stream.

    Raises:
        UserError: the stream is too short.
    """

    def __init__(
        self,
        comparisons: Sequence[Comparison],
        n_batches: int,
        join: Join,
        activations: ActivationCache,
        load: ModelLoader,
        stream: FeatureStream,
    ) -> None:
        self.comparisons, self.n_batches, self.join = tuple(comparisons), n_batches, join
        self.activations, self.load, self.stream = activations, load, stream
        self._windows = {c.key: CrossedWindow(size) for c in self.comparisons if (size := window_of(c))}
        check_length(stream, n_batches)

    def run(self, progress: Progress, should_stop: ShouldStop) -> None:
        """Measure every missing batch.

        Raises:
            Stopped: after storing what was finished.
        """
        first = min(map(self._first_needed, self.comparisons))
        for index in range(first, self.n_batches):
            if should_stop():
                self.join.flush()
                raise Stopped
            self._measure_batch(index, [c for c in self.comparisons if self._first_needed(c) <= index])
            self.join.flush(due=True)
            progress((index + 1 - first) / max(1, self.n_batches - first), f"batch {index + 1} of {self.n_batches}")
        self.join.flush()

    def _first_needed(self, comparison: Comparison) -> int:
        return first_needed(comparison, self.join.count(comparison), self.n_batches)

    def _measure_batch(self, index: int, comparisons: list[Comparison]) -> None:
        features = BatchFeatures(self.stream.batch(index), index, self.load, self.activations)
        products = PairProducts()
        for comparison in comparisons:
            sides, massive = features.sides(comparison)
            window = self._windows.get(comparison.key)
            if window is not None:
                window.take(index, sides)
                if self.join.count(comparison) > index:  # stored; later batches of its window are not
                    continue
            cross = products.of(comparison)
            values = cross(*sides) if window is None else window.crossed(cross)
            part = rows_type(comparison).of_batch(values, *sides, notes_of(comparison, sides), massive)
            self.join.add(comparison, part)


class PairProducts:
    """The values of one batch's pairs: a pair that a map and its chance level share is multiplied once."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, int, int], tuple[np.ndarray, Any, Any]] = {}

    def of(self, comparison: Comparison) -> Callable[[Any, Any], np.ndarray]:
        """`cross` of the comparison's measure."""
        spec = spec_of(comparison)

        def cross(f: Any, g: Any) -> np.ndarray:
            pair = (spec.name, id(f), id(g))
            if pair not in self._made:
                self._made[pair] = spec.load().cross(f, g), f, g  # held, so that no other object has their ids
            return self._made[pair][0]

        return cross


def notes_of(comparison: Comparison, sides: tuple[Any, Any]) -> tuple[str, ...]:
    """What both prepared sides say, each with the name of its model."""
    names = (comparison.f.name, comparison.g.name)
    return tuple(
        dict.fromkeys(
            f"{name}: {counted_from(first_layer(comparison), note)}"
            for name, side in zip(names, sides, strict=True)
            for note in side.notes
        )
    )


def check_length(stream: FeatureStream, n_batches: int) -> None:
    """Raise a `UserError` where a stream has fewer batches."""
    if isinstance(stream, RowStream):
        stream.require(n_batches)
    if stream.n_batches < n_batches:
        data = stream.data_id
        raise UserError(
            f"{data.name}/{data.split} holds {stream.n_batches} batches of {data.tokens_per_batch} tokens; "
            f"{n_batches} were asked for. Ask for at most {stream.n_batches}."
        )

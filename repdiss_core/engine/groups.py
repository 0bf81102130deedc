"""Comparisons that share forward passes: what each kind of group lacks, how long it takes,
how it is cut and how it runs."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from repdiss_core.base.comparison import Comparison, DataId, ModelId
from repdiss_core.base.results import StitchResult
from repdiss_core.engine.crossed_windows import window_of
from repdiss_core.engine.join import Join, stored_here
from repdiss_core.engine.shards import Shard
from repdiss_core.engine.stopping import Progress, ShouldStop, Stopped
from repdiss_core.measures import spec_of
from repdiss_core.models.protocol import ResidualModel
from repdiss_core.store.cache import ResultStore

if TYPE_CHECKING:
    from repdiss_core.engine.host import Host


@dataclass(frozen=True)
class Group(ABC):
    """Comparisons that are computed in one pass."""

    comparisons: tuple[Comparison, ...]

    in_batches: ClassVar[bool] = False  # whether results are rows of batches, which can be computed apart

    @property
    def data(self) -> DataId:
        """The stream that all read."""
        return self.comparisons[0].data

    @property
    def models(self) -> tuple[ModelId, ...]:
        """The distinct models, in order of name."""
        return tuple(sorted({m for c in self.comparisons for m in (c.f, c.g)}))

    def of(self, comparisons: list[Comparison]) -> Self:
        """The same pass over some of the comparisons."""
        return replace(self, comparisons=tuple(comparisons))

    def missing(self, store: ResultStore, n_batches: int) -> list[Comparison]:
        """The comparisons whose results the local cache lacks, or holds for fewer batches."""
        return [c for c in self.comparisons if not is_complete(store, c, n_batches)]

    @abstractmethod
    def weight(self, n_batches: int) -> float:
        """Rough seconds that it takes, for the progress bar alone."""

    def shards(self, counts: dict[str, int], n_batches: int, step: int | None = None) -> list[Shard]:
        """The pieces of what is missing, in the order in which their results are joined.

        Args:
            counts: by key, the batches that are stored already (for results in batches).
            step: batches of a shard, so that several machines share the work; None makes one shard of everything, in
                which all comparisons share their forward passes.
        """
        if step is None:
            return [Shard(self.comparisons, 0, n_batches if self.in_batches else 0)]
        if not self.in_batches:
            return [Shard(part) for part in self._apart()]
        shards = []
        for first in range(0, n_batches, step):
            last = min(n_batches, first + step)
            lacking = tuple(c for c in self.comparisons if counts[c.key] < last)
            shards += [Shard(lacking, first, last)] if lacking else []
        return shards

    def _apart(self) -> list[tuple[Comparison, ...]]:
        """The comparisons in parts for several machines, where results are not rows of batches."""
        return [(comparison,) for comparison in self.comparisons]

    @abstractmethod
    def run(self, host: Host, n_batches: int, join: Join, progress: Progress, should_stop: ShouldStop) -> None:
        """Compute what the join lacks.

        Raises:
            Stopped: after handing over what was finished.
            UserError: it cannot be computed, with the reason.
        """


@dataclass(frozen=True)
class FeatureGroup(Group):
    """Maps from features that read the same batches: M models cost M forward passes a batch, whatever the measures."""

    in_batches: ClassVar[bool] = True

    def weight(self, n_batches: int) -> float:
        return 1.0 + 0.05 * n_batches * len(self.models)

    def shards(self, counts: dict[str, int], n_batches: int, step: int | None = None) -> list[Shard]:
        """As of any group; where values are crossed, a shard is whole windows, from the beginning of one."""
        whole = math.lcm(*(size for c in self.comparisons if (size := window_of(c))))
        return super().shards(counts, n_batches, step and whole * math.ceil(step / whole))

    def run(self, host: Host, n_batches: int, join: Join, progress: Progress, should_stop: ShouldStop) -> None:
        from repdiss_core.engine.in_parts import run_features

        run_features(host, self.comparisons, n_batches, join, progress, should_stop)


@dataclass(frozen=True)
class PooledGroup(Group):
    """Maps that are fitted on the first batches of a stream and scored on those after them."""

    def weight(self, n_batches: int) -> float:
        fit_batches = int(spec_of(self.comparisons[0]).chosen(self.comparisons[0])["fit_batches"])
        return 1.0 + 0.05 * (n_batches + fit_batches) * len(self.models)

    def shards(self, counts: dict[str, int], n_batches: int, step: int | None = None) -> list[Shard]:
        """A pair of models is one piece: its fit serves all of its batches."""
        parts = [self.comparisons] if step is None else self._apart()
        return [Shard(part, 0, n_batches, fitted=True) for part in parts]

    def run(self, host: Host, n_batches: int, join: Join, progress: Progress, should_stop: ShouldStop) -> None:
        from repdiss_core.engine.in_parts import run_features
        from repdiss_core.engine.pooled_pass import PooledPass

        run_features(host, self.comparisons, n_batches, join, progress, should_stop, PooledPass)


@dataclass(frozen=True)
class SameLayerGroup(Group):
    """Pairs of a population at equal layers: M models run once a batch, whatever the pairs."""

    in_batches: ClassVar[bool] = True

    def weight(self, n_batches: int) -> float:
        return 1.0 + 0.05 * n_batches * len(self.models)

    def run(self, host: Host, n_batches: int, join: Join, progress: Progress, should_stop: ShouldStop) -> None:
        from repdiss_core.engine.same_layer_pass import SameLayerPass

        load = functools.partial(host.load, alone=True)
        SameLayerPass(self.comparisons, n_batches, join, load, host.token_stream(self.data)).run(progress, should_stop)


@dataclass(frozen=True)
class AccuracyGroup(Group):
    """Ordered pairs of a population at every cut: a bottom model runs once for all tops."""

    def weight(self, n_batches: int) -> float:
        return 1.0 + 0.3 * len(self.comparisons)

    def _apart(self) -> list[tuple[Comparison, ...]]:
        bottoms = sorted({c.f for c in self.comparisons})
        return [tuple(c for c in self.comparisons if c.f == bottom) for bottom in bottoms]

    def run(self, host: Host, n_batches: int, join: Join, progress: Progress, should_stop: ShouldStop) -> None:
        from repdiss_core.engine.accuracy_pass import run_accuracies

        def load(model: ModelId) -> ResidualModel:
            return host.load(model, self.comparisons[0].resid_mean, alone=True)

        run_accuracies(self.comparisons, load, host.token_stream(self.data), join.put, progress, should_stop)
        if should_stop():
            raise Stopped


@dataclass(frozen=True)
class TokenGroup(Group):
    """Alignments of single tokens, a batch and a pair of layers each, that read one stream."""

    def weight(self, n_batches: int) -> float:
        return 1.0

    def _apart(self) -> list[tuple[Comparison, ...]]:
        bottoms = sorted({c.f for c in self.comparisons})
        return [tuple(c for c in self.comparisons if c.f == bottom) for bottom in bottoms]

    def run(self, host: Host, n_batches: int, join: Join, progress: Progress, should_stop: ShouldStop) -> None:
        from repdiss_core.engine.token_pass import run_tokens

        load = functools.partial(host.load, dtype=self.comparisons[0].dtype)
        run_tokens(self.comparisons, join, host.activations, load, host.token_stream(self.data), progress)


@dataclass(frozen=True)
class StitchGroup(Group):
    """Stitches of one f into one g at one setting: f's lower part runs once for all of them."""

    def weight(self, n_batches: int) -> float:
        steps = int(self.comparisons[0].setting("steps", 0))
        return 1.0 + len(self.comparisons) * (2.0 + 0.05 * steps)

    def run(self, host: Host, n_batches: int, join: Join, progress: Progress, should_stop: ShouldStop) -> None:
        from repdiss_core.engine.stitch_checks import tokenizers_of
        from repdiss_core.engine.stitch_pass import run_identity_stitches, run_stitches

        first, measure = self.comparisons[0], spec_of(self.comparisons[0]).load()
        f, g = (host.load(m, first.resid_mean, alone=True) for m in (first.f, first.g))

        def keep(comparison: Comparison, result: StitchResult) -> None:
            join.put(comparison, result)

        tokenizers = tokenizers_of(first)
        n_eval, stream = int(first.setting("eval_batches", 1)), host.token_stream(first.data)
        common = (n_eval, keep, host.checkpoints, progress, should_stop, tokenizers)
        if measure.settings(first) is None:
            run_identity_stitches(self.comparisons, f, g, stream, *common)
        else:
            run_stitches(self.comparisons, f, g, stream, host.token_stream(measure.training_data(first)), *common)
        if should_stop():
            raise Stopped


def is_complete(store: ResultStore, comparison: Comparison, n_batches: int) -> bool:
    """Whether the local cache holds all of a comparison."""
    stored = stored_here(store, comparison)
    return stored is not None and stored.covers(n_batches)

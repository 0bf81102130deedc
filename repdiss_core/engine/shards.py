"""Parts of a group that can be computed anywhere: batches of a comparison, layers of a stitching study, pairs of a population."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repdiss_core import hub
from repdiss_core.base.comparison import Comparison, DataId, Request
from repdiss_core.base.errors import UserError
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.checkpoint import CheckpointDir
from repdiss_core.engine.plan import FeatureGroup, Group, PopulationGroup, StitchGroup, plan
from repdiss_core.engine.run import Engine

# Fixed, so that a resumed run cuts the work where the interrupted one did. A batch takes a tenth of a second to seconds on a
# processor; a shard on a GPU is a process of its own, which loads its models anew.
BATCHES_PER_SHARD, BATCHES_PER_GPU_SHARD = 5, 50

Found = dict[str, tuple[dict[str, np.ndarray], dict[str, Any]]]


@dataclass(frozen=True)
class Shard:
    """Some comparisons of one group over the batches first … last - 1; over all that they need where both are 0."""

    comparisons: tuple[Comparison, ...]
    first: int = 0
    last: int = 0

    @property
    def key(self) -> str:
        """64 hexadecimal digits that name this piece of work."""
        return hashlib.sha256(
            "\n".join([*sorted(c.key for c in self.comparisons), f"{self.first}:{self.last}"]).encode()
        ).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"comparisons": [c.to_dict() for c in self.comparisons], "first": self.first, "last": self.last}

    @classmethod
    def from_dict(cls, form: dict[str, Any]) -> Shard:
        """The shard that `to_dict` was called on."""
        return cls(tuple(Comparison.from_dict(c) for c in form["comparisons"]), form["first"], form["last"])


def in_batches(group: Group) -> bool:
    """Whether a group's results are rows of batches, which can be computed apart and put one behind the other."""
    return isinstance(group, FeatureGroup) or (isinstance(group, PopulationGroup) and group.measure == "cka")


def shards_of(group: Group, counts: dict[str, int], n_batches: int, on_gpu: bool = False) -> list[Shard]:
    """The pieces of what a group lacks, in the order in which their results are joined.

    Args:
        counts: by key, the batches that are stored already (for results in batches).
        on_gpu: whether shards have GPUs; they are larger then.
    """
    if in_batches(group):
        shards, step = [], BATCHES_PER_GPU_SHARD if on_gpu else BATCHES_PER_SHARD
        for first in range(0, n_batches, step):
            last = min(n_batches, first + step)
            lacking = tuple(c for c in group.comparisons if counts[c.key] < last)
            shards += [Shard(lacking, first, last)] if lacking else []
        return shards
    if isinstance(group, StitchGroup):
        return [Shard((comparison,)) for comparison in group.comparisons]
    return [
        Shard(tuple(c for c in group.comparisons if c.f == bottom))
        for bottom in sorted({c.f for c in group.comparisons})
    ]


def compute_shard(
    form: dict[str, Any], threads: int, on_gpu: bool = False, facts: dict[str, Any] | None = None
) -> Found:
    """(arrays, plain values) by key; the same bytes wherever it runs on a processor, for a number of threads.

    Args:
        on_gpu: whether models of the hub go to the GPUs that were set aside for it; otherwise to the processor, whatever GPUs there are.
        facts: what the asking machine knows of the hub: which commit a revision stands for.

    Raises:
        UserError: it cannot be computed here, with the reason.
    """
    import torch

    torch.set_num_threads(threads)
    for key in (facts or {}).keys() - hub.everything().keys():
        hub.remember(key, facts[key])
    shard = Shard.from_dict(form)
    (group,) = plan(Request(shard.comparisons, shard.last - shard.first))
    with tempfile.TemporaryDirectory() as folder:
        engine = _engine(on_gpu)
        engine.begin(shard if in_batches(group) else None, shard.comparisons, Path(folder))
        engine._run_in_memory(group, shard.last - shard.first, lambda fraction, message: None, lambda: False)
        return engine.store.found


class _Kept:
    """A store of one shard's results, in memory."""

    def __init__(self) -> None:
        self.found: Found = {}
        self.problems: list[str] = []

    def get_local(self, key: str) -> None:
        """Nothing: the driver has taken out what is stored already."""

    def put(self, key: str, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Keep a result in place of a shorter one."""
        self.found[key] = arrays, meta

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """As a store on disk."""
        yield


@dataclass(frozen=True)
class _Window:
    """Batches first … last - 1 of a stream, counted from 0."""

    whole: Any
    first: int
    n_batches: int

    @property
    def data_id(self) -> DataId:
        return self.whole.data_id

    def batch(self, i: int) -> Any:
        """Batch i of the window."""
        return self.whole.batch(self.first + i)


class _ShardEngine(Engine):
    """Keeps models and streams from shard to shard of one process."""

    def __init__(self, on_gpu: bool) -> None:
        super().__init__(_Kept(), ActivationCache(budget_bytes=0))
        self._shard: Shard | None = None
        self._on_gpu, self._study = on_gpu, ""

    def begin(self, windowed: Shard | None, comparisons: tuple[Comparison, ...], folder: Path) -> None:
        """A new shard; of its batches alone where it has some. Models that only another study needs make room."""
        self.store, self._shard = _Kept(), windowed
        self.checkpoints = CheckpointDir(folder, self.report)
        c = comparisons[0]
        before, self._study = self._study, f"{c.measure} {c.data} {c.hook} {c.dtype}"
        needed = {m.name for c in comparisons for m in (c.f, c.g)}
        if before != self._study and any(name not in needed for name, *_ in self._models):
            self.forget_models()

    @property
    def devices(self) -> tuple[str, ...]:
        """The GPUs that Ray shows to this shard, or the processor. Unlike in one process no rate is kept: only the driver writes."""
        if self._devices is None:
            from repdiss_core.engine.device import devices

            self._devices = devices() if self._on_gpu else ("cpu",)
            if self._on_gpu and self._devices == ("cpu",):
                raise UserError(
                    "Ray sets GPUs aside for each shard, but torch sees none on the machine of this one. "
                    "Install torch for its GPUs there, or leave out --gpus and REPDISS_RAY_GPUS."
                )
            self.activations.home = self._devices[0]
        return self._devices

    def stream(self, data: DataId) -> Any:
        """The stream, or the shard's window of it."""
        whole = super().stream(data)
        if (
            self._shard is None or whole.n_batches < self._shard.last
        ):  # too short a stream is told by the pass, in its own words
            return whole
        return _Window(whole, self._shard.first, self._shard.last - self._shard.first)


@functools.lru_cache(maxsize=1)
def _engine(on_gpu: bool) -> _ShardEngine:
    return _ShardEngine(on_gpu)

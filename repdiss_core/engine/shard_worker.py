"""Shards as they are computed: on this machine, or in a process of a cluster that keeps models from shard to shard."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repdiss_core import hub
from repdiss_core.base.comparison import DataId, Request
from repdiss_core.base.errors import UserError
from repdiss_core.data.batches import TokenBatch
from repdiss_core.data.row_batches import FeatureStream, TextBatch
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.checkpoint import CheckpointDir
from repdiss_core.engine.groups import Group
from repdiss_core.engine.host import Host
from repdiss_core.engine.join import Found, Join
from repdiss_core.engine.plan import plan
from repdiss_core.engine.shards import Shard
from repdiss_core.engine.stopping import Progress, ShouldStop


def compute_shard(
    form: dict[str, Any], threads: int, on_gpu: bool = False, facts: dict[str, Any] | None = None
) -> Found:
    """(arrays, plain values) by key; the same bytes wherever it runs on a processor, for a number of threads.

    Args:
        on_gpu: whether models of the hub go to the GPUs that were set aside for it; otherwise to the processor,
            whatever GPUs there are.
        facts: what the asking machine knows of the hub: which commit a revision stands for.

    Raises:
        UserError: it cannot be computed here, with the reason.
    """
    import torch

    torch.set_num_threads(threads)
    here = hub.everything()
    for key, fact in (facts or {}).items():
        if key not in here:
            hub.remember(key, fact)
    shard = Shard.from_dict(form)
    (group,) = plan(Request(shard.comparisons, shard.last - shard.first))
    with tempfile.TemporaryDirectory() as folder:
        host, results = _host(on_gpu), _Kept()
        host.begin(shard, Path(folder))
        run_group(host, group, shard, Join(results, shard.comparisons, host.provenance))
        return results.found


def run_group(
    host: Host,
    group: Group,
    shard: Shard,
    join: Join,
    progress: Progress = lambda fraction, message: None,
    should_stop: ShouldStop = lambda: False,
) -> None:
    """Compute a shard of a group; a sentence where its models do not fit into memory and cannot be taken in parts.

    Raises:
        Stopped: after handing over what was finished.
        UserError: it cannot be computed, with the reason.
    """
    progress(0.0, "loading models and data")
    try:
        group.of(list(shard.comparisons)).run(host, shard.last - shard.first, join, progress, should_stop)
    except Exception as error:
        from repdiss_core.engine.device import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        host.forget_models()
        names = [m.name for m in group.models]
        named = ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
        raise UserError(
            f"{len(names)} models ({named}) do not fit into the memory of {', '.join(host.devices)} together, "
            "and this measure needs them at once. Choose fewer or smaller models, or a larger device."
        ) from error


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

    whole: FeatureStream
    first: int
    n_batches: int

    @property
    def data_id(self) -> DataId:
        return self.whole.data_id

    def batch(self, i: int) -> TokenBatch | TextBatch:
        """Batch i of the window."""
        return self.whole.batch(self.first + i)


class _ShardHost(Host):
    """Keeps models and streams from shard to shard of one process."""

    def __init__(self, on_gpu: bool) -> None:
        super().__init__(ActivationCache(budget_bytes=0))
        self._shard: Shard | None = None
        self._on_gpu, self._study = on_gpu, ""

    def begin(self, shard: Shard, folder: Path) -> None:
        """A new shard; of its batches alone where it has some. Models that only another study needs make room."""
        self._shard = shard if shard.in_batches and not shard.fitted else None
        self.checkpoints = CheckpointDir(folder, self.report)
        c = shard.comparisons[0]
        before, self._study = self._study, f"{c.measure} {c.data} {c.hook} {c.dtype}"
        needed = {m.name for c in shard.comparisons for m in (c.f, c.g)}
        if before != self._study and any(name not in needed for name, *_ in self._models):
            self.forget_models()

    @property
    def devices(self) -> tuple[str, ...]:
        """The GPUs that Ray shows to this shard, or the processor.

        Unlike in one process no rate is kept: only the driver writes.
        """
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

    def stream(self, data: DataId) -> FeatureStream:
        """The stream, or the shard's window of it."""
        whole = super().stream(data)
        # Too short a stream is refused by the pass, in its own words
        if self._shard is None or whole.n_batches < self._shard.last:
            return whole
        return _Window(whole, self._shard.first, self._shard.last - self._shard.first)


@functools.lru_cache(maxsize=1)
def _host(on_gpu: bool) -> _ShardHost:
    return _ShardHost(on_gpu)

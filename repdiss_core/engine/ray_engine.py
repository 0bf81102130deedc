"""The engine over a Ray cluster: Ray places, runs and retries the shards;
this process alone joins and stores their results.

This process computes nothing and imports no torch: its workers begin that much earlier.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from repdiss_core import hub
from repdiss_core.base.errors import UserError, one_line
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.feature_pass import check_length
from repdiss_core.engine.groups import Group
from repdiss_core.engine.join import Found, ShardJoin
from repdiss_core.engine.ray_cluster import RaySetting, connected
from repdiss_core.engine.run import Engine
from repdiss_core.engine.shard_worker import compute_shard
from repdiss_core.engine.shards import BATCHES_PER_GPU_SHARD, BATCHES_PER_SHARD
from repdiss_core.engine.stopping import Progress, ShouldStop, Stopped
from repdiss_core.store.cache import ResultStore

RETRIES = 3  # of a shard whose worker or machine was lost
POLL_S = 0.2


class RayEngine(Engine):
    """Computes as `Engine` does; the values have the same bytes as those of one process with `threads` threads."""

    def __init__(
        self, store: ResultStore, setting: RaySetting, report: Callable[[str], None] = lambda line: None
    ) -> None:
        super().__init__(store, ActivationCache(budget_bytes=0), report)
        self.setting = setting

    def _run_group(self, group: Group, n_batches: int, progress: Progress, should_stop: ShouldStop) -> None:
        """Compute a group on the cluster; what does not fit into a worker's memory is said by the worker."""
        if group.in_batches:
            check_length(self.stream(group.data), n_batches)
        join = ShardJoin(self.store, group.comparisons, self.checkpoints)
        step = BATCHES_PER_GPU_SHARD if self.setting.gpus else BATCHES_PER_SHARD
        waiting = join.expect(group.shards(join.counts(), n_batches, step))
        progress(0.0, "asking Ray for workers")
        ray = connected(self.setting, self.report)
        # A process that has begun on one GPU cannot move to another: where shards have GPUs, each has its own process.
        task = ray.remote(
            num_cpus=self.setting.threads, num_gpus=self.setting.gpus, max_calls=1 if self.setting.gpus else 0,
            max_retries=RETRIES, scheduling_strategy="SPREAD",
        )(compute_shard)  # fmt: skip
        facts = ray.put(hub.everything())  # revisions and facts of the hub, for machines that never asked it
        running = {
            task.remote(shard.to_dict(), self.setting.threads, self.setting.gpus > 0, facts): shard for shard in waiting
        }
        total = len(running)
        try:
            while running:
                ready, _ = ray.wait(list(running), num_returns=len(running), timeout=POLL_S)
                for reference in ready:
                    join.take(running.pop(reference), _result(ray, reference))
                    progress(1 - len(running) / total, f"shard {total - len(running)} of {total} on Ray")
                if should_stop():
                    raise Stopped
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def _result(ray: Any, reference: Any) -> Found:
    """What a shard found.

    Raises:
        UserError: its own sentence, or one on a worker that was lost again and again.
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(str(error.cause)) from None
        raise
    except ray.exceptions.RayError as error:
        raise UserError(
            f"A shard was lost {RETRIES + 1} times ({one_line(error)}). What was finished is kept; "
            "see the cluster's logs, then run it again."
        ) from error

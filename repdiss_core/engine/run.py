"""Computes a request: plans it, takes the lock of every key, re-checks the cache, and runs one pass a group."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from repdiss_core.base.comparison import Comparison, Request
from repdiss_core.base.errors import UserError
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.groups import Group, is_complete
from repdiss_core.engine.host import Host
from repdiss_core.engine.join import Join
from repdiss_core.engine.plan import plan
from repdiss_core.engine.shard_worker import run_group
from repdiss_core.engine.stopping import Progress, ShouldStop, Stopped
from repdiss_core.store.cache import ResultStore
from repdiss_core.store.disk import disk_error

CHECK_EVERY_S = 1.0


class Engine(Host):
    """Loads models and streams once for a whole request.

    Args:
        store: where results go.
        activations: the disk cache of residual streams.
        report: told of things worth a line in the log, such as a damaged checkpoint.
    """

    def __init__(
        self,
        store: ResultStore,
        activations: ActivationCache | None = None,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        super().__init__(activations, report)
        self.store = store

    def run(self, request: Request, progress: Progress, should_stop: ShouldStop = lambda: False) -> None:
        """Compute what the cache lacks of a request.

        Raises:
            Stopped: asked to stop; what was finished is stored.
            UserError: the request cannot be computed, with the reason.
        """
        self._run_groups(request, progress, should_stop)
        if self._lost(request):  # damage that shows only once the database has been closed
            self.report(
                "What is stored cannot be read back. A damaged database is set aside, "
                "and what is lost is computed anew."
            )
            self.store.verify()
            self._run_groups(request, progress, should_stop)
            if self._lost(request):
                raise UserError(
                    "What was computed cannot be read back from the cache. Check the disk, "
                    "or set REPDISS_CACHE to a folder on another one."
                )
        progress(1.0, "done")
        for line in self.activations.problems + self.store.problems:
            self.report(line)

    def _run_groups(self, request: Request, progress: Progress, should_stop: ShouldStop) -> None:
        """Compute what is missing."""
        groups = plan(request)
        weights = [group.weight(request.n_batches) for group in groups]
        total, done = sum(weights), 0.0
        for group, weight in zip(groups, weights, strict=True):
            start = done / total

            def within(fraction: float, message: str, start: float = start, share: float = weight / total) -> None:
                progress(start + share * fraction, message)

            if group.missing(self.store, request.n_batches):
                # A cache that holds all may be one that cannot be written: no lock then.
                with self._locked(group.comparisons, within, should_stop):
                    missing = group.missing(self.store, request.n_batches)  # another process may have been faster
                    if missing:
                        self._run_group(group.of(missing), request.n_batches, within, should_stop)
            done += weight

    def _lost(self, request: Request) -> bool:
        """Whether something of the request is not there for a process that opens the cache now."""
        self.store.close()
        return any(not is_complete(self.store, c, request.n_batches) for c in request.comparisons)

    def _run_group(self, group: Group, n_batches: int, progress: Progress, should_stop: ShouldStop) -> None:
        """Compute a group in this process: one shard, in which all comparisons share their forward passes."""
        join = Join(self.store, group.comparisons, self.provenance)
        for shard in group.shards(join.counts(), n_batches):
            run_group(self, group, shard, join, progress, should_stop)

    @contextlib.contextmanager
    def _locked(
        self, comparisons: tuple[Comparison, ...], progress: Progress, should_stop: ShouldStop
    ) -> Iterator[None]:
        """Hold the lock of every key, taken in sorted order so that two jobs never wait for each other in a ring."""
        import filelock

        with contextlib.ExitStack() as held:
            for key in sorted(c.key for c in comparisons):
                lock = self.store.lock(key)
                while True:
                    try:
                        lock.acquire(timeout=CHECK_EVERY_S)
                        break
                    except filelock.Timeout:
                        progress(0.0, "another job computes a part of this; waiting for its result")
                        if should_stop():
                            raise Stopped from None
                    except OSError as error:
                        raise disk_error(error, self.store.directory) from error
                held.callback(lock.release)
            yield

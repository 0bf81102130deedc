"""A page's worker: holds the job's lock, waits for a slot, computes, and keeps the status file."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

import click

from repdiss_core.base.comparison import Request
from repdiss_core.base.errors import UserError, one_line
from repdiss_core.base.paths import redacted
from repdiss_core.runs.progress import stop_on_signal

if TYPE_CHECKING:
    from filelock import AcquireReturnProxy

    from repdiss_core.runs.job_files import JobStatus
    from repdiss_core.store.cache import ResultStore

LOG_EVERY_S = 5.0


def work(job_id: str) -> int:
    """Compute one job; returns the exit status."""
    import filelock

    from repdiss_core.runs import job_files

    sys.stdout, sys.stderr = _Redacting(sys.stdout), _Redacting(sys.stderr)
    stop = stop_on_signal()
    form = job_files.read_request(job_id)
    status = job_files.JobStatus(
        job_id, form["title"], "queued", message="waiting for a free worker", started=time.time()
    )
    try:
        with job_files.job_lock(job_id):
            job_files.write_status(status)
            slot = _wait_for_slot(lambda: stop.is_set() or job_files.cancel_wanted(job_id))
            if slot is None:
                job_files.write_status(replace(status, state="cancelled", message="cancelled before it began"))
                return 0
            with slot:
                return _work_in_slot(form, replace(status, state="running", message="importing"), stop)
    except filelock.Timeout:
        click.echo("Another worker has this job already.", err=True)
        return 0
    except (UserError, OSError) as error:
        return _end_failed(status, redacted(str(error) if isinstance(error, UserError) else one_line(error)))


def _work_in_slot(form: dict[str, Any], status: Any, stop: threading.Event) -> int:
    from repdiss_core.runs import job_files

    job_files.write_status(status)
    reporter = _StatusProgress(status)
    log(f"started: {status.title}")
    try:
        from repdiss_core.engine.engines import make_engine
        from repdiss_core.engine.stopping import Stopped
        from repdiss_core.hub.download import Cancelled, watched
        from repdiss_core.store.cache import ResultStore

        store, request = ResultStore.open(), Request.from_dict(form["request"])
        if form.get("fresh"):
            _forget_once(store, form, status.job_id)

        def wanted_to_stop() -> bool:
            return stop.is_set() or job_files.cancel_wanted(status.job_id)

        try:
            with watched(reporter, wanted_to_stop):
                make_engine(store, log).run(request, reporter, wanted_to_stop)
        except (Stopped, Cancelled):
            log("cancelled; finished batches are kept")
            job_files.write_status(
                replace(
                    reporter.status,
                    state="cancelled",
                    message="cancelled; finished batches are kept",
                    seconds_left=None,
                )
            )
            return 0
        log("done")
        job_files.write_status(replace(reporter.status, state="done", fraction=1.0, message="done", seconds_left=None))
        return 0
    except UserError as error:
        sentence = (
            f"An unexpected fault stopped this job ({one_line(error)}). "
            "What was finished is kept; its log has the details."
        )
    return _end_failed(reporter.status, redacted(sentence))


def _end_failed(status: JobStatus, sentence: str) -> int:
    from repdiss_core.runs import job_files

    log(sentence)
    try:
        job_files.write_status(replace(status, state="failed", error=sentence, message="stopped", seconds_left=None))
    except UserError:
        log("This could not be written to the job's status either; the page shows the job as interrupted.")
    return 1


class _Redacting:
    """A text stream that writes no access token and no home path, a line at a time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._begun = stream, ""

    def write(self, text: str) -> int:
        """Keep what has no line end yet: a secret may come in two pieces."""
        lines, end, self._begun = (self._begun + text).rpartition("\n")
        self._stream.write(redacted(lines) + end)
        return len(text)

    def flush(self) -> None:
        """Write everything."""
        begun, self._begun = self._begun, ""
        self._stream.write(redacted(begun))
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _forget_once(store: ResultStore, form: dict[str, Any], job_id: str) -> None:
    """Drop what a fresh run replaces, and say so in the request: a resumed run must not drop its own work."""
    from repdiss_core.runs import job_files

    for comparison in Request.from_dict(form["request"]).comparisons:
        store.delete(comparison.key)
    job_files.write_request(job_id, {**form, "fresh": False})


def _wait_for_slot(give_up: Callable[[], bool]) -> AcquireReturnProxy | None:
    import filelock

    from repdiss_core.runs import job_files

    while not give_up():
        for lock in job_files.slot_locks():
            try:
                return lock.acquire()
            except filelock.Timeout:
                continue
        time.sleep(0.2)
    return None


def log(line: str) -> None:
    """A line of the job's log, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)


class _StatusProgress:
    """Writes the status file at most every 0.3 s, with the time left, and a line of the log every few seconds."""

    def __init__(self, status: JobStatus) -> None:
        self.status, self._begun, self._written, self._logged = status, time.monotonic(), 0.0, float("-inf")

    def __call__(self, fraction: float, message: str) -> None:
        from repdiss_core.runs import job_files

        now = time.monotonic()
        left = (now - self._begun) * (1 - fraction) / fraction if fraction > 0.02 else None
        self.status = replace(self.status, fraction=fraction, message=message, seconds_left=left)
        if now - self._written > 0.3:
            job_files.write_status(self.status)
            self._written = now
        if now - self._logged > LOG_EVERY_S:
            log(f"{fraction:4.0%}  {message}")
            self._logged = now

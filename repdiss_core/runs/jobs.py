"""Computations in worker processes: start, watch, cancel, resume. Torch-free; the worker is the command line itself.

A job is a folder `cache/local/jobs/<id>/` with `request.json`, `status.json`, `worker.json` and `log.txt`. Its id is
the key of its request, so that two tabs that ask for the same thing watch one job. The worker holds `job.lock` while
it lives; a death of any kind frees the lock and is thereby known.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil

from repdiss_core.base.comparison import Request
from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import REPOSITORY, local_root, readonly, redacted
from repdiss_core.runs.job_files import (
    JobStatus,
    folder_of,
    is_job_id,
    lock_is_held,
    read_json,
    read_request,
    read_status,
    start_lock,
    write_json,
    write_request,
    write_status,
)
from repdiss_core.runs.resolve import pinned_request

GRACE_S = 3.0  # between SIGTERM and SIGKILL
START_S = 3.0  # within which a worker that was asked for must have its process


def start(request: Request, title: str, fresh: bool = False) -> str:
    """Start the job of a request, or join the one that runs already; returns its id.

    Args:
        title: what the runs page calls it.
        fresh: compute anew what the local cache holds already.

    What is named on the hub and was never asked for is pinned first (a few seconds); the page then finds the same
    request.

    Raises:
        UserError: in a read-only demo, where nothing was asked for, or where the hub has to be asked and does not
            answer.
    """
    if readonly():
        raise UserError(
            "This is a read-only demo: it shows stored results and computes none. "
            "Run RepDiss on your own machine to compute."
        )
    if not request.comparisons:
        raise UserError("Nothing was asked for: choose at least one pair of models.")
    request = pinned_request(request)
    folder = folder_of(request.key)
    with start_lock(folder):
        known = status(request.key)
        if known is not None and known.alive:
            return request.key
        (folder / "cancel").unlink(missing_ok=True)
        write_request(request.key, {"title": title, "fresh": fresh, "request": request.to_dict()})
        write_status(JobStatus(request.key, title, "queued", message="starting a worker", started=time.time()))
        _spawn(folder, request.key)
    return request.key


def resume(job_id: str) -> str:
    """Start a job again from what it had stored."""
    form = read_request(job_id)
    return start(Request.from_dict(form["request"]), form["title"])


def status(job_id: str) -> JobStatus | None:
    """The job's state now, or None where there is no such job."""
    known = read_status(job_id)
    if known is None:
        return None
    starting = known.state == "queued" and 0 <= time.time() - known.started < START_S  # below 0: the clock was set back
    # The lock is the truth; the process is looked for first because a probe of the lock can get in the worker's way.
    if known.alive and not starting and _worker(job_id) is None and not lock_is_held(job_id):
        # Read again: the worker may have written its last word between the two looks.
        known = read_status(job_id) or known
        if known.alive:
            return replace(
                known, state="interrupted", message="its worker ended; finished batches are kept", seconds_left=None
            )
    return known


def cancel(job_id: str) -> None:
    """Stop a job; what it had finished stays in the cache.

    The worker is signalled only if a process of its number and start time still runs and holds the job's lock:
    process numbers are used again.
    """
    if readonly():
        raise UserError("This is a read-only demo: jobs cannot be cancelled from here.")
    known = status(job_id)
    if known is None or not known.alive:
        return
    (folder_of(job_id) / "cancel").touch()
    worker = _worker(job_id)
    if worker is None:
        return
    try:
        if lock_is_held(job_id):
            worker.send_signal(signal.SIGTERM)
        worker.wait(GRACE_S)
    except psutil.TimeoutExpired:
        worker.kill()
        worker.wait(GRACE_S)
    except psutil.NoSuchProcess:
        pass
    after = read_status(job_id)
    if after is not None and after.alive:
        write_status(
            replace(known, state="cancelled", message="cancelled; finished batches are kept", seconds_left=None)
        )


def list_jobs() -> list[JobStatus]:
    """Every job, the latest first."""
    root = local_root() / "jobs"
    found = (
        [status(path.parent.name) for path in root.glob("*/status.json") if is_job_id(path.parent.name)]
        if root.exists()
        else []
    )
    return sorted((job for job in found if job is not None), key=lambda job: -job.started)


def log_tail(job_id: str, n_lines: int = 40) -> str:
    """The last lines that the worker wrote."""
    try:
        text = (folder_of(job_id) / "log.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return redacted("\n".join(text.splitlines()[-n_lines:]))


def forget(job_id: str) -> None:
    """Remove the folder of a job that has ended."""
    known = status(job_id)
    if known is not None and not known.alive:
        for path in folder_of(job_id).glob("*"):
            path.unlink(missing_ok=True)
        folder_of(job_id).rmdir()


def _spawn(folder: Path, job_id: str) -> None:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    }
    try:
        with open(folder / "log.txt", "ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "repdiss_core", "run", "--job", job_id],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise UserError(
            f"No worker could be started ({error.strerror}). Free disk space or memory, then try again."
        ) from error
    _CHILDREN.append(worker)
    _CHILDREN[:] = [child for child in _CHILDREN if child.poll() is None]  # reap the ended ones
    write_json(folder / "worker.json", {"pid": worker.pid, "created": psutil.Process(worker.pid).create_time()})


_CHILDREN: list[subprocess.Popen] = []


def _worker(job_id: str) -> psutil.Process | None:
    """The worker's process, if one of its number and start time is alive."""
    form = read_json(folder_of(job_id) / "worker.json")
    if form is None:
        return None
    try:
        process = psutil.Process(int(form["pid"]))
        same = abs(process.create_time() - float(form["created"])) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, psutil.AccessDenied, KeyError, TypeError, ValueError, OverflowError):
        return None

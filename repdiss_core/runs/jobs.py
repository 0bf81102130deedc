"""Computations in worker processes: start, watch, cancel, resume. Torch-free; the worker is the command line itself.

A job is a folder `cache/local/jobs/<id>/` with `request.json`, `status.json`, `worker.json` and `log.txt`. Its id is
the key of its request, so that two tabs that ask for the same thing watch one job. The worker holds `job.lock` while
it lives; a death of any kind frees the lock and is thereby known.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import filelock
import psutil

from repdiss_core.base.comparison import Request
from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import REPOSITORY, local_root, number_setting, readonly, redacted
from repdiss_core.runs.resolve import pinned_request
from repdiss_core.store.storage import write_atomically

ALIVE = ("queued", "running")
STATES = (*ALIVE, "done", "failed", "cancelled", "interrupted")
GRACE_S = 3.0  # between SIGTERM and SIGKILL
START_S = 3.0  # within which a worker that was asked for must have its process


@dataclass(frozen=True)
class JobStatus:
    """What a page shows of a job.

    Args:
        state: "queued", "running", "done", "failed", "cancelled" or "interrupted" (its worker died; resume it).
        fraction: 0 … 1.
        message: what it is doing, or why it ended.
        seconds_left: an estimate, None while there is none.
        started, updated: seconds since the epoch.
        error: the sentence of a failed job.
    """

    job_id: str
    title: str
    state: str
    fraction: float = 0.0
    message: str = ""
    seconds_left: float | None = None
    started: float = 0.0
    updated: float = 0.0
    error: str = ""

    @property
    def alive(self) -> bool:
        """Whether it is queued or running."""
        return self.state in ALIVE


def n_workers() -> int:
    """How many workers run at once: `REPDISS_WORKERS`, default 2 (1 on a single core)."""
    return max(1, int(number_setting("REPDISS_WORKERS", min(2, os.cpu_count() or 1))))


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
    folder = _folder(request.key)
    with _start_lock(folder):
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
    known = _read_status(job_id)
    if known is None:
        return None
    starting = known.state == "queued" and 0 <= time.time() - known.started < START_S  # below 0: the clock was set back
    # The lock is the truth; the process is looked for first because a probe of the lock can get in the worker's way.
    if known.alive and not starting and _worker(job_id) is None and not _lock_is_held(job_id):
        # Read again: the worker may have written its last word between the two looks.
        known = _read_status(job_id) or known
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
    (_folder(job_id) / "cancel").touch()
    worker = _worker(job_id)
    if worker is None:
        return
    try:
        if _lock_is_held(job_id):
            worker.send_signal(signal.SIGTERM)
        worker.wait(GRACE_S)
    except psutil.TimeoutExpired:
        worker.kill()
        worker.wait(GRACE_S)
    except psutil.NoSuchProcess:
        pass
    after = _read_status(job_id)
    if after is not None and after.alive:
        write_status(
            replace(known, state="cancelled", message="cancelled; finished batches are kept", seconds_left=None)
        )


def list_jobs() -> list[JobStatus]:
    """Every job, the latest first."""
    root = local_root() / "jobs"
    found = (
        [status(path.parent.name) for path in root.glob("*/status.json") if _is_job_id(path.parent.name)]
        if root.exists()
        else []
    )
    return sorted((job for job in found if job is not None), key=lambda job: -job.started)


def log_tail(job_id: str, n_lines: int = 40) -> str:
    """The last lines that the worker wrote."""
    try:
        text = (_folder(job_id) / "log.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return redacted("\n".join(text.splitlines()[-n_lines:]))


def forget(job_id: str) -> None:
    """Remove the folder of a job that has ended."""
    known = status(job_id)
    if known is not None and not known.alive:
        for path in _folder(job_id).glob("*"):
            path.unlink(missing_ok=True)
        _folder(job_id).rmdir()


# -- used by the worker ----------------------------------------------------------------------------------------------


def read_request(job_id: str) -> dict[str, Any]:
    """title, fresh and request of a job."""
    form = _read(_folder(job_id) / "request.json")
    if form is None:
        raise UserError(
            f"There is no job {job_id!r} here, or its request cannot be read. Start it again from the figure's page."
        )
    try:
        asked = Request.from_dict(form["request"]).key
    except (TypeError, KeyError, AttributeError, ValueError):
        asked = None
    if asked != job_id or not isinstance(form.get("title"), str):
        raise UserError(
            f"The request of job {job_id[:12]} is damaged or of another version. Start it again from the figure's page."
        )
    return form


def write_request(job_id: str, form: dict[str, Any]) -> None:
    """Put title, fresh and request of a job where its worker reads them."""
    _write(_folder(job_id) / "request.json", form)


def write_status(job: JobStatus) -> None:
    """Put a job's state where pages read it."""
    _write(_folder(job.job_id) / "status.json", asdict(replace(job, updated=time.time())))


def job_lock(job_id: str) -> filelock.BaseFileLock:
    """Held by the worker for its life."""
    return filelock.FileLock(_folder(job_id) / "job.lock", timeout=5)


def slot_locks() -> list[filelock.BaseFileLock]:
    """One lock for each worker that may run at once."""
    folder = local_root() / "slots"
    folder.mkdir(parents=True, exist_ok=True)
    return [filelock.FileLock(folder / f"{number}.lock", timeout=0) for number in range(n_workers())]


def cancel_wanted(job_id: str) -> bool:
    """Whether someone asked this job to stop."""
    return (_folder(job_id) / "cancel").exists()


# -- inside ----------------------------------------------------------------------------------------------------------


def _is_job_id(job_id: str) -> bool:
    return len(job_id) == 64 and set(job_id) <= set("0123456789abcdef")


def _folder(job_id: str) -> Path:
    if not _is_job_id(job_id):
        raise UserError(f"{job_id[:80]!r} is not a job's id: it has 64 hexadecimal digits. List jobs on the page Runs.")
    return local_root() / "jobs" / job_id


def _start_lock(folder: Path) -> filelock.AcquireReturnProxy:
    """Held while a worker is started, so that two askers start one."""
    from repdiss_core.store.cache import disk_error

    try:
        folder.mkdir(parents=True, exist_ok=True)
        return filelock.FileLock(folder / "start.lock").acquire()
    except OSError as error:
        raise disk_error(error, folder) from error


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
    _write(folder / "worker.json", {"pid": worker.pid, "created": psutil.Process(worker.pid).create_time()})


_CHILDREN: list[subprocess.Popen] = []


def _worker(job_id: str) -> psutil.Process | None:
    """The worker's process, if one of its number and start time is alive."""
    form = _read(_folder(job_id) / "worker.json")
    if form is None:
        return None
    try:
        process = psutil.Process(int(form["pid"]))
        same = abs(process.create_time() - float(form["created"])) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, psutil.AccessDenied, KeyError, TypeError, ValueError, OverflowError):
        return None


def _lock_is_held(job_id: str) -> bool:
    probe = filelock.FileLock(_folder(job_id) / "job.lock", timeout=0)
    try:
        with probe:
            return False
    except filelock.Timeout:
        return True
    except OSError:
        return False  # nobody can hold a lock where none can be made


def _read_status(job_id: str) -> JobStatus | None:
    """The status as written, None where there is none that can be read."""
    form = _read(_folder(job_id) / "status.json")
    if form is None:
        return None
    texts = {name: form.get(name, "") for name in ("title", "state", "message", "error")}
    numbers = {name: form.get(name) for name in ("fraction", "seconds_left", "started", "updated")}
    if not all(isinstance(text, str) for text in texts.values()) or texts["state"] not in STATES:
        return None
    if not all(
        isinstance(number, int | float)
        for name, number in numbers.items()
        if name != "seconds_left" or number is not None
    ):
        return None
    return JobStatus(job_id, **texts, **numbers)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        form = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return form if isinstance(form, dict) else None


def _write(path: Path, form: dict[str, Any]) -> None:
    from repdiss_core.store.cache import disk_error

    try:
        write_atomically(path, json.dumps(form, indent=1, sort_keys=True).encode())
    except OSError as error:
        raise disk_error(error, path) from error

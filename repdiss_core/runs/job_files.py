"""The folder of a job, `cache/local/jobs/<id>/`: its request, its status, its locks. Pages and workers meet here."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import filelock

from repdiss_core.base.comparison import Request
from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import local_root, number_setting
from repdiss_core.store.disk import disk_error
from repdiss_core.store.storage import write_atomically

ALIVE = ("queued", "running")
STATES = (*ALIVE, "done", "failed", "cancelled", "interrupted")


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


def is_job_id(job_id: str) -> bool:
    return len(job_id) == 64 and set(job_id) <= set("0123456789abcdef")


def folder_of(job_id: str) -> Path:
    if not is_job_id(job_id):
        raise UserError(f"{job_id[:80]!r} is not a job's id: it has 64 hexadecimal digits. List jobs on the page Runs.")
    return local_root() / "jobs" / job_id


def read_request(job_id: str) -> dict[str, Any]:
    """title, fresh and request of a job."""
    form = read_json(folder_of(job_id) / "request.json")
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
    write_json(folder_of(job_id) / "request.json", form)


def read_status(job_id: str) -> JobStatus | None:
    """The status as written, None where there is none that can be read."""
    form = read_json(folder_of(job_id) / "status.json")
    if form is None:
        return None
    texts: dict[str, Any] = {name: form.get(name, "") for name in ("title", "state", "message", "error")}
    numbers: dict[str, Any] = {name: form.get(name) for name in ("fraction", "seconds_left", "started", "updated")}
    if not all(isinstance(text, str) for text in texts.values()) or texts["state"] not in STATES:
        return None
    if not all(
        isinstance(number, int | float)
        for name, number in numbers.items()
        if name != "seconds_left" or number is not None
    ):
        return None
    return JobStatus(job_id, **texts, **numbers)


def write_status(job: JobStatus) -> None:
    """Put a job's state where pages read it."""
    write_json(folder_of(job.job_id) / "status.json", asdict(replace(job, updated=time.time())))


def cancel_wanted(job_id: str) -> bool:
    """Whether someone asked this job to stop."""
    return (folder_of(job_id) / "cancel").exists()


def n_workers() -> int:
    """How many workers run at once: `REPDISS_WORKERS`, default 2 (1 on a single core)."""
    return max(1, int(number_setting("REPDISS_WORKERS", min(2, os.cpu_count() or 1))))


def job_lock(job_id: str) -> filelock.BaseFileLock:
    """Held by the worker for its life."""
    return filelock.FileLock(folder_of(job_id) / "job.lock", timeout=5)


def lock_is_held(job_id: str) -> bool:
    probe = filelock.FileLock(folder_of(job_id) / "job.lock", timeout=0)
    try:
        with probe:
            return False
    except filelock.Timeout:
        return True
    except OSError:
        return False  # nobody can hold a lock where none can be made


def slot_locks() -> list[filelock.BaseFileLock]:
    """One lock for each worker that may run at once."""
    folder = local_root() / "slots"
    folder.mkdir(parents=True, exist_ok=True)
    return [filelock.FileLock(folder / f"{number}.lock", timeout=0) for number in range(n_workers())]


def start_lock(folder: Path) -> filelock.AcquireReturnProxy:
    """Held while a worker is started, so that two askers start one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return filelock.FileLock(folder / "start.lock").acquire()
    except OSError as error:
        raise disk_error(error, folder) from error


def read_json(path: Path) -> dict[str, Any] | None:
    try:
        form = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return form if isinstance(form, dict) else None


def write_json(path: Path, form: dict[str, Any]) -> None:
    try:
        write_atomically(path, json.dumps(form, indent=1, sort_keys=True).encode())
    except OSError as error:
        raise disk_error(error, path) from error

"""What takes disk space in the local cache, and freeing it. Nothing here is ever done unasked."""

from __future__ import annotations

import shutil

from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import local_root, readonly
from repdiss_core.runs import jobs
from repdiss_core.store.disk import directory_size

PARTS = ("results", "activations", "checkpoints", "data", "jobs", "training")


def sizes() -> dict[str, int]:
    """Bytes of each part of the local cache."""
    return {name: directory_size(local_root() / name) for name in PARTS}


def prune(everything: bool = False) -> int:
    """Remove activations, checkpoints and ended jobs, with `everything` the local results too; returns the bytes freed.

    Raises:
        UserError: in a read-only demo, or while a job runs (it may be reading what would go).
    """
    if readonly():
        raise UserError("This is a read-only demo: nothing can be pruned from here.")
    if any(job.alive for job in jobs.list_jobs()):
        raise UserError("A job is running. Cancel it or wait for its end, then prune.")
    before = directory_size(local_root())
    for job in jobs.list_jobs():
        jobs.forget(job.job_id)
    for name in ("activations", "checkpoints", "locks", *(["results"] if everything else [])):
        shutil.rmtree(local_root() / name, ignore_errors=True)
    return before - directory_size(local_root())

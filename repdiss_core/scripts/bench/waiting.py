"""How long a page waits for a job, on a cache of its own."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from repdiss_core.base.comparison import Request
from repdiss_core.base.errors import UserError


@contextmanager
def empty_cache() -> Iterator[None]:
    """A cache of its own for what runs inside, removed at the end."""
    before = os.environ.get("REPDISS_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["REPDISS_CACHE"] = folder
        try:
            yield
        finally:
            os.environ.pop("REPDISS_CACHE")
            if before is not None:
                os.environ["REPDISS_CACHE"] = before


def job_seconds(request: Request, title: str) -> float:
    """Seconds from asking for a job to its end, the worker's start included.

    Raises:
        UserError: the job did not come to its end.
    """
    from repdiss_core.runs import jobs

    begun = time.perf_counter()
    job_id = jobs.start(request, title)
    while (status := jobs.status(job_id)) is not None and status.alive:
        time.sleep(0.02)
    if status is None or status.state != "done":
        raise UserError(
            f"The job of the bench ended as {status.state if status else 'lost'}: "
            f"{status.error if status else ''} {jobs.log_tail(job_id, 5)}"
        )
    return time.perf_counter() - begun

"""kill -9 at random moments: finished batches are kept, and the end is the undisturbed result, byte for byte."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from faulting import assert_same_bytes, cases, compute, small_request, tally, values

from repdiss_core.runs import jobs
from repdiss_core.store.cache import ResultStore


def kept(store: ResultStore, request) -> int:
    """Batches and steps that are stored."""
    found = values(store, request)
    return sum(len(arrays["cross"]) if "cross" in arrays else int(arrays["loss"].size > 0) for arrays in found.values())


def killed(process, moment: float) -> bool:
    """Kill a process after some seconds; False where it ended before."""
    process.join(moment)
    if process.exitcode is not None:
        assert process.exitcode == 0
        return False
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return True


def test_computations_killed_at_random_moments_end_as_if_undisturbed(forking, new_root, undisturbed, duration) -> None:
    request, wanted, life_s = *undisturbed, duration
    dice, kills, runs = random.Random(1), 0, 0
    while kills < cases(3, 150):
        root, before, runs = new_root(), 0, runs + 1
        store = ResultStore(Path(root) / "local", Path(root) / "none")
        while True:
            process = forking.Process(target=compute, args=(root, request.to_dict()))
            process.start()
            began = time.monotonic()
            if not killed(process, dice.uniform(0.02, life_s)):
                # From nothing to its end: moments lie within the life of one on this machine now
                if kept(store, request) and before == 0:
                    life_s = min(life_s, time.monotonic() - began)
                break
            kills += 1
            now = kept(store, request)
            assert now >= before, "a kill lost batches that had been stored"
            before = now
        assert store.problems == []
        assert_same_bytes(values(store, request), wanted)
        assert store.verify() == (len(wanted), [])
    tally(
        "kill -9 of a computation",
        kills=kills,
        runs=runs,
        lost=0,
        wrong=0,
        note=f"at random moments of the {life_s:.1f} s that it takes",
    )


def ask(root: str, request: dict) -> None:
    """What a server does with a click: start the job and go on serving."""
    os.environ["REPDISS_CACHE"] = root
    from repdiss_core.base.comparison import Request

    jobs.start(Request.from_dict(request), "asked by a server")
    time.sleep(60)


@pytest.mark.faults
def test_worker_and_server_killed_at_random_moments(forking, new_root, monkeypatch) -> None:
    """The real worker process, started as a page starts it; servers are killed while they start it and while it
    runs."""
    request, dice = small_request(60), random.Random(2)
    wanted = finished_by_a_worker(request, new_root(), monkeypatch)
    kills = {"worker": 0, "server": 0}
    runs = 0
    while min(kills.values()) < 30:
        root, before, runs = new_root(), 0, runs + 1
        monkeypatch.setenv("REPDISS_CACHE", root)
        store = ResultStore(Path(root) / "local", Path(root) / "none")
        while (job := jobs.status(request.key)) is None or job.state != "done":
            if job is not None:
                assert job.state in ("queued", "interrupted", "running"), job
            server = forking.Process(target=ask, args=(root, request.to_dict()))
            server.start()
            kills["server"] += killed(server, dice.uniform(0.0, 0.4))
            time.sleep(dice.uniform(0.3, 7.0))
            worker = jobs._worker(request.key)
            if worker is not None:
                worker.kill()
                kills["worker"] += 1
                await_end(request.key)
            now = kept(store, request)
            assert now >= before, "a kill lost batches that had been stored"
            before = now
        assert store.problems == []
        assert_same_bytes(values(store, request), wanted)
    tally(
        "kill -9 of worker and server processes",
        kills=sum(kills.values()),
        runs=runs,
        lost=0,
        wrong=0,
        note=f"{kills['worker']} of the worker, {kills['server']} of the asking server",
    )


def finished_by_a_worker(request, root: str, monkeypatch) -> dict:
    """The arrays that an undisturbed worker stores."""
    monkeypatch.setenv("REPDISS_CACHE", root)
    jobs.start(request, "undisturbed")
    end = time.monotonic() + 120
    while jobs.status(request.key).state != "done":
        assert time.monotonic() < end, jobs.log_tail(request.key)
        time.sleep(0.1)
    return values(ResultStore(Path(root) / "local", Path(root) / "none"), request)


def await_end(job_id: str) -> None:
    """Return once the job's worker is known to be dead."""
    end = time.monotonic() + 10
    while jobs.status(job_id).alive:
        assert time.monotonic() < end, "a dead worker was not noticed within 10 s"
        time.sleep(0.05)

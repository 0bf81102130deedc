"""Eight processes that want one key, caches of two machines put together, and a clock that is set back."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import psutil
import pytest
from faulting import assert_same_bytes, cases, compute, compute_counted, small_request, tally, values

from repdiss_core.base.comparison import Request
from repdiss_core.runs import job_files, jobs
from repdiss_core.store.cache import ResultStore

ASKERS = 8


def test_eight_processes_that_ask_for_one_key_compute_it_once(forking, new_root, tmp_path) -> None:
    request, rounds = small_request(stitches=0), cases(1, 10)
    for number in range(rounds):
        root, log = new_root(), tmp_path / f"log-{number}"
        askers = [
            forking.Process(target=compute_counted, args=(root, request.to_dict(), str(log))) for _ in range(ASKERS)
        ]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        assert [asker.exitcode for asker in askers] == [0] * ASKERS
        lines = log.read_text().splitlines()
        assert len(lines) == 1 and lines[0].endswith(f" {len(request.comparisons)}"), f"computed {len(lines)} times"
        store = ResultStore(Path(root) / "local", Path(root) / "none")
        assert len(values(store, request)) == len(request.comparisons) and store.problems == []
    tally("8 processes ask for one key at once", cases=rounds, computed=rounds, wrong=0)


@pytest.mark.faults
@pytest.mark.parametrize("newer", ["ours", "theirs"])
def test_caches_of_two_machines_copied_over_each_other(forking, new_root, undisturbed, newer) -> None:
    """A copy as rsync makes it: files of one over those of the other, the database of one,
    a log of the other that is left behind."""
    request, wanted = undisturbed
    halves = (Request(request.comparisons[:3], request.n_batches), Request(request.comparisons[2:], request.n_batches))
    roots = [Path(new_root()), Path(new_root())]
    open_stores = []
    for root, half in zip(roots, halves, strict=True):
        process = forking.Process(target=compute, args=(str(root), half.to_dict()))
        process.start()
        process.join()
        store = ResultStore(root / "local", root / "none")
        store.put(
            "f" * 64,
            {
                "x": values(store, half)[half.comparisons[-1].key][
                    "self_f" if "self_f" in wanted[half.comparisons[-1].key] else "loss"
                ]
            },
            {},
        )
        open_stores.append(store)  # left open, so that the write-ahead log is copied too
    ours, theirs = roots if newer == "theirs" else reversed(roots)
    target = Path(new_root())
    for source in (ours, theirs):
        shutil.copytree(source / "local" / "results", target / "local" / "results", dirs_exist_ok=True)
    (target / "local" / "results" / "cache.db-wal").write_bytes(
        (ours / "local" / "results" / "cache.db-wal").read_bytes()
    )
    store = ResultStore(target / "local", target / "none")
    found = values(store, request)
    assert_same_bytes(found, {key: wanted[key] for key in found})
    process = forking.Process(target=compute, args=(str(target), request.to_dict()))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert_same_bytes(values(ResultStore(target / "local", target / "none"), request), wanted)
    tally(
        "two machines' caches copied over each other",
        cases=1,
        wrong=0,
        note=f"{len(found)} of {len(wanted)} results found at once, the others computed anew",
    )


def job_with_worker(process: psutil.Process, started: float, created: float, state: str = "running") -> str:
    """A job's folder as its server left it."""
    request = small_request()
    job_files.folder_of(request.key).mkdir(parents=True, exist_ok=True)
    job_files.write_request(request.key, {"title": "t", "fresh": False, "request": request.to_dict()})
    job_files.write_status(job_files.JobStatus(request.key, "t", state, started=started))
    job_files.write_json(job_files.folder_of(request.key) / "worker.json", {"pid": process.pid, "created": created})
    return request.key


def test_a_clock_set_back_does_not_declare_a_live_worker_dead(forking) -> None:
    """Process start times are told in wall-clock time: after a change of the clock they no longer fit what was
    noted."""
    me = psutil.Process()
    for change in (-86400.0, -10.0, 10.0, 86400.0):
        job_id = job_with_worker(me, time.time() + change, me.create_time() + change)
        with job_files.job_lock(job_id):
            assert jobs.status(job_id).state == "running"
        assert jobs.status(job_id).state == "interrupted"


def test_a_clock_set_back_does_not_keep_a_dead_job_queued() -> None:
    job_id = job_with_worker(psutil.Process(), time.time() + 3600, 0.0, state="queued")
    assert jobs.status(job_id).state == "interrupted"
    tally(
        "clock set back or forward", cases=5, wrong=0, note="a live worker stays alive, a dead one is known to be dead"
    )


def test_results_written_with_the_clock_set_back_replace_older_ones(tmp_path, monkeypatch) -> None:
    import numpy as np

    store, request = ResultStore(tmp_path / "local", tmp_path / "none"), small_request()
    comparison = request.comparisons[0]
    store.put(comparison.key, {"x": np.ones(1)}, {"comparison": comparison.to_dict()})
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 10 * 86400)
    store.put(comparison.key, {"x": np.zeros(1)}, {"comparison": comparison.to_dict()})
    assert store.get(comparison.key).arrays["x"][0] == 0.0
    from repdiss_core.ui.parts.text import age

    assert age(now() + 500, now()) == "just now"
    assert json.dumps(store.verify()) == "[1, []]"

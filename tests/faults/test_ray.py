"""A local Ray cluster of two workers: the same bytes as one process, also where a worker or the driver is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from faulting import F, G, assert_same_bytes, compute, new_cache, small_request, tally, values

from repdiss_core.base.comparison import Request
from repdiss_core.engine.shards import BATCHES_PER_SHARD
from repdiss_core.store.cache import ResultStore

pytestmark = pytest.mark.ray
MISSING = "RAY TESTS DID NOT RUN: Ray is not installed. `pip install -r requirements-cluster.txt` brings it."


@pytest.fixture(scope="module", autouse=True)
def installed():
    """Skips loudly where Ray is missing."""
    try:
        import ray  # noqa: F401
    except ImportError:
        pytest.skip(MISSING)


def compute_on_ray(root: str, request: dict, workers: int, notes: str = "") -> None:
    """Compute a request on a local cluster of its own; a line in `notes` for each step that progress tells."""
    os.environ["REPDISS_CACHE"] = root
    import ray

    from repdiss_core.engine.ray_cluster import RaySetting
    from repdiss_core.engine.ray_engine import RayEngine

    def told(fraction: float, message: str) -> None:
        if notes:
            with open(notes, "a") as file:
                file.write(f"{fraction:.3f} {message}\n")

    RayEngine(ResultStore.open(), RaySetting(workers=workers)).run(Request.from_dict(request), told)
    ray.shutdown()


def started(forking, *arguments):
    process = forking.Process(target=compute_on_ray, args=arguments)
    process.start()
    return process


def stored(root: str, request) -> dict:
    """The arrays that are in a cache."""
    return values(ResultStore(Path(root) / "local", Path(root) / "none"), request)


@pytest.fixture(scope="module")
def longer(forking, tmp_path_factory, shared_data):
    """(request of 40 batches and stitches, its arrays from one process of one thread)."""
    request, root = small_request(40, stitches=2), str(new_cache(tmp_path_factory.mktemp("longer"), shared_data))
    process = forking.Process(target=compute, args=(root, request.to_dict(), False))
    process.start()
    process.join()
    return request, stored(root, request)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_result_equals_that_of_one_process(forking, new_root, longer, workers) -> None:
    request, wanted = longer
    root = new_root()
    process = started(forking, root, request.to_dict(), workers)
    process.join()
    assert process.exitcode == 0
    assert_same_bytes(stored(root, request), wanted)
    entry = ResultStore(Path(root) / "local", Path(root) / "none").get_local(request.comparisons[0].key)
    assert (entry.meta["provenance"]["engine"], entry.meta["provenance"]["threads"]) == ("ray", 1)
    tally(f"Ray with {workers} worker{'s' * (workers > 1)}", cases=len(wanted), differing_bytes=0)


def test_populations_and_single_tokens_equal_those_of_one_process(forking, new_root) -> None:
    request, roots = population_request(), [new_root(), new_root()]
    alone = forking.Process(target=compute, args=(roots[0], request.to_dict(), False))
    alone.start()
    for process in (alone, started(forking, roots[1], request.to_dict(), 2)):
        process.join()
        assert process.exitcode == 0
    wanted = stored(roots[0], request)
    assert len(wanted) == len(request.comparisons) == 3 + 6 + 1
    assert_same_bytes(stored(roots[1], request), wanted)
    tally("Ray: a population's pairs and single tokens", cases=len(wanted), differing_bytes=0)


def population_request() -> Request:
    """Same-layer CKA and stitched accuracy of every pair of three classifiers, and one alignment of tokens."""
    from repdiss_core.studies.common import CkaView, data_id, token_comparison
    from repdiss_core.studies.generalization.question import PopulationParams, cka_pairs, models_of, stitched_pairs
    from repdiss_core.studies.panels import request_for
    from repdiss_core.studies.presets import preset

    params = PopulationParams(population="constructed", items=64)
    models = models_of("constructed")[:3]
    token, _ = token_comparison((F, 1), (G, 3), CkaView(), data_id(preset("tiny"), "eval"))
    pairs = (
        *cka_pairs(params, "in_distribution", models).values(),
        *stitched_pairs(params, "lexical_overlap", models).values(),
    )
    return request_for((*pairs, token), 6)


def ray_workers(driver: psutil.Process) -> list[psutil.Process]:
    """Processes that compute shards of a driver's cluster."""
    found = []
    for process in driver.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [process] if any("ray::compute_shard" in part for part in process.cmdline()) else []
    return found


def wait_for(what, seconds: float = 240):
    """What `what` gives once it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come about")


def test_a_worker_killed_in_the_middle(forking, new_root, longer) -> None:
    request, wanted = longer
    root = new_root()
    process = started(forking, root, request.to_dict(), 2)
    driver, kills = psutil.Process(process.pid), 0
    for _ in range(2):
        victims = wait_for(lambda: ray_workers(driver))
        time.sleep(0.3)
        with contextlib.suppress(psutil.NoSuchProcess):
            victims[0].send_signal(signal.SIGKILL)
            kills += 1
        time.sleep(1.0)
    process.join()
    assert kills and process.exitcode == 0
    assert_same_bytes(stored(root, request), wanted)
    tally("Ray: a worker killed in the middle", kills=kills, differing_bytes=0)


def test_the_driver_killed_and_resumed(forking, new_root, longer, tmp_path) -> None:
    request, wanted = longer
    root, notes = new_root(), tmp_path / "notes"
    process = started(forking, root, request.to_dict(), 2, str(notes))
    cluster = []
    first = request.comparisons[0].key
    wait_for(
        lambda: first in stored(root, request) and len(stored(root, request)[first]["cross"]) >= 2 * BATCHES_PER_SHARD
    )
    cluster += psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    for orphan in cluster:  # the machine of a lost driver is gone with it
        with contextlib.suppress(psutil.NoSuchProcess):
            orphan.kill()
    kept = stored(root, request)
    assert 0 < len(kept[first]["cross"]) <= 40
    steps = len(notes.read_text().splitlines())
    process = started(forking, root, request.to_dict(), 2, str(notes))
    process.join()
    assert process.exitcode == 0
    assert_same_bytes(stored(root, request), wanted)
    resumed = [line for line in notes.read_text().splitlines()[steps:] if "shard" in line]
    assert len(resumed) < 40 / BATCHES_PER_SHARD + 4, "the resumed run did all shards again"
    tally(
        "Ray: the driver killed and resumed",
        kills=1,
        differing_bytes=0,
        note=f"{len(kept[first]['cross'])} of 40 batches were kept",
    )


def test_cancel_stops_and_keeps(new_root, monkeypatch) -> None:
    """In this process: asked to stop after the first shard."""
    ray = pytest.importorskip("ray", reason=MISSING)
    from repdiss_core.engine.ray_cluster import RaySetting
    from repdiss_core.engine.ray_engine import RayEngine
    from repdiss_core.engine.stopping import Stopped

    root, request = new_root(), small_request(40, stitches=0)
    monkeypatch.setenv("REPDISS_CACHE", root)
    said: list[str] = []
    try:
        with pytest.raises(Stopped):
            RayEngine(ResultStore.open(), RaySetting(workers=1)).run(
                request, lambda f, m: said.append(m), lambda: any("shard 1 of" in m for m in said)
            )
    finally:
        ray.shutdown()
    n = len(stored(root, request)[request.comparisons[0].key]["cross"])
    assert 0 < n < 40 and n % BATCHES_PER_SHARD == 0

"""Ray's clusters: settings, addresses where nothing answers, GPUs,
and jobs that pages send to a cluster that `ray start` made."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from faulting import assert_same_bytes, small_request, tally, values

from repdiss_core.base.errors import UserError
from repdiss_core.engine.engines import make_engine
from repdiss_core.engine.ray_cluster import RaySetting, connected
from repdiss_core.engine.ray_engine import RayEngine
from repdiss_core.runs import jobs
from repdiss_core.store.cache import ResultStore

pytestmark = pytest.mark.ray
TOKEN = "a-token-of-these-tests-alone-0123456789"


@pytest.fixture(scope="module", autouse=True)
def ray():
    """Ray; skips loudly where it is missing."""
    return pytest.importorskip(
        "ray",
        reason="RAY TESTS DID NOT RUN: Ray is not installed. `pip install -r requirements-cluster.txt` brings it.",
    )


def test_bad_settings_are_sentences(monkeypatch) -> None:
    monkeypatch.setenv("REPDISS_RAY_THREADS", "two")
    with pytest.raises(UserError, match="REPDISS_RAY_THREADS is 'two'; it is a number"):
        RaySetting.from_environment()
    monkeypatch.setenv("REPDISS_ENGINE", "slurm")
    with pytest.raises(UserError, match="There is no engine 'slurm'"):
        make_engine(ResultStore.open(), print)


@pytest.fixture
def asked(ray, monkeypatch) -> dict:
    """What `ray.init` was asked for; no cluster is made, one of 6 processors is told."""
    found: dict = {}
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # so that it is as before after the test
    monkeypatch.setattr(ray, "init", lambda **named: found.update(named, PYTHONPATH=os.environ.get("PYTHONPATH", "")))
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 6.0})
    return found


def test_without_an_address_a_cluster_of_ones_own_is_started(asked, monkeypatch) -> None:
    """Ray itself would join whatever cluster was last started on the machine."""
    monkeypatch.setenv("PYTHONPATH", "/before")
    connected(RaySetting(workers=3, threads=2))
    assert (asked["address"], asked["num_cpus"]) == ("local", 6)
    assert asked["PYTHONPATH"].endswith(f"{os.pathsep}/before") and os.environ["PYTHONPATH"] == "/before"
    connected(RaySetting(threads=6))
    assert asked["num_cpus"] == max(6, os.cpu_count())
    connected(RaySetting(address="auto"))
    assert asked["address"] == "auto"


def test_gpus_that_are_not_there_are_told_instead_of_waited_for(asked) -> None:
    with pytest.raises(UserError, match=r"A shard asks for 1 GPUs and this machine has 0\. Ask for fewer with --gpus"):
        connected(RaySetting(workers=1, gpus=1))
    told: list[str] = []
    connected(RaySetting(address="auto", gpus=2), told.append)
    assert told == ["A shard asks for 2 GPUs and auto has 0 in all; shards wait for a machine that has them."]


def test_an_address_where_nothing_answers_is_a_sentence_at_once() -> None:
    """Ray itself waits for more than ten minutes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(
            UserError,
            match=rf"No Ray cluster answers at {address} \(ConnectionRefusedError.*Start one with `ray start --head`",
        ):
            connected(RaySetting(address=address))
    for address in ("here", "127.0.0.1:", ":6379", "127.0.0.1:٣"):
        with pytest.raises(
            UserError, match=r"is no address of a Ray cluster\. Write auto, HOST:6379|No Ray cluster answers"
        ):
            connected(RaySetting(address=address))
    assert time.monotonic() - began < 5
    tally("Ray: addresses where no cluster is", cases=6, tracebacks=0, slower_than_5_s=0)


def test_a_shard_with_a_gpu_that_torch_does_not_see_is_a_sentence(ray, new_root, monkeypatch) -> None:
    """The cluster says that it has one, so that Ray runs the shard; what runs on a real one is in
    tests/engine/test_shards.py."""
    monkeypatch.setenv("REPDISS_CACHE", new_root())
    ray.init(
        address="local",
        num_cpus=1,
        num_gpus=1,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
    )
    try:
        with pytest.raises(
            UserError,
            match=r"Ray sets GPUs aside for each shard, but torch sees none on the machine of this one\. Install torch",
        ):
            RayEngine(ResultStore.open(), RaySetting(gpus=1)).run(
                small_request(stitches=0), lambda fraction, message: None
            )
    finally:
        ray.shutdown()


@pytest.fixture
def cluster(monkeypatch):
    """Sends the pages' jobs to a cluster of two workers made by `ray start`, which asks for a token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")  # its sockets' names are short
    command = [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        f"--port={port}",
        "--num-cpus=2",
        "--num-gpus=0",
    ]
    command += [
        "--node-ip-address=127.0.0.1",
        "--include-dashboard=false",
        "--disable-usage-stats",
        f"--temp-dir={folder}",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REPDISS_")}
    for name, value in {
        "RAY_AUTH_TOKEN": TOKEN,
        "REPDISS_ENGINE": "ray",
        "REPDISS_RAY_ADDRESS": f"127.0.0.1:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    with open(f"{folder}/log", "wb") as log:
        head = subprocess.Popen(
            command, env=environment | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}, stdout=log, stderr=log
        )
    end = time.monotonic() + 60
    while "Ray runtime started" not in (said := Path(folder, "log").read_text()):
        assert time.monotonic() < end and head.poll() is None, said
        time.sleep(0.2)
    yield
    head.terminate()
    head.wait()
    shutil.rmtree(folder, ignore_errors=True)


def ended(job_id: str, until=lambda status: not status.alive) -> jobs.JobStatus:
    """The job's status once it has ended (or is as `until` says)."""
    end = time.monotonic() + 180
    while not until(status := jobs.status(job_id)):
        assert time.monotonic() < end, jobs.log_tail(job_id)
        time.sleep(0.05)
    return status


def test_jobs_of_pages_go_to_the_cluster(cluster, new_root, undisturbed, monkeypatch) -> None:
    """One is finished, one is cancelled; the machines of the cluster have another cache than the pages."""
    request, wanted = undisturbed
    root = new_root()
    monkeypatch.setenv("REPDISS_CACHE", root)
    job_id = jobs.start(request, "asked by a page")
    assert ended(job_id).state == "done", jobs.log_tail(job_id)
    store = ResultStore.open()
    assert_same_bytes(values(store, request), wanted)
    assert {store.get_local(c.key).meta["provenance"]["engine"] for c in request.comparisons} == {"ray"}
    longer = small_request(300, stitches=0)
    cancelled = jobs.start(longer, "cancelled by a page")
    ended(cancelled, lambda status: " on Ray" in status.message)  # a shard is in; which one the page sees is chance
    jobs.cancel(cancelled)
    assert ended(cancelled).state == "cancelled"
    kept = {len(arrays["cross"]) for arrays in values(store, longer).values()}
    assert len(kept) == 1 and 0 < min(kept) < 300
    for log in ((jobs._folder(job) / "log.txt").read_text() for job in (job_id, cancelled)):
        assert "started:" in log and TOKEN not in log and os.path.expanduser("~") + "/" not in log
    note = "one more was cancelled; its batches are kept"
    tally("Ray: jobs of pages on a cluster that asks for a token", cases=len(wanted), differing_bytes=0, note=note)

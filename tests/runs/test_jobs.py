"""Jobs: one computation for two askers, cancel, death, resume. The worker is the real command line."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace

import psutil
import pytest

from repdiss_core.base.errors import UserError
from repdiss_core.runs import job_files, jobs
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.common import CkaView, cka_panel, data_id
from repdiss_core.studies.panels import load_matrix, request_for
from repdiss_core.studies.presets import preset

PATIENCE_S = 90


def panel(f="mini-gelu-3l-s0", g="mini-solu-3l-s0", view=None):
    setting = preset("tiny")
    return cka_panel(f, g, view or CkaView(), data_id(setting, "eval"))


def wait(job_id: str, states: tuple[str, ...], seconds: float = PATIENCE_S) -> job_files.JobStatus:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = jobs.status(job_id)
        if status.state in states:
            return status
        time.sleep(0.05)
    raise AssertionError(f"still {status} after {seconds} s; log:\n{jobs.log_tail(job_id)}")


def test_two_askers_share_one_worker_and_the_result_is_stored() -> None:
    request = request_for([panel().comparison], 3)
    first, second = jobs.start(request, "once"), jobs.start(request, "twice")
    assert first == second
    pid = json.loads((job_files.folder_of(first) / "worker.json").read_text())["pid"]
    wait(first, ("done",))
    assert json.loads((job_files.folder_of(first) / "worker.json").read_text())["pid"] == pid, (
        "a second worker was started"
    )
    view = load_matrix(ResultStore.open(), panel(), "mean_of_ratios", 3)
    assert view.complete and view.origin == "local" and view.matrix.values.shape == (3, 3)
    assert [job.title for job in jobs.list_jobs()] == ["once"]
    lines = jobs.log_tail(first).splitlines()
    assert lines[0].endswith("started: once") and lines[-1].endswith("done") and any("%  " in line for line in lines)


def test_killed_worker_is_noticed_and_resumed_where_it_stood() -> None:
    wanted = panel(view=CkaView(estimator="sequence_aware"))
    request = request_for([wanted.comparison], 250)
    job_id = jobs.start(request, "long")
    end = time.monotonic() + PATIENCE_S
    while load_matrix(ResultStore.open(), wanted, "mean_of_ratios", 250).n_batches == 0:
        assert time.monotonic() < end, jobs.log_tail(job_id)
        time.sleep(0.05)
    os.kill(json.loads((job_files.folder_of(job_id) / "worker.json").read_text())["pid"], signal.SIGKILL)
    assert wait(job_id, ("interrupted", "done"), 10).state == "interrupted"
    kept = load_matrix(ResultStore.open(), wanted, "mean_of_ratios", 250)
    assert 0 < kept.n_batches < 250, "finished batches are kept"
    jobs.resume(job_id)
    time.sleep(0.3)
    jobs.cancel(job_id)
    assert wait(job_id, ("cancelled",), 10).message.startswith("cancelled")
    assert load_matrix(ResultStore.open(), wanted, "mean_of_ratios", 250).n_batches >= kept.n_batches


def test_cancel_signals_no_stranger(monkeypatch) -> None:
    """A process that took over the number of a dead worker is left alone."""
    request = request_for([panel().comparison], 2)
    folder = job_files.folder_of(request.key)
    folder.mkdir(parents=True)
    job_files.write_status(job_files.JobStatus(request.key, "stale", "running", started=time.time() - 100))
    me = psutil.Process()
    job_files.write_json(folder / "worker.json", {"pid": me.pid, "created": me.create_time() - 1000})
    assert jobs.status(request.key).state == "interrupted"
    monkeypatch.setattr(psutil.Process, "send_signal", lambda *a: pytest.fail("a stranger was signalled"))
    monkeypatch.setattr(psutil.Process, "kill", lambda *a: pytest.fail("a stranger was killed"))
    jobs.cancel(request.key)


def test_a_failed_job_says_why() -> None:
    comparison = replace(panel().comparison, f=replace(panel().comparison.f, weights="0" * 64))
    job_id = jobs.start(request_for([comparison], 2), "old weights")
    status = wait(job_id, ("failed",))
    assert "has other weights here" in status.error
    assert "Traceback" not in status.error


def test_readonly_starts_and_cancels_nothing(monkeypatch) -> None:
    monkeypatch.setenv("REPDISS_READONLY", "1")
    with pytest.raises(UserError, match="read-only demo: it shows stored results"):
        jobs.start(request_for([panel().comparison], 2), "no")
    with pytest.raises(UserError, match="read-only demo: jobs cannot be cancelled"):
        jobs.cancel("0" * 64)


@pytest.mark.parametrize("name", ["", "../../etc", "0" * 63, "G" * 64, "<script>"])
def test_a_job_id_is_never_a_path(name) -> None:
    with pytest.raises(UserError, match="is not a job's id"):
        jobs.status(name)


def test_nothing_asked_for() -> None:
    with pytest.raises(UserError, match="Nothing was asked for"):
        jobs.start(request_for([], 2), "empty")


@pytest.mark.parametrize("value", ["many", "-1", "nan", "inf"])
def test_a_setting_that_is_no_number_is_a_sentence(value, monkeypatch) -> None:
    monkeypatch.setenv("REPDISS_WORKERS", value)
    with pytest.raises(UserError, match="REPDISS_WORKERS is .* it is a number of at least 0"):
        job_files.n_workers()


def test_unknown_job() -> None:
    assert jobs.status("0" * 64) is None
    with pytest.raises(UserError, match="There is no job"):
        jobs.resume("0" * 64)

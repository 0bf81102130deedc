"""`bench app`: medians, percentiles and verdicts; the browser part runs in the bench itself."""

import pytest

from repdiss_core.base.errors import UserError
from repdiss_core.scripts.bench import app


def test_waits_are_judged_by_median_and_95th_percentile():
    waits = app.Waits("first page", (1.0, 2.0, 3.0, 9.0), 4.0, 5.0)
    assert waits.median == 2.5
    assert waits.p95 == pytest.approx(8.1)
    assert not waits.met
    assert app.Waits("first page", (1.0, 2.0, 3.0, 4.0), 4.0, 5.0).met
    assert app.Waits("without a target", (99.0,), None, None).met


def test_without_a_browser_the_bench_says_what_to_install(monkeypatch):
    monkeypatch.setattr(app, "chromium", lambda: None)
    with pytest.raises(UserError, match="needs Chromium, and none is on the PATH"):
        app.measure(1)


@pytest.mark.parametrize(("missed", "status"), [(False, 0), (True, 1)])
def test_the_exit_status_tells_whether_targets_are_met(monkeypatch, tmp_path, capsys, missed, status):
    rows = [app.Waits("page switch", (0.7 if missed else 0.3,), 0.5, None)]
    monkeypatch.setattr(app, "measure", lambda rounds: rows)
    target = tmp_path / "bench.json"
    assert app.run(1, str(target)) == status
    assert ("MISSED" in capsys.readouterr().out) == missed
    assert '"median"' in target.read_text()

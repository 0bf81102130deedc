"""Many readers at once: no error, bounded memory. The measuring itself is tested on constructed readings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from faulting import tally

from repdiss_core.scripts.bench.load import BROWSERS, SESSIONS, Load, measure, percentile

MEMORY_MIB = 700.0  # of the server with 20 readers
GROWTH_MIB = 6.0  # a minute, in the second half of the run


def test_a_run_is_summed_up() -> None:
    load = Load(
        memory=[(float(second), 100.0 + (10.0 if second < 50 else 20.0 + second / 30)) for second in range(101)]
    )
    load.redraws[SESSIONS] = [float(n) for n in range(1, 101)]
    form = load.form()
    assert form["readers"] == {SESSIONS: {"redraws": 100, "median_s": 50.5, "p95_s": 96.0}}
    assert form["memory_mib"]["growth_per_minute"] == pytest.approx(2.0) and form["memory_mib"][
        "middle"
    ] == pytest.approx(121.7, abs=0.1)
    assert percentile([3.0], 0.95) == 3.0 and form["n_errors"] == 0


@pytest.mark.faults
@pytest.mark.browser
def test_twenty_readers_for_five_minutes() -> None:
    with ThreadPoolExecutor(1) as own:  # a loop of its own: Playwright's may be running in this thread
        load = own.submit(measure, 300.0, 18, 2).result()
    form = load.form()
    assert form["n_errors"] == 0, form["errors"]
    assert form["memory_mib"]["highest"] < MEMORY_MIB and form["memory_mib"]["growth_per_minute"] < GROWTH_MIB, form[
        "memory_mib"
    ]
    for kind in (SESSIONS, BROWSERS):
        row = form["readers"][kind]
        tally(
            f"load: {18 if kind == SESSIONS else 2} {kind} for 5 minutes",
            redraws=row["redraws"],
            median_s=row["median_s"],
            p95_s=row["p95_s"],
            errors=0,
        )
    tally("load: the server's memory, MiB", **form["memory_mib"], errors=0)

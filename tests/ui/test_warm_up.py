"""Two threads that load and draw at once."""

import subprocess
import sys

import pytest

from repdiss_core.base.paths import REPOSITORY

SCRIPT = """
import builtins, sys, threading, time
import numpy as np
import plotly.graph_objects as go
from repdiss_core.ui.warm_up import whole_pandas

usual = builtins.__import__
def slowly(name, *rest, **more):
    if name.startswith("pandas.core.api"):
        time.sleep(1.0)
    return usual(name, *rest, **more)
builtins.__import__ = slowly
threading.Thread(target=usual, args=("pandas",)).start()
while "pandas" not in sys.modules:
    time.sleep(0.001)
assert not hasattr(sys.modules["pandas"], "Series"), "pandas was loaded whole before the drawing began"
{wait}
go.Figure(go.Heatmap(z=np.eye(3)))
"""


def drawn_meanwhile(wait: str) -> subprocess.CompletedProcess:
    """A figure drawn in a process of its own while another thread loads pandas."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("{wait}", wait)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.slow
def test_half_a_pandas_is_still_a_fault() -> None:
    assert "no attribute 'Series'" in drawn_meanwhile("").stderr, (
        "Plotly no longer fails with half a pandas; `whole_pandas` can go"
    )


def test_a_figure_waits_for_a_pandas_that_another_thread_is_loading() -> None:
    done = drawn_meanwhile("whole_pandas()")
    assert done.returncode == 0, done.stderr

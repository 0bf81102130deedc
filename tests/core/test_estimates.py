"""What a computation is said to take before it starts."""

from __future__ import annotations

import re

from repdiss_core import estimates
from repdiss_core.__main__ import main
from repdiss_core.panels import request_for
from repdiss_core.presets import preset
from repdiss_core.studies.common import CkaView
from repdiss_core.studies.pair import pair_panels


def request(f: str, g: str, n_batches: int = 1000, dtype: str = "float32"):
    setting = preset("paper" if "pythia" in f else "bundled")
    return request_for((p.comparison for p in pair_panels(f, g, CkaView(dtype=dtype), setting)), n_batches)


def test_two_pythias_take_their_bytes_and_their_operations():
    """70m and 160m: 166 + 375 MB to fetch; weights 4 bytes each; 2 · 12 d² L a token of 1000 batches of 1024, once a model."""
    needs = estimates.needs_of(request("pythia-70m-deduped", "pythia-160m-deduped"))
    assert round(needs.download_bytes / 1e6) == 166 + 375
    assert needs.memory_bytes == 4 * (70_426_624 + 162_322_944)
    assert needs.flops == 24.0 * (6 * 512**2 + 12 * 768**2) * 1024 * 1000
    assert estimates.needs_of(request("pythia-70m-deduped", "pythia-160m-deduped", dtype="bfloat16")).memory_bytes == needs.memory_bytes / 2


def test_it_is_told_for_the_device_at_hand(monkeypatch):
    monkeypatch.setattr(estimates, "rate_here", lambda: ("a fast one", 2e14))
    told = estimates.words(request("pythia-70m-deduped", "pythia-160m-deduped"))
    assert told == (
        "From nothing 0.21 PFLOP, about 2 seconds on a fast one (200,000 GFLOP/s), 931 MB of memory for the weights; 541 MB to download first."
    )
    monkeypatch.setattr(estimates, "rate_here", lambda: ("a slow one", 2e9))
    assert "about 2 days on a slow one" in estimates.words(request("pythia-70m-deduped", "pythia-160m-deduped"))


def test_nothing_is_told_of_models_that_ship():
    assert estimates.words(request("mini-gelu-3l-s0", "mini-solu-3l-s0")) == ""


def test_this_processors_rate_is_measured():
    assert 1e8 < estimates.rate_here()[1] < 1e14


def test_a_dry_run_says_what_a_figure_takes_and_computes_nothing(capsys):
    assert main(["run", "fig1", "fig3", "--preset", "paper", "--dry-run"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2 and re.search(r"24\.1 GB of memory for the weights; 24\.6 GB to download first", told[1])
    assert main(["run", "fig4", "--dry-run"]) == 0
    assert "Its models ship" in capsys.readouterr().out

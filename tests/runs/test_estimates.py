"""What a computation is said to take before it starts."""

from __future__ import annotations

import re

from repdiss_core.__main__ import main
from repdiss_core.base.paths import local_root
from repdiss_core.engine import device
from repdiss_core.measures import MEASURES
from repdiss_core.runs import estimates
from repdiss_core.store.kept_files import write_facts
from repdiss_core.studies.common import CkaView
from repdiss_core.studies.pair.question import pair_panels
from repdiss_core.studies.panels import request_for
from repdiss_core.studies.presets import preset


def request(f: str, g: str, n_batches: int = 1000, dtype: str = "float32"):
    setting = preset("paper" if "pythia" in f else "bundled")
    return request_for((p.comparison for p in pair_panels(f, g, CkaView(dtype=dtype), setting)), n_batches)


def test_two_pythias_take_their_bytes_and_their_operations():
    """70m and 160m: 166 + 375 MB to fetch; weights 4 bytes each;
    2 · 12 d² L a token of 1000 batches of 1024, once a model."""
    needs = estimates.needs_of(request("pythia-70m-deduped", "pythia-160m-deduped"))
    assert round(needs.download_bytes / 1e6) == 166 + 375
    assert needs.memory_bytes == 4 * (70_426_624 + 162_322_944)
    assert needs.flops == 24.0 * (6 * 512**2 + 12 * 768**2) * 1024 * 1000
    assert (
        estimates.needs_of(request("pythia-70m-deduped", "pythia-160m-deduped", dtype="bfloat16")).memory_bytes
        == needs.memory_bytes / 2
    )


def test_it_is_told_for_the_device_at_hand(monkeypatch):
    monkeypatch.setattr(estimates, "rate_here", lambda: ("a fast one", 2e14))
    told = estimates.words(request("pythia-70m-deduped", "pythia-160m-deduped"))
    assert told == (
        "From nothing 0.21 PFLOP, about 2 seconds on a fast one (200,000 GFLOP/s), 931 MB of memory for the weights; "
        "541 MB and the text to download first."
    )
    monkeypatch.setattr(estimates, "rate_here", lambda: ("a slow one", 2e9))
    assert "about 2 days on a slow one" in estimates.words(request("pythia-70m-deduped", "pythia-160m-deduped"))


def test_the_button_tells_the_time_for_models_that_ship_too(monkeypatch):
    """Two 3-layer models over 100 batches: 2 · 24 · 3 · 128² operations a token, at 0.2 of the rate,
    and 5 s to start."""
    monkeypatch.setattr(estimates, "rate_here", lambda: ("this processor", 1e11))
    asked = request("mini-gelu-3l-s0", "mini-solu-3l-s0", 100)
    seconds = 5 + 2 * 24 * 3 * 128**2 * 1024 * 100 / 2e10
    assert estimates.words(asked) == ""
    assert (
        estimates.time_words(asked)
        == f"About {seconds:.0f} seconds on this processor where nothing of it is stored yet."
    )


def test_what_does_not_fit_at_once_is_told(monkeypatch):
    """With 1 GB of memory there, 931 MB of weights leave no room; a GPU's own memory counts where one was measured."""
    monkeypatch.setattr(estimates, "kept_device", lambda: {"device": "a GPU", "flops": 1e14, "bytes": 10**9})
    told = estimates.words(request("pythia-70m-deduped", "pythia-160m-deduped"))
    assert told.endswith(
        "With 1.0 GB of memory there, the models are not held together: pairs are computed in parts, which is slower."
    )
    monkeypatch.setattr(estimates, "kept_device", lambda: {"device": "a GPU", "flops": 1e14, "bytes": 2 * 10**9})
    assert estimates.words(request("pythia-70m-deduped", "pythia-160m-deduped")).endswith("to download first.")


def test_the_processor_is_told_of_where_it_is_asked_for(monkeypatch):
    write_facts(local_root() / "device.json", {"device": "a GPU", "flops": 1e14, "bytes": 80 * 10**9})
    assert estimates.rate_here() == ("a GPU", 1e14) and estimates.room_here() == 80 * 10**9
    monkeypatch.setenv("REPDISS_DEVICE", "cpu")
    assert estimates.rate_here()[0] == "this processor" and estimates.room_here() != 80 * 10**9


def test_a_gpu_that_was_not_measured_yet_is_not_passed_over(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert estimates.rate_here()[0] == "this processor (its GPU has not been measured yet)"
    monkeypatch.setenv("REPDISS_DEVICE", "cpu")
    assert estimates.rate_here()[0] == "this processor"


def test_the_command_line_measures_a_gpu_before_it_tells(monkeypatch, capsys):
    """A stand-in for the GPU: no figure is promised at the processor's rate where a GPU will do the work."""
    monkeypatch.setattr(device, "devices", lambda: ("cuda:0",))
    monkeypatch.setattr(device, "matmul_rate", lambda name, dtype: 4e14)
    monkeypatch.setattr(device, "name_of", lambda name: "a fast one")
    assert main(["run", "fig3", "--preset", "paper", "--dry-run"]) == 0
    assert "on a fast one (400,000 GFLOP/s)" in capsys.readouterr().out


def test_nothing_is_told_of_models_that_ship():
    assert estimates.words(request("mini-gelu-3l-s0", "mini-solu-3l-s0")) == ""


def test_this_processors_rate_is_measured():
    assert 1e8 < estimates.rate_here()[1] < 1e14


def test_a_dry_run_says_what_a_figure_takes_and_computes_nothing(capsys):
    assert main(["run", "fig1", "fig3", "--preset", "paper", "--dry-run"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2 and re.search(
        r"24\.1 GB of memory for the weights; 24\.6 GB and the text to download first", told[1]
    )
    assert main(["run", "fig4", "--dry-run"]) == 0
    assert "Its models ship" in capsys.readouterr().out


def test_the_cost_of_a_chance_level_is_told_for_models_that_ship_too(monkeypatch):
    monkeypatch.setattr(estimates, "rate_here", lambda: ("this processor", 2e8))
    view = CkaView(n_batches=20, chance="level")
    panel = pair_panels("mini-gelu-3l-s0", "mini-solu-3l-s0", view, preset("bundled"))[-1]
    n = panel.comparison.data.tokens_per_batch
    seconds = 20 * 7 * 9 * n * n / (0.2 * 2e8)
    minutes = f"{seconds / 60:,.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
    memory = 8 * 2 * 3 * 4 * n * n // 2
    told = estimates.words(request_for(panel.comparisons, 20))
    assert f"8 times the pairs of layers (about {minutes} more on this processor)" in told
    assert f"up to {memory / 1e6:.0f} MB of memory, no further forward pass" in told
    assert estimates.words(request_for([panel.comparison], 20)) == ""


def test_another_pair_of_prepared_layers_takes_no_more_than_the_whole_measure():
    for spec in MEASURES.values():
        assert spec.pair_cost is None or spec.pair_cost(1024, 512, 512) <= spec.cost(1024, 512, 512)

"""`bench cka` at a small size: the table is complete, failures are shown as such, the file holds the figures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from repdiss_core.scripts.bench import cka as bench
from repdiss_core.scripts.bench import peers


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(bench, "N_TOKENS", 96)
    monkeypatch.setattr(bench, "WIDTH", 16)
    monkeypatch.setattr(bench, "N_LAYERS", 2)
    monkeypatch.setattr(bench, "ERROR_SIZES", ((300, 24),))


def refuses(f, g):
    raise AssertionError("not today")


def test_the_report_holds_every_contestant_and_feature_set(small, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "installed_peers", lambda: {"pytorch_cka": peers.ours, "torch_cka": peers.ours})
    threads = torch.get_num_threads()
    assert bench.run(threads=1, rounds=3, json_path=str(tmp_path / "cka.json")) == 0
    assert torch.get_num_threads() == threads
    report = json.loads((tmp_path / "cka.json").read_text())
    assert set(report["time"]) == {"repdiss", "repdiss, one call", "pytorch_cka", "torch_cka", "torch.mm"}
    assert report["time"]["repdiss"]["cpu_ratio"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    errors = report["error"]["n = 300, d = 24"]
    assert list(errors) == list(bench.FEATURE_SETS)
    assert all(row["repdiss"] <= 2e-6 for row in errors.values())
    assert (
        report["degenerate"]["constant layer"]["repdiss"] == "nan"
        and report["degenerate"]["3 tokens"]["repdiss"] == "UserError"
    )
    printed = capsys.readouterr().out
    assert "one token ×1000" in printed and "roofline share" in printed


def test_exceptions_and_wrong_values_are_shown_as_such():
    f = [torch.randn(8, 2)]
    assert bench._error(refuses, f, f, np.ones((1, 1))) == "AssertionError"
    assert bench._error(lambda f, g: np.full((1, 1), np.nan), f, f, np.ones((1, 1))) == "NaN"
    assert bench._error(lambda f, g: np.full((1, 1), 0.75), f, f, np.ones((1, 1))) == 0.25


def test_without_any_peer_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(bench, "installed_peers", dict)
    assert bench.run() == 2
    assert "Not installed: pytorch_cka, torch_cka" in capsys.readouterr().err


def test_needed_operations_are_half_of_each_gram_matrix_and_of_each_product():
    assert bench.flops_needed(1, 1, 3, 10) == 2 * (10 * 6 * 2) + 2 * (6 * 3)


@pytest.mark.parametrize("name", peers.PEERS)
def test_an_installed_peer_agrees_where_it_should(name):
    function = peers.installed_peers().get(name)
    if function is None:
        pytest.skip(f"{name} is not installed ({peers.INSTALL})")
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(200, 8, generator=generator)
    f, g = ([base + torch.randn(200, 8, generator=generator) for _ in range(2)] for _ in range(2))
    np.testing.assert_allclose(function(f, g), peers.ours(f, g), atol=1e-5)

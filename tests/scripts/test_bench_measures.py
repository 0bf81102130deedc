"""`bench measures` at a small size: every measure has its share, peers and errors stand beside it, values agree."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from repdiss_core.scripts.bench import measures as bench
from repdiss_core.scripts.bench import plain_measures as plain


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(bench, "N_TOKENS", 128)
    monkeypatch.setattr(bench, "SHAPES", {"pythia-160m": (2, 32, 2)})
    monkeypatch.setattr(bench, "_features", lambda seed: features(seed))


def features(seed: int, n: int = 300, d: int = 24) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    common = np.random.default_rng(9).normal(size=(n, d))
    return [torch.from_numpy((common + rng.normal(size=(n, d))).astype(np.float32)) for _ in range(3)]


def test_the_report_holds_every_measure(small, tmp_path, capsys):
    threads = torch.get_num_threads()
    assert bench.run(1, str(tmp_path / "measures.json")) in (0, 1)  # so small a model is quicker than its measures
    assert torch.get_num_threads() == threads
    report = json.loads((tmp_path / "measures.json").read_text())
    assert [row["threads"] for row in report["rows"]] == [1, 2]
    over = report["rows"][0]["over"]
    assert {"cka", bench.SHARED, *bench.PAIRED} < set(over) and all(share > 0 for share in over.values())
    assert sum("linear_predictivity" in name for name in over) == 3
    assert set(plain.PLAIN) == set(report["errors"]) and max(report["errors"].values()) < 2e-3
    assert report["errors"]["rsa"] < 1e-6 and report["errors"]["procrustes"] < 1e-5
    assert {f"{name}, plain torch" for name in plain.PLAIN} <= set(report["peers"])
    assert "target: at most 10%" in capsys.readouterr().out


def test_plain_torch_computes_the_same_numbers():
    f, g = features(0), features(1)
    for name, peer in plain.PLAIN.items():
        np.testing.assert_allclose(bench._ours(name, f, g)(), peer(f, g), atol=2e-3 if "nn" in name else 1e-5)
    ours = bench.predictivity.linear_predictivity_matrix([f], [g], [f], [g], pairs="same_layer").diagonal()
    np.testing.assert_allclose(plain.plain_predictivity((f, g), (f, g), 1e-3), ours, atol=1e-5)


def test_rsatoolbox_is_left_out_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(plain, "find_spec", lambda name: None)
    assert plain.rsatoolbox_rsa() is None

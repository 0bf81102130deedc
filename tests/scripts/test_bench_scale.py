"""bench scale on a small shape of the family: the real engine, random weights."""

from __future__ import annotations

import dataclasses
import json

import pytest

from repdiss_core.base.errors import UserError
from repdiss_core.models import model_spec
from repdiss_core.scripts.bench import scale


def small(name: str):
    known = model_spec(f"{name}-deduped")
    return dataclasses.replace(known, n_layers=2, d_model=64, n_heads=4, vocab_size=50304, n_parameters=50304 * 128)


def test_it_prints_times_shares_and_memory(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(scale, "_spec", small)
    monkeypatch.setattr("repdiss_core.engine.device.matmul_rate", lambda device, dtype, size: 5e12)
    out = tmp_path / "scale.json"
    assert scale.run(("pythia-70m", "pythia-160m"), 1, "float32", "cpu", str(out)) == 0
    told = capsys.readouterr().out
    assert "weights: random, of the published shapes" in told
    assert "all 3 pairs: forward passes" in told and "peak memory" in told and "1000 batches at this pace" in told
    form = json.loads(out.read_text())
    assert [row["model"] for row in form["models"]] == ["pythia-70m-deduped", "pythia-160m-deduped"]
    assert form["forward_s"] > 0 and form["cka_s"] > 0 and 0 < form["models"][0]["share_of_rate"] < 1.5


def test_forward_operations_are_counted_as_published():
    """Twice the non-embedding weights a token, and 4 t² d a block for attention:
    pythia-70m has 18,874,368 such weights."""
    assert scale.forward_flops(model_spec("pythia-70m-deduped")) == 2.0 * 18_874_368 * 1024 + 4.0 * 6 * 512 * 1024**2


def test_other_models_and_too_large_ones_are_refused(monkeypatch):
    with pytest.raises(UserError, match="bench scale builds Pythia's architectures; mini-gelu-3l-s0 is none of them"):
        scale.run(("mini-gelu-3l-s0",), 1, "float32", "cpu", None)
    monkeypatch.setattr("repdiss_core.engine.device.free_bytes", lambda device: 10**9)
    with pytest.raises(UserError, match=r"pythia-12b-deduped takes 47\.4 GB and cpu has 1\.0 GB free\. Leave it out"):
        scale.run(("pythia-12b",), 1, "float32", "cpu", None)

"""The paper's figures from the command line: real model names, the real loaders, tiny weights from the loopback hub."""

from __future__ import annotations

import json

import pytest
import tiny_repositories as tiny

from repdiss_core.__main__ import main


@pytest.fixture
def whole(hub):
    tiny.fill_models(hub, tuple(tiny.PYTHIAS), ("gelu-3l", "gelu-4l", "solu-3l", "solu-4l"))
    tiny.fill_texts(hub)
    return hub


def test_stitches_and_maps_at_the_papers_names(whole, tmp_path, capsys, monkeypatch):
    assert main(["run", "fig1", "fig3", "--models", "paper", "--preset", "tiny"]) == 0, capsys.readouterr()
    n_requests = len(whole.log)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for figure in ("fig1", "fig3"):
        out = tmp_path / f"{figure}.json"
        assert main(["figure", figure, "--models", "paper", "--preset", "tiny", "--out", str(out)]) == 0, capsys.readouterr()
    assert len(whole.log) == n_requests
    form = json.loads((tmp_path / "fig3.json").read_text())
    assert [len(panel["values"]) for panel in form["panels"]] == [16, 24, 32, 32] and "pythia-6.9b-deduped" in form["captions"][0]
    assert "small models trained by us" not in form["captions"][0]

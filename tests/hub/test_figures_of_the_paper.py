"""The paper's figures from the command line: real model names, the real loaders, tiny weights from the loopback hub."""

from __future__ import annotations

import dataclasses
import json
import re
import time

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
        assert main(["figure", figure, "--models", "paper", "--preset", "tiny", "--out", str(out)]) == 0, (
            capsys.readouterr()
        )
    assert len(whole.log) == n_requests
    form = json.loads((tmp_path / "fig3.json").read_text())
    assert [len(panel["values"]) for panel in form["panels"]] == [16, 24, 32, 32] and "pythia-6.9b-deduped" in form[
        "captions"
    ][0]
    assert "small models trained by us" not in form["captions"][0]


@pytest.mark.slow
def test_a_pages_job_fetches_computes_and_is_found_again(hub):
    """A worker process of its own, through the same hub; its progress tells what it fetches."""
    from repdiss_core.runs import jobs
    from repdiss_core.store.cache import ResultStore
    from repdiss_core.studies.common import CkaView
    from repdiss_core.studies.pair.question import pair_panels
    from repdiss_core.studies.panels import request_for
    from repdiss_core.studies.presets import preset

    tiny.fill_models(hub, ("70m", "160m"), ())
    tiny.fill_texts(hub)

    def request():
        panels = pair_panels("pythia-70m-deduped", "pythia-160m-deduped", CkaView(n_batches=2), preset("paper-tiny"))
        return request_for((panel.comparison for panel in panels), 2)

    before = request()
    job_id = jobs.start(before, "two Pythias")
    assert request().key == job_id != before.key
    end = time.monotonic() + 120
    while (status := jobs.status(job_id)).alive and time.monotonic() < end:
        time.sleep(0.1)
    assert status.state == "done", (status, jobs.log_tail(job_id))
    assert {c.key for c in request().comparisons} <= set(ResultStore.open().keys("local"))


def test_fetch_brings_models_and_texts_ahead(whole, capsys, monkeypatch):
    assert main(["fetch", "pythia-70m-deduped", "data:pile-10k"]) == 0
    told = capsys.readouterr().out
    assert "pythia-70m-deduped: 6 layers, d_model 512" in told and "cached" in told and "pile-10k: 60 documents" in told
    assert main(["fetch", "data:docstrings"]) == 2 and "is on this machine already" in capsys.readouterr().err
    assert main(["list", "models"]) == 0
    listed = capsys.readouterr().out
    assert "feather-bert-99" in listed and "to download: about 13.8 GB" in listed
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["fetch", "pythia-160m-deduped"]) == 2
    assert "EleutherAI/pythia-160m-deduped is not on this machine and the hub" in capsys.readouterr().err


def test_two_models_are_compared_on_a_text_of_the_users_own(whole, tmp_path, capsys):
    book = tmp_path / "book.txt"
    book.write_text("\n\n".join(tiny.text(i, 80) for i in range(20)), encoding="utf-8")
    sizes = ["--tokens-per-sequence", "64", "--tokens-per-batch", "64", "--batches", "2"]
    for data in ("pile-10k", "hub:org/essays:body", f"path:{book}"):
        assert main(["compare", "pythia-70m-deduped", "pythia-160m-deduped", "--data", data, *sizes]) == 0, (
            capsys.readouterr()
        )
        form = json.loads(capsys.readouterr().out)
        assert (len(form["values"]), len(form["values"][0])) == (6, 12) and data in json.dumps(form)
    stitch = ["--measure", "identity_stitching", "--data", "pile-10k", *sizes]
    assert main(["compare", "pythia-70m-deduped", "gelu-3l", *stitch]) == 2
    assert "different tokenizers" in capsys.readouterr().err
    assert (
        main(["compare", "pythia-70m-deduped", "pythia-160m-deduped", "--data", "pile-10k", *sizes[:-1], "9999"]) == 2
    )
    assert re.search(r"holds \d+ batches of 64 tokens; 9999 were asked for", capsys.readouterr().err)


def test_bench_scale_loads_what_is_published_unless_told_otherwise(whole, tmp_path, capsys, monkeypatch):
    """The tiny hub's Pythia under the real name: its own weights through the loader,
    and no request at all with --random-init."""
    from repdiss_core.models import model_spec
    from repdiss_core.scripts.bench import scale

    known = model_spec("pythia-70m-deduped")
    monkeypatch.setattr(
        scale, "_spec", lambda name: dataclasses.replace(known, d_model=tiny.D, n_heads=tiny.HEADS, vocab_size=320)
    )
    monkeypatch.setattr(scale, "VOCABULARY", 300)
    monkeypatch.setattr("repdiss_core.engine.device.matmul_rate", lambda device, dtype, size: 5e12)
    command = ["bench", "scale", "--models", "pythia-70m", "--batches", "1", "--device", "cpu"]
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*command, "--random-init"])
    assert "weights: random" in capsys.readouterr().out and whole.log == []
    out = tmp_path / "scale.json"
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*command, "--json", str(out)])
    assert "weights: as published" in capsys.readouterr().out and json.loads(out.read_text())["random_init"] is False
    assert any(
        re.fullmatch(r"/EleutherAI/pythia-70m-deduped/resolve/\w+/model\.safetensors", path)
        for path in whole.downloads()
    )

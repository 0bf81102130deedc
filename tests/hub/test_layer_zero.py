"""Layer 0 (what the first block reads) and encoders' special tokens: off by default, in the key only when on."""

from __future__ import annotations

import dataclasses
import json

import any_folders as folders
import numpy as np
import pytest
import tiny_repositories as tiny
import torch
from shown import opened, words

from repdiss_core.__main__ import main
from repdiss_core.base.paths import local_root
from repdiss_core.data import SPECIAL_IN, open_stream
from repdiss_core.measures import cka_matrix
from repdiss_core.measures.spec import counted_from
from repdiss_core.models import load_model
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.common import CkaView, bundled_preset
from repdiss_core.studies.pair.question import pair_panels

F, G = "mini-gelu-3l-s0", "mini-solu-3l-s0"
SIZES = ["--tokens-per-sequence", "32", "--tokens-per-batch", "64", "--batches", "2"]
WITH = ["--embedding", "shown"]


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("\n\n".join(tiny.text(i, 80) for i in range(20)), encoding="utf-8")
    return path


def compared(capsys, *said) -> dict:
    assert main(["compare", *map(str, said)]) == 0
    return json.loads(capsys.readouterr().out)


def features(name: str, index: int, mean: str) -> list[torch.Tensor]:
    """[(n, d)] from layer 0 on, by the model's own `embed` and `residuals`."""
    model, batch = load_model(name, mean), open_stream("docstrings", "eval", 2, 32).batch(index)
    with torch.no_grad():
        first = model.embed(batch)
        first = first - first.mean(dim=-1, keepdim=True) if mean == "removed" else first
        return [h.reshape(-1, h.shape[-1]) for h in (first, *model.residuals(batch))]


@pytest.mark.parametrize("mean", ["removed", "kept"])
def test_layer_0_is_the_stream_before_the_first_block_and_the_rest_is_as_without_it(capsys, mean) -> None:
    whole = compared(capsys, F, G, *SIZES, *WITH, "--resid-mean", mean)
    plain = compared(capsys, F, G, *SIZES, "--resid-mean", mean)
    assert whole["row_labels"] == whole["column_labels"] == ["0", "1", "2", "3"]
    np.testing.assert_allclose(np.array(whole["values"])[1:, 1:], plain["values"], atol=1e-14)
    sides = [[features(name, i, mean) for i in range(2)] for name in (F, G)]
    np.testing.assert_allclose(whole["values"], cka_matrix(*sides).values, atol=1e-9)
    assert whole["comparison"]["settings"] == plain["comparison"]["settings"] | {"embedding": "shown"}


def test_keys_are_what_they_were_where_neither_is_asked_for() -> None:
    panel = pair_panels(F, G, CkaView(), bundled_preset())[-1]
    same = pair_panels(F, G, dataclasses.replace(CkaView(), special="kept"), bundled_preset())[-1]
    assert dict(panel.comparison.settings) == {"estimator": "unbiased", "flatten": "token"}
    assert same.comparison.key == panel.comparison.key, "a decoder has no special tokens around its sequences"


def test_layer_0_of_any_transformer_is_what_its_first_block_reads(tmp_path, book, capsys) -> None:
    folders.saved(tmp_path / "m", "phi3", 4)
    form = compared(capsys, f"path:{tmp_path / 'm'}", f"path:{tmp_path / 'm'}", "--data", f"path:{book}", *SIZES, *WITH)
    assert form["row_labels"][0] == "0" and np.diag(form["values"]) == pytest.approx(1)
    twice = compared(
        capsys, f"path:{tmp_path / 'm'}", f"path:{tmp_path / 'm'}", "--data", f"path:{book}", *SIZES, *WITH, "--fresh"
    )
    assert twice["values"] == form["values"], "the same from kept activations"


def test_special_tokens_of_an_encoder_become_rows_when_kept(tmp_path, book, capsys) -> None:
    folders.saved(tmp_path / "e", "bert", 4)
    name = f"path:{tmp_path / 'e'}"
    left = compared(capsys, name, name, "--data", f"path:{book}", *SIZES)
    kept = compared(capsys, name, name, "--data", f"path:{book}", *SIZES, "--special", "kept")
    assert left["provenance"]["tokens"] <= 2 * 2 * 30 and kept["provenance"]["tokens"] == 2 * 2 * 32
    assert kept["comparison"]["data"]["name"] == left["comparison"]["data"]["name"] + SPECIAL_IN
    assert kept["values"] != left["values"]


def test_a_result_with_layer_0_goes_to_another_machine(tmp_path, capsys, monkeypatch) -> None:
    compared(capsys, F, G, *SIZES, *WITH)
    assert main(["cache", "export", "all", "--out", str(tmp_path / "bundle.safetensors")]) == 0
    monkeypatch.setenv("REPDISS_CACHE", str(tmp_path / "other"))
    assert not local_root().exists() or not ResultStore.open().keys("local")
    assert main(["cache", "import", str(tmp_path / "bundle.safetensors")]) == 0
    assert len(ResultStore.open().keys("imported")) == 1


def test_sentences_count_from_the_first_layer() -> None:
    said = "layer 1 has no CKA, Layer 12 neither; 3 layers"
    assert counted_from(1, said) == said
    assert counted_from(0, said) == "layer 0 has no CKA, Layer 11 neither; 3 layers"


def test_the_page_offers_both_and_draws_layer_0(capsys, monkeypatch) -> None:
    from repdiss_core.ui.cards import figure_card
    from repdiss_core.ui.parts.shared import result_store

    monkeypatch.setattr("repdiss_core.ui.page.prepare", lambda look: None)
    result_store.clear()
    figure_card._DRAWN.clear()
    whole = compared(capsys, F, G, "--batches", "2", *WITH)
    test = opened("pages/4_Compare_models.py", f=F, g=G, embedding="shown", batches="10", **{"cell-pair": "3.1.2"})
    assert not test.exception
    assert test.selectbox(key="embedding").value == "shown" and test.selectbox(key="special").value == "left"
    text = words(test)
    assert f"Layer 0 of {F} × layer 1 of {G}: CKA {whole['values'][0][1]:.3f}" in text.replace("−", "-"), text
    result_store.clear()

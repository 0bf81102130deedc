"""Two models of different tokenizers: rows at words and at texts, held against states taken by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import any_folders as folders
import numpy as np
import pytest
import tiny_repositories as tiny
import torch
from tokenizers import Tokenizer

from repdiss_core import bundled
from repdiss_core.__main__ import main
from repdiss_core.base.comparison import Comparison, ModelId, Request
from repdiss_core.base.errors import UserError
from repdiss_core.data import open_stream
from repdiss_core.data.batches import TokenBatch
from repdiss_core.engine.engines import make_engine
from repdiss_core.measures import MEASURES
from repdiss_core.models import load_model, model_spec
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.common import CkaView, token_comparison
from repdiss_core.studies.pair.question import pair_panels
from repdiss_core.studies.presets import preset
from repdiss_core.studies.rows import default_data, in_rows, on_data, rows_for

SIZES = ["--tokens-per-sequence", "32", "--tokens-per-batch", "64", "--batches", "2"]
OURS = "mini-gelu-3l-s0"


@pytest.fixture
def pair(tmp_path):
    """A decoder with a byte-level tokenizer, an encoder with one of whole words, and a text."""
    folders.saved(tmp_path / "bytes", "phi3", 1)
    folders.saved(tmp_path / "words", "bert", 2)
    (tmp_path / "book.txt").write_text("\n\n".join(tiny.text(i, 80) for i in range(40)), encoding="utf-8")
    return f"path:{tmp_path / 'bytes'}", f"path:{tmp_path / 'words'}", f"path:{tmp_path / 'book.txt'}"


def compared(capsys, f, g, data, *words):
    code = main(["compare", f, g, "--data", data, *SIZES, *words])
    said = capsys.readouterr()
    assert code == 0, said
    return json.loads(said.out)


def states_by_hand(name: str, texts, last: bool = True):
    """[(n, d)] of each layer: the state where each word ends, a text at a time, without padding."""
    model = load_model(name, resid_mean="kept")
    folder = name.removeprefix("path:")
    file = bundled.TOKENIZER_FILE if name == OURS else f"{folder}/tokenizer.json"
    encoder = Tokenizer.from_file(str(file))
    framed = model_spec(name).reads_both_ways
    layers = [[] for _ in range(model.n_layers)]
    for text in texts:
        cut = encoder.encode(text, add_special_tokens=framed)
        chosen = [i for i, (a, b) in enumerate(cut.offsets) if b > a and not cut.special_tokens_mask[i]]
        if last:
            chosen = [i for i in chosen if text[cut.offsets[i][1] : cut.offsets[i][1] + 1].strip() == ""]
        for layer, h in zip(layers, model.residuals(TokenBatch(np.array([cut.ids]))), strict=True):
            layer.append(h[0, chosen] if last else h[0, chosen].mean(dim=0, keepdim=True))
    return [torch.cat(parts).double().numpy() for parts in layers]


def unbiased_cka(x, y) -> float:
    """Song et al. (2012) in float64, from Gram matrices."""

    def hsic(a, b):
        first, second = a @ a.T, b @ b.T
        np.fill_diagonal(first, 0)
        np.fill_diagonal(second, 0)
        n = len(first)
        total = first.sum() * second.sum() / ((n - 1) * (n - 2)) - 2 * (first.sum(0) @ second.sum(0)) / (n - 2)
        return ((first * second).sum() + total) / (n * (n - 3))

    return hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))


def map_by_hand(f, g, stream, last=True, n=2):
    maps = []
    for i in range(n):
        texts = stream.batch(i).texts
        sides = [states_by_hand(name, texts, last) for name in (f, g)]
        maps.append([[unbiased_cka(x, y) for y in sides[1]] for x in sides[0]])
    return np.mean(maps, axis=0)


def test_a_decoder_and_an_encoder_at_words(pair, capsys):
    f, g, data = pair
    form = compared(capsys, f, g, data)
    settings, used = form["comparison"]["settings"], form["comparison"]["data"]
    assert settings["rows"] == "word" and used["name"] == f"{data} by words"
    assert (used["sequences_per_batch"], used["tokens_per_sequence"]) == (4, 16)
    stream = open_stream(used["name"], "eval", 4, 16)
    np.testing.assert_allclose(form["values"], map_by_hand(f, g, stream), atol=1e-5)
    assert form["notes"][-1] == "All 128 words are rows: both tokenizers end a token on each."
    other = compared(capsys, g, f, data)
    np.testing.assert_array_equal(np.array(form["values"]), np.array(other["values"]).T)
    assert other["comparison"] == form["comparison"]


def test_a_bundled_model_beside_one_of_a_folder_and_texts_as_rows(pair, tmp_path, capsys):
    f, _, data = pair
    form = compared(capsys, OURS, f, data, "--words-per-sequence", "8")
    stream = open_stream(f"{data} by words", "eval", 8, 8)
    np.testing.assert_allclose(form["values"], map_by_hand(OURS, f, stream), atol=1e-5)
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(json.dumps({"text": tiny.text(i, 3 + i % 9)}) + "\n" for i in range(1100)))
    for rows, last in (("text", False), ("text_last", True)):
        form = compared(
            capsys, f, pair[1], f"path:{lines}", "--rows", rows, "--words-per-sequence", "1", "--batches", "1"
        )
        stream = open_stream(f"path:{lines} by texts", "eval", 256, 1)
        np.testing.assert_allclose(form["values"], map_by_hand(f, pair[1], stream, last, n=1), atol=1e-5)


def test_a_model_with_itself_at_words_is_its_token_map_at_those_tokens(pair, capsys):
    f, _, data = pair
    form = compared(capsys, f, f, data, "--rows", "word")
    values = np.array(form["values"])
    np.testing.assert_allclose(values, map_by_hand(f, f, open_stream(f"{data} by words", "eval", 4, 16)), atol=1e-5)
    np.testing.assert_allclose(np.diag(values), 1, atol=1e-12)
    assert compared(capsys, f, f, data)["comparison"]["settings"].get("rows") is None  # tokens by itself


def test_a_copy_whose_tokenizer_is_written_otherwise_is_the_same(pair, tmp_path, capsys):
    """An added token that the text does not hold, in a file of another order: the hash differs, the words do not."""
    f, _, data = pair
    folders.saved(tmp_path / "copy", "phi3", 1)
    file = tmp_path / "copy" / "tokenizer.json"
    form = json.loads(file.read_text())
    form["added_tokens"].append({**form["added_tokens"][0], "id": 320, "content": "<|never|>"})
    file.write_text(json.dumps(dict(reversed(form.items())), indent=3))
    copy = f"path:{tmp_path / 'copy'}"
    assert model_spec(copy).tokenizer != model_spec(f).tokenizer
    assert rows_for("auto", f, copy, data) == "token"  # they cut this text alike
    assert np.all(np.diag(compared(capsys, f, copy, data, "--rows", "word")["values"]) == 1)


def test_massive_words_are_dropped_and_counted(pair, capsys):
    f, g, data = pair

    def enlarge(tensors):
        name = next(n for n in tensors if n.endswith("embed_tokens.weight"))
        tensors[name][300:304] *= 400

    folders.edit_weights(Path(f.removeprefix("path:")), enlarge)
    form = compared(capsys, f, g, data, "--massive", "dropped")
    assert "are no rows" in form["notes"][-1] and "or they are massive" in form["notes"][-1]
    assert form["provenance"]["tokens"] < 128


def test_every_measure_of_features_reads_words(pair):
    f, g, data = pair
    setting = on_data(preset("paper-quick"), data)
    between = pair_panels(f, g, CkaView(rows="auto"), setting)[-1].comparison
    cka = {"estimator", "flatten"}
    shared = tuple((k, v) for k, v in between.settings if k not in cka)
    names = [name for name, spec in MEASURES.items() if spec.of_features and spec.runs.name == "BATCH"]
    assert {"cka", "procrustes", "mutual_knn"} <= set(names)
    made = [
        Comparison(name, between.f, between.g, between.data, resid_mean="kept", settings=shared,
                   measure_version=MEASURES[name].version)
        for name in names
    ]  # fmt: skip
    store = ResultStore.open()
    make_engine(store, print).run(Request(tuple(made), 1), lambda share, words: None)
    for comparison in made:
        assert store.get_local(comparison.key) is not None, comparison.measure


def test_rows_are_chosen_by_the_tokenizers(pair):
    f, g, data = pair
    assert [rows_for("auto", *names, data) for names in ((f, f), (f, g), (OURS, OURS), (OURS, f))] == [
        "token",
        "word",
        "token",
        "word",
    ]
    assert rows_for("text", f, f, data) == "text"
    setting = in_rows(preset("paper-quick"), "word", OURS, f)
    assert (setting.sequences_per_batch, setting.tokens_per_sequence) == (32, 32)  # room in 128 tokens
    assert default_data(OURS, OURS) == default_data(OURS, f) == "docstrings"  # pile-10k is not on this machine


def test_keys_of_token_rows_are_what_they_were():
    """The key of a shipped map."""
    panel = pair_panels(OURS, "mini-solu-3l-s0", CkaView(rows="auto"), preset("bundled"))[-1]
    assert dict(panel.comparison.settings) == {"estimator": "unbiased", "flatten": "token"}
    assert panel.comparison.data.name == "docstrings"
    assert ResultStore.open().get_shipped(panel.comparison.key) is not None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--measure", "stitching"], r"have different tokenizers, so that one cannot be stitched into the other"),
        (["--measure", "identity_stitching"], r"Compare their features at words instead \(measure cka, rows word\)"),
        (["--rows", "token"], r"have different tokenizers, so the same text gives them different tokens"),
        (["--flatten", "sample"], r"Sequences cannot be rows where rows are words or texts"),
        (["--rows", "text"], r"is too short: it holds 3\d texts, enough for 0 batches of 256 texts"),
        (["--batches", "900"], r"words; 900 were asked for|holds \d+ batches"),
    ],
)
def test_refusals(pair, capsys, words, sentence):
    f, g, data = pair
    assert main(["compare", f, g, "--data", data, *SIZES, *words]) == 2
    assert re.search(sentence, capsys.readouterr().err)


def test_too_few_common_words(pair, tmp_path, capsys):
    """A text that one of the tokenizers joins to a single token across white space leaves nothing in common."""
    f, g, _ = pair
    file = tmp_path / "words" / "tokenizer.json"
    form = json.loads(file.read_text())
    form["pre_tokenizer"] = None
    file.write_text(json.dumps(form))
    path = tmp_path / "joined.txt"
    path.write_text("\n\n".join(tiny.text(i, 80) for i in range(40)), encoding="utf-8")
    assert main(["compare", f, g, "--data", f"path:{path}", *SIZES, "--tokens-per-batch", "32"]) == 2
    assert "common words are needed. Choose longer batches, or other rows or text." in capsys.readouterr().err


def test_a_classifier_has_no_tokenizer_for_plain_text(pair):
    f, _, data = pair
    with pytest.raises(UserError, match=r"nli-0pct-00 has no tokenizer here that cuts plain text"):
        rows_for("auto", f, "nli-0pct-00", data)


def test_single_tokens_are_not_laid_beside_each_other(pair):
    f, g, data = pair
    panel = pair_panels(f, g, CkaView(rows="auto"), on_data(preset("paper-quick"), data))[-1]
    with pytest.raises(UserError, match="Single tokens cannot be laid beside each other where rows are words"):
        token_comparison((f, 1), (g, 1), CkaView(rows="word"), panel.comparison.data)


def test_a_key_of_another_tokenizer_is_refused(pair):
    f, g, data = pair
    panel = pair_panels(f, g, CkaView(rows="auto"), on_data(preset("paper-quick"), data))[-1].comparison
    foreign = tuple((k, "0" * 16 if k == "tokenizers" else v) for k, v in panel.settings)
    made = Comparison(
        "cka", panel.f, ModelId(panel.g.name, panel.g.weights), panel.data, resid_mean="kept", settings=foreign
    )
    with pytest.raises(UserError, match="are not those that the comparison names"):
        make_engine(ResultStore.open(), print).run(Request((made,), 1), lambda share, words: None)

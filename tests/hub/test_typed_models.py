"""Models that a user names, of every architecture: facts before anything is fetched, comparisons by the command line,
and what is refused."""

from __future__ import annotations

import json
import re

import pytest
import tiny_repositories as tiny
from safetensors.torch import load, save

from repdiss_core.__main__ import main
from repdiss_core.base.errors import UserError
from repdiss_core.data import bound, open_stream
from repdiss_core.data.tokenizer import load_tokenizer as load_tokenizer
from repdiss_core.models import load_model, model_spec, paper_models
from repdiss_core.models.architectures import ARCHITECTURES
from repdiss_core.runs.resolve import prepare_models

SIZES = ["--tokens-per-sequence", "32", "--tokens-per-batch", "64", "--batches", "2"]


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("\n\n".join(tiny.text(i, 80) for i in range(20)), encoding="utf-8")
    return path


def put(folder, files):
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return f"path:{folder}"


def compared(capsys, *words) -> tuple[dict, str]:
    code = main(["compare", *words])
    told = capsys.readouterr()
    assert code == 0, told
    return json.loads(told.out), told.err


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_folders_are_compared_and_stitched_by_the_command_line(tmp_path, book, capsys, kind):
    f, g = (put(tmp_path / f"model-{n}", tiny.decoder(kind, n, n)) for n in (2, 3))
    form, told = compared(capsys, f, g, "--measure", "cka", "--data", f"path:{book}", *SIZES)
    assert (len(form["values"]), len(form["values"][0])) == (2, 3) and all(
        0 < v < 1 for row in form["values"] for v in row
    )
    # Before it starts, as for the paper's models
    assert "of memory for the weights; everything is on this machine" in told
    kept = ARCHITECTURES[kind].root_mean_square
    assert form["comparison"]["resid_mean"] == ("kept" if kept else "removed")
    assert ("Each token's mean over d_model is kept" in told) == kept

    form, _ = compared(capsys, f, f, "--measure", "identity_stitching", "--data", f"path:{book}", *SIZES)
    assert [curve["values"] for curve in form if curve["quantity"] == "penalty"] == [[0.0, 0.0]]
    form, _ = compared(
        capsys, f, g, "--measure", "stitching", "--layers", "1:2", "--stitch", "tiny", "--data", f"path:{book}", *SIZES
    )
    assert all(len(curve["values"]) == 1 for curve in form)


def test_a_models_facts_are_told_before_its_weights_are_fetched(hub, capsys):
    files = tiny.decoder("qwen2", 3, 1, num_key_value_heads=1, intermediate_size=40)
    hub.add("someone/qwen", files, revision="v1")
    assert main(["fetch", "--facts", "hub:someone/qwen@v1"]) == 0
    told = capsys.readouterr().out
    spec = model_spec("hub:someone/qwen@v1")
    assert f"3 layers, d_model 16, 2 × 8 heads, {spec.n_parameters:,} parameters" in told and "to download" in told
    assert (
        spec.n_parameters == sum(v.numel() for v in load(files["model.safetensors"]).values())
        and spec.architecture == "Qwen2"
    )
    assert spec.download_bytes == len(files["model.safetensors"]) and spec.resid_means == ("kept",)
    assert not any(path.endswith(".safetensors") for path in hub.downloads())
    assert load_model("hub:someone/qwen@v1").n_layers == 3 and paper_models.status(spec) == "cached"


def test_a_model_of_the_hub_equals_the_same_in_a_folder(hub, tmp_path, book, capsys):
    files = tiny.decoder("mistral", 2, 5, num_key_value_heads=1, intermediate_size=40)
    hub.add("someone/mistral", files)
    assert main(["fetch", "hub:someone/mistral"]) == 0
    capsys.readouterr()
    form, _ = compared(capsys, "hub:someone/mistral", put(tmp_path / "m", files), "--data", f"path:{book}", *SIZES)
    assert all(abs(form["values"][l][l] - 1) < 1e-6 for l in range(2)) and form["values"][0][1] < 0.999


def test_a_token_that_the_tokenizer_puts_first_begins_each_sequence(tmp_path, book):
    """As these models were trained; one whose tokenizer puts none there is not given one."""
    for kind in ("llama", "gpt2"):
        source = put(tmp_path / kind, tiny.decoder(kind, 2, 2))
        stream = open_stream(bound(f"path:{book}", source), "eval", 2, 32)
        first = {int(token) for i in range(stream.n_batches) for token in stream.batch(i).tokens[:, 0]}
        assert (first == {0}) == (kind == "llama") and load_tokenizer(source).start == (0 if kind == "llama" else None)


def test_two_tokenizers_are_compared_at_words_and_not_stitched(tmp_path, book, capsys):
    f, files = put(tmp_path / "f", tiny.decoder("gpt2", 2, 2)), dict(tiny.decoder("gpt2", 2, 2))
    form = json.loads(files["tokenizer.json"])
    form["model"]["merges"] = form["model"]["merges"][:20]
    g = put(tmp_path / "g", {**files, "tokenizer.json": json.dumps(form).encode()})
    shown, _ = compared(capsys, f, g, "--data", f"path:{book}", *SIZES)
    assert dict(shown["comparison"]["settings"])["rows"] == "word"
    assert main(["compare", f, g, "--measure", "identity_stitching", "--data", f"path:{book}", *SIZES]) == 2
    assert "different tokenizers" in capsys.readouterr().err


def test_tokenizers_that_cut_alike_are_compared_with_the_token_that_one_puts_first(tmp_path, book, capsys):
    f, g = (put(tmp_path / kind, tiny.decoder(kind, 2, 2)) for kind in ("llama", "gpt2"))
    assert model_spec(f).tokenizer != model_spec(g).tokenizer
    (one, _), (other, _) = (compared(capsys, *pair, "--data", f"path:{book}", *SIZES) for pair in ((f, g), (g, f)))
    assert one["values"] == [list(column) for column in zip(*other["values"], strict=True)]
    assert one["comparison"]["data"]["name"].endswith(f"by {f}")


def edited(kind: str, change) -> dict[str, bytes]:
    files = dict(tiny.decoder(kind, 2, 2))
    tensors, config = load(files["model.safetensors"]), json.loads(files["config.json"])
    change(tensors, config)
    return {**files, "model.safetensors": save(tensors), "config.json": json.dumps(config).encode()}


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            lambda: edited("gpt2", lambda t, c: t.pop("transformer.h.1.attn.c_attn.bias")),
            r"lack: transformer\.h\.1\.attn\.c_attn.*nothing was",
        ),
        (
            lambda: edited("llama", lambda t, c: t.update(extra=t["lm_head.weight"].clone())),
            "have what the network has not: extra",
        ),
        (
            lambda: edited("llama", lambda t, c: c.update(vocab_size=319)),
            r"do not fit its configuration: .* is \(320, 16\), expected \(319, 16\)",
        ),
        (
            lambda: edited("llama", lambda t, c: c.update(tie_word_embeddings=True)),
            "ties its unembedding to its embedding, but its weights hold two",
        ),
        (
            lambda: edited("gpt2", lambda t, c: c.update(model_type="planted")),
            r"is of the architecture planted, which .* does not have; RepDiss compares gpt2",
        ),
        (lambda: edited("gpt2", lambda t, c: c.pop("activation_function")), "lacks activation_function"),
        (lambda: edited("gpt2", lambda t, c: c.update(n_layer="2")), r"gives n_layer as '2'; it is a whole number"),
        (
            lambda: {**edited("gpt2", lambda t, c: None), "tokenizer.json": tiny.word_tokenizer()},
            r"has 70 entries and .* a vocabulary of 320",
        ),
    ],
)
def test_folders_that_are_not_right(tmp_path, files, sentence):
    name = put(tmp_path / "m", files())
    with pytest.raises(UserError, match=sentence):
        load_model(name)


@pytest.mark.parametrize("left_out", ["config.json", "tokenizer.json", "model.safetensors"])
def test_repositories_and_folders_that_lack_a_file(hub, tmp_path, left_out):
    files = {name: data for name, data in tiny.decoder("gpt2", 2, 2).items() if name != left_out}
    hub.add("someone/part", files)
    with pytest.raises(
        UserError, match="no weights" if left_out.startswith("model") else f"has no {re.escape(left_out)}"
    ):
        prepare_models(["hub:someone/part"])
    with pytest.raises(UserError, match=f"has no {re.escape(left_out)}; a model needs"):
        model_spec(put(tmp_path / "part", files))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hub:someone/none", r"The hub has no model someone/none, or it is private: check the name"),
        (
            "hub:EleutherAI/pythia-70m-dedup",
            r"has no model EleutherAI/pythia-70m-dedup, .* Did you mean hub:EleutherAI/pythia-70m-deduped or hub:",
        ),
        ("hub:someone/gpt@v7", r"someone/gpt has no revision 'v7': leave it out for main"),
        ("hub:someone/closed", r"someone/closed is gated: accept its terms on http"),
        ("hub:not a name", "does not name a repository of the hub; write org/name"),
    ],
)
def test_names_that_the_hub_refuses(hub, name, sentence):
    hub.add("someone/gpt", tiny.decoder("gpt2", 2, 2))
    hub.add("someone/closed", tiny.decoder("gpt2", 2, 2))
    hub.gated.add("someone/closed")
    with pytest.raises(UserError, match=sentence):
        prepare_models([name])


def test_a_tokenizer_is_the_same_however_its_file_was_written(tmp_path, book, capsys):
    """Merges as pairs or as text, other white space, a padding rule:
    GPT-2's sizes and what people save of them differ in these."""
    files = tiny.decoder("gpt2", 2, 2)
    form = json.loads(files["tokenizer.json"])
    form["model"]["merges"] = [
        merge if isinstance(merge, str) else " ".join(merge) for merge in form["model"]["merges"]
    ]
    form["padding"] = {
        "strategy": "BatchLongest",
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "x",
    }
    f, g = (
        put(tmp_path / "f", files),
        put(tmp_path / "g", {**files, "tokenizer.json": json.dumps(form, indent=3).encode()}),
    )
    assert model_spec(f).tokenizer == model_spec(g).tokenizer
    compared(capsys, f, g, "--data", f"path:{book}", *SIZES)
    form["model"]["merges"].pop()
    assert (
        model_spec(put(tmp_path / "other", {**files, "tokenizer.json": json.dumps(form).encode()})).tokenizer
        != model_spec(f).tokenizer
    )
    for content in (b"not json", b"[1]", b'{"model": 3}'):
        with pytest.raises(UserError, match=r"tokenizer\.json of .* holds no tokenizer \(\w+\)\. Fetch it anew"):
            model_spec(put(tmp_path / f"broken-{len(content)}", {**files, "tokenizer.json": content}))


def test_text_with_another_separator_is_other_data(tmp_path, book):
    """A model and its instruct version share a tokenizer and end documents with different tokens."""
    files, rows = tiny.decoder("gpt2", 2, 2), []
    for name, separator in (("base", "<|endoftext|>"), ("instruct", "ka")):
        source = put(tmp_path / name, {**files, "tokenizer_config.json": json.dumps({"eos_token": separator}).encode()})
        stream = open_stream(bound(f"path:{book}", source), "eval", 1, 64)
        rows.append(
            (stream.data_id.content, {int(t) for i in range(stream.n_batches) for t in stream.batch(i).tokens[0]})
        )
    (one, base), (other, instruct) = rows
    assert one != other and 0 in base and 0 not in instruct

"""Pairs of a user's models by the command line: encoders, chat copies with added tokens, untrained twins,
stitches through the adapter."""

from __future__ import annotations

import json

import any_folders as folders
import numpy as np
import pytest
import tiny_repositories as tiny
import torch

from repdiss_core.__main__ import main
from repdiss_core.base.errors import UserError
from repdiss_core.data import SPECIAL_IN, bound, open_stream
from repdiss_core.data.batches import TokenBatch
from repdiss_core.data.text_cut import common_source, cut, cut_alike
from repdiss_core.models import load_model, model_spec
from repdiss_core.runs.resolve import prepare_models

SIZES = ["--tokens-per-sequence", "32", "--tokens-per-batch", "64", "--batches", "2"]


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("\n\n".join(tiny.text(i, 80) for i in range(20)), encoding="utf-8")
    return path


def compared(capsys, *words):
    code = main(["compare", *map(str, words)])
    said = capsys.readouterr()
    assert code == 0, said
    return json.loads(said.out)


def chat_copy(folder, added=("<|im_start|>", "<|im_end|>"), seed=5):
    """A fine-tuned copy: two added tokens, a vocabulary of 322, documents that end with the second one."""
    form = json.loads(tiny.byte_tokenizer())
    for i, content in enumerate(added):
        form["added_tokens"].append({**form["added_tokens"][0], "id": 320 + i, "content": content})
    folders.saved(folder, "phi3", seed, tokenizer=json.dumps(form).encode(), vocab_size=322)
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": added[-1]}))


def test_a_base_and_its_chat_copy_are_compared_either_way_round(tmp_path, book, capsys):
    folders.saved(tmp_path / "base", "phi3", 4)
    chat_copy(tmp_path / "chat")
    base, chat = (f"path:{tmp_path / name}" for name in ("base", "chat"))
    assert model_spec(base).tokenizer != model_spec(chat).tokenizer
    one, other = (compared(capsys, *pair, "--data", f"path:{book}", *SIZES) for pair in ((base, chat), (chat, base)))
    values = np.array(one["values"])
    assert values.shape == (3, 3) and np.all(np.abs(values) <= 1)
    np.testing.assert_array_equal(values, np.array(other["values"]).T)
    # Both are cut as the base's tokenizer cuts, whose separator both know.
    assert {common_source(base, chat), common_source(chat, base)} == {base}
    stream = open_stream(bound(f"path:{book}", base), "eval", 2, 32)
    assert 0 in {int(token) for i in range(stream.n_batches) for token in stream.batch(i).tokens.ravel()}
    form = compared(capsys, base, chat, "--measure", "identity_stitching", "--data", f"path:{book}", *SIZES)
    assert all(np.isfinite(curve["values"]).all() for curve in form)


def test_text_that_holds_an_added_token_is_not_cut_alike(tmp_path, capsys):
    folders.saved(tmp_path / "base", "phi3", 4)
    chat_copy(tmp_path / "chat")
    text = tmp_path / "chats.txt"
    text.write_text("\n\n".join(f"<|im_start|>user {tiny.text(i, 60)}" for i in range(20)), encoding="utf-8")
    words = [f"path:{tmp_path / 'base'}", f"path:{tmp_path / 'chat'}", "--data", f"path:{text}", *SIZES]
    assert main(["compare", *words, "--rows", "token"]) == 2
    assert "have different tokenizers, so the same text gives them different tokens" in capsys.readouterr().err
    assert compared(capsys, *words)["comparison"]["settings"]["rows"] == "word"


def test_copies_that_share_a_tokenizer_and_end_documents_otherwise(tmp_path, book, capsys):
    """The same data whichever model comes first, so that one map is the other transposed."""
    names = []
    for seed, end in ((1, "<|endoftext|>"), (2, "ka")):
        folder = tmp_path / f"m{seed}"
        folders.saved(folder, "phi3", seed)
        (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": end}))
        names.append(f"path:{folder}")
    one, other = (compared(capsys, *pair, "--data", f"path:{book}", *SIZES) for pair in (names, names[::-1]))
    np.testing.assert_array_equal(np.array(one["values"]), np.array(other["values"]).T)
    assert one["comparison"]["data"] == other["comparison"]["data"]


def test_tokenizers_written_in_two_forms_are_compared_by_what_they_do(tmp_path, book):
    from test_any_model import _as_vocab_txt

    for name in ("f", "g"):
        folders.saved(tmp_path / name, "bert")
    _as_vocab_txt(tmp_path / "g")
    (tmp_path / "g" / "tokenizer.json").unlink()
    f, g = (f"path:{tmp_path / name}" for name in ("f", "g"))
    from repdiss_core.data import dataset_spec

    text = dataset_spec(f"path:{book}").text
    assert model_spec(f).tokenizer != model_spec(g).tokenizer and cut_alike(text, f, g) and not cut_alike(None, f, g)


def test_encoders_are_compared_without_their_special_tokens(tmp_path, book, capsys):
    for seed, name in enumerate(("f", "g")):
        folders.saved(tmp_path / name, "bert", seed)
    f, g = (f"path:{tmp_path / name}" for name in ("f", "g"))
    form = compared(capsys, f, g, "--data", f"path:{book}", *SIZES)
    assert np.array(form["values"]).shape == (3, 3) and form["comparison"]["resid_mean"] == "kept"
    stream = open_stream(bound(f"path:{book}", f), "eval", 2, 32)
    batch = stream.batch(0)
    assert np.all(batch.tokens[:, 0] == 2) and np.all(batch.tokens[:, -1] == 3)
    np.testing.assert_array_equal(batch.rows, ~np.isin(batch.tokens, (2, 3)))
    whole = open_stream(bound(f"path:{book}", f) + SPECIAL_IN, "eval", 2, 32)
    np.testing.assert_array_equal(whole.batch(0).tokens, batch.tokens)
    assert whole.batch(0).rows is None and whole.data_id.content != stream.data_id.content
    # The map is that of the rows between the special tokens.
    features = []
    for name in (f, g):
        streams = [list(load_model(name).residuals(stream.batch(i))) for i in range(2)]
        features.append([[h[torch.from_numpy(stream.batch(i).rows)] for h in streams[i]] for i in range(2)])
    expected = np.mean([[[_cka(a, b) for b in features[1][i]] for a in features[0][i]] for i in range(2)], axis=0)
    np.testing.assert_allclose(np.array(form["values"]), expected, atol=1e-5)
    assert (
        main(
            [
                "compare",
                f,
                g,
                "--measure",
                "stitching",
                "--layers",
                "1:1",
                "--stitch",
                "tiny",
                "--data",
                f"path:{book}",
                *SIZES,
            ]
        )
        == 2
    )
    assert (
        "is an encoder without a head that predicts the next token, so that it is not stitched"
        in capsys.readouterr().err
    )


def _cka(x: torch.Tensor, y: torch.Tensor) -> float:
    """Unbiased linear CKA (Song 2012), written out in float64."""

    def hsic(k: torch.Tensor, l: torch.Tensor) -> float:
        n = len(k)
        return float((k * l).sum() + k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2 * (k.sum(0) @ l.sum(0)) / (n - 2)) / (
            n * (n - 3)
        )

    k, l = (a.double() @ a.double().T for a in (x, y))
    k, l = k - torch.diag(k.diag()), l - torch.diag(l.diag())
    return hsic(k, l) / (hsic(k, k) * hsic(l, l)) ** 0.5


def test_stitches_run_through_the_adapter(tmp_path, book, capsys):
    for seed, name in enumerate(("f", "g")):
        folders.saved(tmp_path / name, "phi3", seed)
    f, g = (f"path:{tmp_path / name}" for name in ("f", "g"))
    form = compared(capsys, f, f, "--measure", "identity_stitching", "--data", f"path:{book}", *SIZES)
    penalties = next(curve["values"] for curve in form if curve["quantity"] == "penalty")
    assert max(map(abs, penalties)) < 1e-6
    form = compared(
        capsys, f, g, "--measure", "stitching", "--layers", "1:2", "--stitch", "tiny", "--data", f"path:{book}", *SIZES
    )
    assert all(np.isfinite(curve["values"]).all() for curve in form)


def test_the_adapter_is_the_exact_path_where_both_know_a_model(tmp_path):
    """Streams, logits and a stitch of a Llama and a Gemma 2, cut between the blocks by one and hooked by the other."""
    from repdiss_core.models.adapter import AdapterResidualModel
    from repdiss_core.models.decoder import DecoderResidualModel

    for family in ("llama", "gemma2", "gpt_neo"):
        network = folders.families.network_of(family)
        exact, hooked = DecoderResidualModel(network, family, "kept"), AdapterResidualModel(network, family)
        batch = TokenBatch(np.random.default_rng(1).integers(3, 90, (2, 12)))
        streams = list(exact.residuals(batch))
        torch.testing.assert_close(list(hooked.residuals(batch)), streams, atol=1e-5, rtol=1e-5)
        other = torch.randn(2, 12, 32, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            logits = [model.head(model.blocks(other, 1, 3, batch), batch) for model in (exact, hooked)]
        torch.testing.assert_close(*logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("trained", ["mini-gelu", "neox"])
def test_untrained_twins_of_what_ships(capsys, trained):
    from repdiss_core.models import MODELS

    name = next(one for one, spec in MODELS.items() if (spec.family == "mini") == (trained == "mini-gelu"))
    twin = model_spec(f"random:3:{name}")
    assert twin.source == "bundled" and twin.state == "untrained" and twin.n_parameters == model_spec(name).n_parameters
    batch = TokenBatch(np.random.default_rng(0).integers(0, 2000, (2, 16)))
    drawn, own = list(load_model(twin.name).residuals(batch)), list(load_model(name).residuals(batch))
    torch.testing.assert_close(drawn, list(load_model(twin.name).residuals(batch)), atol=0, rtol=0)
    assert drawn[0].shape == own[0].shape and not torch.allclose(drawn[0], own[0], atol=1e-2)
    form = compared(capsys, name, twin.name, "--batches", "1")
    assert form["values"][0][0] < 0.99


def test_untrained_twins_of_the_hub(hub):
    tiny.fill_models(hub, ("70m",), ("gelu-3l",))
    names = ["random:pythia-70m-deduped", "random:2:gelu-3l"]
    assert all(model_spec(name).weights.startswith("unpinned:") for name in names)
    prepare_models(names)
    for name in names:
        assert len(model_spec(name).weights) == 64
        assert next(iter(load_model(name).residuals(TokenBatch(np.zeros((1, 8), dtype=np.int64))))).shape == (
            1,
            8,
            tiny.D,
        )
    assert not any(path.endswith((".safetensors", ".pth")) for path in hub.downloads())


def test_an_encoder_and_a_decoder_of_the_hub(hub, tmp_path, book, capsys):
    """Fetched by the command line, then compared with the same in a folder: a map of ones on its diagonal."""
    for kind in ("bert", "phi3"):
        folders.saved(tmp_path / kind, kind)
        hub.add(f"someone/{kind}", {path.name: path.read_bytes() for path in (tmp_path / kind).iterdir()})
        assert main(["fetch", "--facts", f"hub:someone/{kind}"]) == 0
        spec = model_spec(f"hub:someone/{kind}")
        assert "to download" in capsys.readouterr().out and spec.loader.endswith("loading:load_hub")
        assert main(["fetch", f"hub:someone/{kind}"]) == 0
        capsys.readouterr()
        form = compared(capsys, spec.name, f"path:{tmp_path / kind}", "--data", f"path:{book}", *SIZES)
        assert all(abs(form["values"][l][l] - 1) < 1e-6 for l in range(3))
    hub.add(
        "someone/four-bit",
        {
            "config.json": b'{"model_type": "llama", "quantization_config": {"quant_method": "awq"}}',
            "tokenizer.json": tiny.byte_tokenizer(),
            "model.safetensors": b"",
        },
    )
    with pytest.raises(UserError, match=r"weights of hub:someone/four-bit are quantised \(awq\)"):
        prepare_models(["hub:someone/four-bit"])
    hub.add("someone/files", {"config.json": b"{}", "tokenizer.json": b"{}", "m.Q4_0.gguf": b""})
    with pytest.raises(UserError, match=r"has no weights .* It has m\.Q4_0\.gguf: download that, and name the file"):
        prepare_models(["hub:someone/files"])


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("random:", "'random:' names no model; write random: and a model"),
        ("random:random:mini", "names no model; write random:"),
        (
            "random:feather-bert-00",
            "feather-bert-00 is a classifier; only language models and encoders have an untrained twin",
        ),
    ],
)
def test_twins_that_there_are_not(name, sentence):
    with pytest.raises(UserError, match=sentence):
        model_spec(name)


def test_the_places_of_tokens_in_a_text(tmp_path):
    folders.saved(tmp_path / "m", "bert")
    text = tiny.text(1, 6)
    (one,) = cut(f"path:{tmp_path / 'm'}", [text])
    assert one.special.tolist() == [True, *[False] * (len(one.ids) - 2), True]
    words = [text[a:b] for a, b in one.offsets[~one.special]]
    assert " ".join(words[:-1]) + words[-1] == text and one.offsets[0].tolist() == [0, 0]

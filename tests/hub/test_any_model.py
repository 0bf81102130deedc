"""Models that the adapter reads from disk: every form of files, and what is refused with which sentence."""

from __future__ import annotations

import json

import any_folders as folders
import numpy as np
import pytest
import tiny_repositories as tiny
import torch
from any_folders import families

from repdiss_core.base.errors import UserError
from repdiss_core.data.batches import TokenBatch
from repdiss_core.models import load_model, model_spec
from repdiss_core.models.adapter import AdapterResidualModel

BATCH = TokenBatch(np.random.default_rng(0).integers(6, 60, (2, 12)))


def streams(network) -> list[torch.Tensor]:
    """The stream after each block of a network of transformers, by hooks of this test's own."""
    found: list[torch.Tensor] = []
    path = (
        "model.layers"
        if hasattr(network, "model")
        else "encoder.layer"
        if hasattr(network, "encoder")
        else "transformer.layer"
    )
    handles = [
        block.register_forward_hook(lambda _m, _i, out: found.append(out[0] if isinstance(out, tuple) else out))
        for block in network.get_submodule(path)
    ]
    with torch.no_grad():
        network(torch.from_numpy(BATCH.tokens))
    for handle in handles:
        handle.remove()
    return found


def check_streams(name: str, network, tolerance: float = 1e-5, **given):
    model = load_model(name, **given)
    assert isinstance(model, AdapterResidualModel) and model.checked
    for ours, theirs in zip(model.residuals(BATCH), streams(network), strict=True):
        torch.testing.assert_close(ours.float(), theirs, atol=tolerance, rtol=tolerance)
    return model


FORMS = {
    "safetensors": lambda folder: None,
    "sharded": folders.shard,
    "bin": folders.as_bin,
    "renamed folder": lambda folder: None,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", ["phi3", "gemma3"])
def test_a_folder_is_what_transformers_makes_of_it(tmp_path, family, form):
    folder = tmp_path / ("a folder, with spaces" if form == "renamed folder" else "m")
    network = folders.saved(folder, family)
    FORMS[form](folder)
    spec = model_spec(f"path:{folder}")
    assert (spec.n_layers, spec.d_model, spec.vocab_size, spec.n_ctx) == (3, 32, 320, 128)
    assert spec.resid_means == ("kept",) and not spec.reads_both_ways
    if form != "bin":
        assert spec.n_parameters == sum(p.numel() for p in network.parameters())
    check_streams(spec.name, network)


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_an_encoder_without_what_is_not_read(tmp_path, family):
    """With its heads for masked words, and without the pooler, as published files have it: features alone."""
    network = folders.saved(tmp_path / "m", family)

    def change(tensors):
        for key in [key for key in tensors if "pooler" in key]:
            del tensors[key]
        tensors["cls.predictions.bias"] = torch.ones(70)

    folders.edit_weights(tmp_path / "m", change)
    spec = model_spec(f"path:{tmp_path / 'm'}")
    assert spec.reads_both_ways and spec.resid_means == ("kept",)
    model = check_streams(spec.name, network)
    assert not model.has_head and not model.causal


def test_half_precision_tied_heads_and_padded_vocabularies(tmp_path):
    network = folders.saved(tmp_path / "tied", "granite", tie_word_embeddings=True)
    check_streams(f"path:{tmp_path / 'tied'}", network)
    network = folders.saved(tmp_path / "padded", "phi3", vocab_size=340)  # by 6 %
    check_streams(f"path:{tmp_path / 'padded'}", network)
    (tmp_path / "link").symlink_to(tmp_path / "padded")
    check_streams(f"path:{tmp_path / 'link'}/", network)
    check_streams(f"path:{tmp_path / 'padded'}", network, 0.1, dtype="bfloat16")
    form = json.loads(tiny.byte_tokenizer())
    # One beyond, as Gemma 3 has it
    form["added_tokens"].append({**form["added_tokens"][0], "id": 320, "content": "<image>"})
    folders.saved(tmp_path / "beyond", "phi3", tokenizer=json.dumps(form).encode(), vocab_size=320)
    assert load_model(f"path:{tmp_path / 'beyond'}").vocab_size == 320


def test_tokenizers_of_other_forms(tmp_path):
    """vocab.txt, and vocab.json with merges.txt: cut as the tokenizer.json of the same words cuts."""
    from repdiss_core.data.tokenizer import load_tokenizer

    folders.saved(tmp_path / "bert", "bert")
    folders.saved(tmp_path / "gpt", "phi3")
    text = tiny.text(3, 20)
    for name, written in (("bert", _as_vocab_txt), ("gpt", _as_merges)):
        folder = tmp_path / name
        before = load_tokenizer(f"path:{folder}").encoder.encode(text, add_special_tokens=False).ids
        written(folder)
        (folder / "tokenizer.json").unlink()
        assert load_tokenizer(f"path:{folder}").encoder.encode(text, add_special_tokens=False).ids == before
        assert load_model(f"path:{folder}").n_layers == 3


def _as_vocab_txt(folder):
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)) + "\n")


def _as_merges(folder):
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"})
    )


def test_an_adapter_folder_is_its_base_with_the_adapter_merged(tmp_path):
    folders.saved(tmp_path / "base", "granite")
    merged = folders.lora(tmp_path / "lora", tmp_path / "base")
    spec, base = model_spec(f"path:{tmp_path / 'lora'}"), model_spec(f"path:{tmp_path / 'base'}")
    assert spec.architecture == "Granite, with an adapter merged into it" and spec.weights != base.weights
    assert (spec.n_layers, spec.tokenizer_repo) == (3, f"path:{tmp_path / 'base'}")
    model = check_streams(spec.name, merged)
    assert not torch.allclose(list(model.residuals(BATCH))[-1], list(load_model(base.name).residuals(BATCH))[-1])


@pytest.mark.parametrize("inside", [True, False])
def test_a_gguf_file_is_the_network_of_its_numbers(tmp_path, inside):
    folder = tmp_path / "files"
    folder.mkdir()
    kept = folders.gguf(folder / "tiny.Q8_0.gguf")
    spec = model_spec(f"path:{folder if inside else folder / 'tiny.Q8_0.gguf'}")
    assert (spec.n_layers, spec.d_model, spec.n_heads, spec.vocab_size, spec.n_ctx) == (2, 64, 4, 320, 128)
    assert spec.architecture == "Llama, dequantised from GGUF (Q8_0 (16), F32 (5))"
    assert spec.n_parameters == sum(value.numel() for value in kept.values())
    model = load_model(spec.name)
    own = model.network.state_dict()
    torch.testing.assert_close(own["model.embed_tokens.weight"], kept["token_embd.weight"], atol=0, rtol=0)
    torch.testing.assert_close(
        own["model.layers.1.mlp.down_proj.weight"], kept["blk.1.ffn_down.weight"], atol=0, rtol=0
    )
    assert getattr(model.network, "hf_quantizer", None) is None
    for ours, theirs in zip(model.residuals(BATCH), streams(model.network), strict=True):
        torch.testing.assert_close(ours, theirs, atol=0, rtol=0)
    from repdiss_core.data.tokenizer import load_tokenizer

    text = tiny.text(3, 20)
    byte_level = load_tokenizer(spec.tokenizer_repo).encoder.encode(text, add_special_tokens=False)
    assert byte_level.offsets[-1][1] == len(text) and load_tokenizer(spec.tokenizer_repo).separator == 0


@pytest.mark.parametrize("kind", ["phi3", "bert"])
def test_the_untrained_twin_of_a_folder(tmp_path, kind):
    folders.saved(tmp_path / "m", kind)
    name = f"path:{tmp_path / 'm'}"
    trained, twin, other = (model_spec(one) for one in (name, f"random:{name}", f"random:7:{name}"))
    assert len({trained.weights, twin.weights, other.weights}) == 3 and twin.tokenizer == trained.tokenizer
    assert twin.state == "untrained" and "weights drawn with seed 7" in other.architecture
    first, again, second, own = (
        list(load_model(one).residuals(BATCH)) for one in (twin.name, twin.name, other.name, name)
    )
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert first[0].shape == own[0].shape
    assert not any(torch.allclose(a, b) for a, b in ((first[1], second[1]), (first[1], own[1])))


REFUSED = {
    "a weight is missing": (
        lambda f: folders.edit_weights(f, lambda t: t.pop("model.layers.1.mlp.down_proj.weight")),
        r"weights of path:.* lack: model\.layers\.1\.mlp\.down_proj\.weight\. Fetch them anew; nothing was filled in",
    ),
    "a weight is renamed": (
        lambda f: folders.edit_weights(f, lambda t: t.update(x=t.pop("model.norm.weight"))),
        r"lack: model\.norm\.weight",
    ),
    "a weight is foreign": (
        lambda f: folders.edit_weights(f, lambda t: t.update(extra=torch.ones(2))),
        "have what the network has not: extra",
    ),
    "more layers than weights": (lambda f: folders.edit_config(f, num_hidden_layers=4), r"lack: model\.layers\.3\."),
    "fewer layers than weights": (
        lambda f: folders.edit_config(f, num_hidden_layers=2),
        r"have what the network has not: model\.layers\.2\.",
    ),
    "another shape": (lambda f: folders.edit_config(f, vocab_size=319),
        r"do not fit its configuration: .* is \(320, 32\), expected \(319, 32\)"),
    "far more than the files hold": (
        lambda f: folders.edit_config(f, intermediate_size=2**24),
        r"asks for [0-9,]+ numbers, the files hold [0-9,]+",
    ),
    "layers without end": (lambda f: folders.edit_config(f, num_hidden_layers=10**9),
        r"gives num_hidden_layers as '1000000000'; it is a whole number, 1 to 1024"),
    "no number of layers": (lambda f: folders.edit_config(f, num_hidden_layers=None),
        "lacks num_hidden_layers or n_layer"),
    "a head that should be tied": (
        lambda f: folders.edit_config(f, tie_word_embeddings=True),
        "ties its unembedding to its embedding, but its weights hold two",
    ),
    "GPTQ": (lambda f: folders.edit_config(f, quantization_config={"quant_method": "gptq"}),
        r"weights of .* are quantised \(gptq\), which only"),
    "bitsandbytes": (
        lambda f: folders.edit_config(f, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
        r"quantised \(bitsandbytes\)",
    ),
    "two streams": (lambda f: folders.edit_config(f, model_type="t5", is_encoder_decoder=True),
        "an encoder and a decoder with a residual stream each"),
    "pictures": (lambda f: folders.edit_config(f, model_type="vit"), "is no language model in transformers"),
    "not a number": (
        lambda f: folders.edit_weights(f, lambda t: t["model.layers.1.mlp.down_proj.weight"].fill_(float("nan"))),
        r"failed the check “finite states”: block 2 gives NaN or infinite values in float32\. Its weights are damaged",
    ),
    "another tokenizer": (
        lambda f: (f / "tokenizer.json").write_bytes(tiny.word_tokenizer()),
        r"has 70 entries and path:.* a vocabulary of 320",
    ),
    "a pointer": (
        lambda f: (f / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        r"model\.safetensors in .* is a pointer of git-lfs and not the file itself\. Run `git lfs pull`",
    ),
    "a shard is gone": (
        lambda f: (folders.shard(f), (f / "model-00002-of-00002.safetensors").unlink()),
        r"lacks model-00002-of-00002\.safetensors, which hold a part of its weights",
    ),
    "damaged weights": (lambda f: (f / "model.safetensors").write_bytes(b"broken"),
        r"cannot be read \(model\.safetensors"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(),
        r"has no tokenizer\.json; a model needs config\.json, a tokenizer"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_folders_that_are_refused(tmp_path, fault):
    folders.saved(tmp_path / "m", "phi3")
    change, sentence = REFUSED[fault]
    change(tmp_path / "m")
    with pytest.raises(UserError, match=sentence):
        load_model(f"path:{tmp_path / 'm'}")


def test_nothing_of_a_configuration_is_fetched_or_run(tmp_path):
    folders.saved(tmp_path / "m", "phi3")
    tricks = {
        "auto_map": {"AutoModelForCausalLM": "planted.Model"},
        "attn_implementation": "someone/kernel",
        "num_labels": 2**40,
    }
    folders.edit_config(
        tmp_path / "m", **tricks, _attn_implementation="someone/kernel", use_kernels=True, add_cross_attention=True
    )
    config = load_model(f"path:{tmp_path / 'm'}").network.config
    assert (
        config._attn_implementation in ("sdpa", "eager") and config.num_labels == 2 and not hasattr(config, "auto_map")
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"peft_type": "PREFIX_TUNING"}, "is an adapter of the kind PREFIX_TUNING; RepDiss merges LORA"),
        ({"base_model_name_or_path": None}, "names no base"),
        ({"base_model_name_or_path": "/nowhere/base"}, "stands on /nowhere/base, which is not on this machine"),
        (
            {"base_model_name_or_path": "some/base"},
            r"stands on hub:some/base\. Nothing is known of hub:some/base yet: run `python",
        ),
        ({"target_modules": ["nothing"]}, r"does not fit its base \(.*nothing"),
        ({"r": 3}, r"does not fit its base \("),
    ],
)
def test_adapters_that_are_refused(tmp_path, change, sentence):
    folders.saved(tmp_path / "base", "granite")
    folders.lora(tmp_path / "lora", tmp_path / "base", **change)
    with pytest.raises(UserError, match=sentence):
        load_model(f"path:{tmp_path / 'lora'}")


def test_gguf_files_that_are_refused(tmp_path):
    folders.gguf(tmp_path / "cut.gguf", damage=3000)
    with pytest.raises(UserError, match=r"cut\.gguf cannot be read as a GGUF file \(.*\): it is damaged"):
        model_spec(f"path:{tmp_path / 'cut.gguf'}")
    folders.gguf(tmp_path / "whole.gguf")
    with pytest.raises(UserError, match=r"holds 2 GGUF files \(cut\.gguf, whole\.gguf\); write path: and one of them"):
        model_spec(f"path:{tmp_path}")
    with pytest.raises(UserError, match=r"There is no folder .*/none\.gguf; write path: and a folder"):
        model_spec(f"path:{tmp_path / 'none.gguf'}")


def test_families_of_the_table_are_those_that_are_tested():
    from repdiss_core.data.encoder_types import ENCODER_TYPES
    from repdiss_core.models.families import FAMILIES

    tested = {kind for kind, _ in families.FAMILIES.values()}
    assert tested >= set(FAMILIES) - set(ENCODER_TYPES)

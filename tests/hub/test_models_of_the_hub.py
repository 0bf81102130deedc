"""Every loader end to end through the loopback hub, against forward passes written out in plain torch."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import plain_forward as plain
import pytest
import tiny_repositories as tiny
import torch
from safetensors.torch import load, save

from repdiss_core import hub as client
from repdiss_core.base.errors import UserError
from repdiss_core.data.batches import TokenBatch
from repdiss_core.hub import Repo
from repdiss_core.models import load_model, model_spec, paper_models
from repdiss_core.runs.resolve import prepare_models
from repdiss_core.studies.scaling.table1 import PUBLISHED, pythia_rows
from repdiss_core.ui.cards.scaling_tables import _sources

BATCH = TokenBatch(np.random.default_rng(0).integers(0, 300, (2, 24)))
TOKENS = torch.from_numpy(BATCH.tokens)


def check_against(model, residuals, logits, kept=None):
    """The model's residual streams, logits and a stitch, against a plain forward pass."""
    for ours, theirs in zip(model.residuals(BATCH), residuals, strict=True):
        torch.testing.assert_close(ours, theirs - theirs.mean(-1, keepdim=True), atol=2e-5, rtol=1e-4)
    with torch.no_grad():
        own = model.head(model.blocks(model.embed(BATCH), 0, model.n_layers, BATCH), BATCH)
    torch.testing.assert_close(own, logits, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("form", ["safetensors", "sharded", "bin"])
def test_a_pythia_is_what_its_files_say(hub, monkeypatch, form):
    tiny.fill_models(hub, ("70m",), ())
    files = tiny.neox(6, 3, form)
    hub.add("EleutherAI/pythia-70m-deduped", {**files, "tokenizer.json": tiny.byte_tokenizer()})
    assert paper_models.status(model_spec("pythia-70m-deduped")) == "to download: about 166 MB"
    model = load_model("pythia-70m-deduped")
    tensors = {k: v for name in files if name.endswith(".safetensors") for k, v in load(files[name]).items()} or load(
        tiny.neox(6, 3)["model.safetensors"]
    )
    residuals, logits = plain.neox(tensors, json.loads(files["config.json"]), TOKENS)
    check_against(model, residuals, logits)
    assert paper_models.status(model_spec("pythia-70m-deduped")) == "cached"
    n_requests = len(hub.log)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # warm and off line
    kept = list(load_model("pythia-70m-deduped", "kept").residuals(BATCH))
    torch.testing.assert_close(kept[-1], residuals[-1], atol=2e-5, rtol=1e-4)
    assert len(hub.log) == n_requests


@pytest.mark.parametrize("name", ["gelu-3l", "solu-3l"])
def test_a_gelu_or_solu_model_is_what_its_files_say(hub, monkeypatch, name):
    tiny.fill_models(hub, ("70m",), (name,))
    model = load_model(name)
    spec = model_spec(name)
    files = hub.files("model", spec.repo, "main")
    config = json.loads(files["config.json"])
    tensors = tiny.nanda_tensors(name[:4], 3, config["d_vocab"], seed=3 + 4 + ord(name[0]))
    residuals, logits = plain.nanda(tensors, config, TOKENS)
    check_against(model, residuals, logits)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert next(load_model(name).residuals(BATCH)).shape == (2, 24, tiny.D)
    assert not any("model_init" in path for path in hub.downloads())


def test_table_1_is_read_anew_from_a_model_that_was_loaded(hub):
    tiny.fill_models(hub, ("70m",), ())
    rows = {row.name: row for row in pythia_rows()}
    assert rows["pythia-70m"].d_model == 512 and {row.source for row in rows.values()} == {PUBLISHED}
    model = load_model("pythia-70m-deduped")
    config = json.loads(hub.files("model", "EleutherAI/pythia-70m-deduped", "main")["config.json"])
    row, *others = pythia_rows()
    assert row.source == "config.json of pythia-70m-deduped" and {other.source for other in others} == {PUBLISHED}
    assert (row.d_model, row.n_heads, row.n_layers) == (
        config["hidden_size"],
        config["num_attention_heads"],
        model.n_layers,
    )
    assert row.d_head == row.d_model // row.n_heads and row.d_model != 512
    (client.snapshot(Repo("EleutherAI/pythia-70m-deduped")) / "config.json").write_text("{", "utf-8")
    row = pythia_rows()[0]
    assert row.source == "published figures, since the fetched config.json cannot be read of pythia-70m-deduped"
    assert replace(row, source=PUBLISHED) == rows["pythia-70m"]
    assert re.search(
        "Published figures, since the fetched config.json cannot be read of pythia-70m-deduped: fetch it again",
        _sources(pythia_rows()).replace("\\", ""),
    )


def test_pythia_agrees_with_the_bridge(hub):
    """An independent implementation: transformer_lens over transformers."""
    from transformer_lens.model_bridge import TransformerBridge

    tiny.fill_models(hub, ("70m",), ())
    model = load_model("pythia-70m-deduped", "kept")
    folder = client.snapshot(paper_models.repo_of(model_spec("pythia-70m-deduped")))
    bridge = TransformerBridge.boot_transformers(str(folder), hf_model=model.network, tokenizer=None)
    _, cache = bridge.run_with_cache(TOKENS)
    for l, ours in enumerate(model.residuals(BATCH)):
        torch.testing.assert_close(ours, cache[f"blocks.{l}.hook_resid_post"], atol=2e-5, rtol=1e-4)


def test_a_stitch_equals_a_full_forward_with_a_replaced_residual(hub):
    tiny.fill_models(hub, ("70m", "160m"), ())
    f, g = load_model("pythia-70m-deduped", "kept"), load_model("pythia-160m-deduped", "kept")
    with torch.no_grad():
        lower = f.blocks(f.embed(BATCH), 0, 2, BATCH)
        ours = g.head(g.blocks(lower, 4, g.n_layers, BATCH), BATCH)
        handle = g.network.gpt_neox.layers[3].register_forward_hook(
            lambda module, inputs, output: (lower, *output[1:]) if isinstance(output, tuple) else lower
        )
        theirs = g.network(TOKENS).logits
        handle.remove()
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_removing_each_tokens_mean_is_centring_what_writes(hub):
    """The residual without its mean is that of a model whose embedding and output weights are centred over d_model."""
    tiny.fill_models(hub, ("70m",), ())
    files = hub.files("model", "EleutherAI/pythia-70m-deduped", "main")
    tensors = {k: v.float() for k, v in load(files["model.safetensors"]).items()}
    for key in tensors:
        if key.endswith(
            ("attention.dense.weight", "dense_4h_to_h.weight", "attention.dense.bias", "dense_4h_to_h.bias")
        ):
            tensors[key] = tensors[key] - tensors[key].mean(0, keepdim=True)
        if key.endswith("embed_in.weight"):
            tensors[key] = tensors[key] - tensors[key].mean(1, keepdim=True)
    centred, _ = plain.neox(tensors, json.loads(files["config.json"]), TOKENS)
    for ours, theirs in zip(load_model("pythia-70m-deduped", "removed").residuals(BATCH), centred, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


def test_a_step_of_the_training_is_another_model(hub):
    tiny.fill_models(hub, ("70m",), ())
    hub.add(
        "EleutherAI/pythia-70m-deduped",
        {**tiny.neox(6, 9), "tokenizer.json": tiny.byte_tokenizer()},
        revision="step1000",
    )
    prepare_models(["pythia-70m-deduped", "pythia-70m-deduped@step1000"])
    last, step = model_spec("pythia-70m-deduped"), model_spec("pythia-70m-deduped@step1000")
    assert len({last.weights, step.weights}) == 2 and (step.state, step.tokens_seen) == ("intermediate", 2_097_152_000)
    assert model_spec("hub:EleutherAI/pythia-70m-deduped@step1000") == step and last.tokenizer == step.tokenizer
    one, other = (list(load_model(name).residuals(BATCH))[-1] for name in (last.name, step.name))
    assert not torch.allclose(one, other)
    with pytest.raises(UserError, match="has no revision 'step7'"):
        load_model("pythia-70m-deduped@step7")


def test_a_models_identity_is_its_commit_and_the_same_for_page_and_worker(hub):
    tiny.fill_models(hub, ("70m",), ())
    assert model_spec("pythia-70m-deduped").weights == "unpinned:main"
    prepare_models(["pythia-70m-deduped"])
    pinned = model_spec("pythia-70m-deduped").weights
    # The branch moves on
    hub.add("EleutherAI/pythia-70m-deduped", {**tiny.neox(6, 77), "tokenizer.json": tiny.byte_tokenizer()})
    load_model("pythia-70m-deduped")
    assert model_spec("pythia-70m-deduped").weights == pinned and len(pinned) == 40
    assert model_spec(f"pythia-70m-deduped@{pinned}").weights == pinned


def test_any_model_of_the_hub_and_of_a_folder(hub, tmp_path):
    files = {**tiny.neox(5, 4), "tokenizer.json": tiny.byte_tokenizer()}
    hub.add("someone/own-model", files)
    with pytest.raises(
        UserError,
        match=(
            "Nothing is known of hub:someone/own-model yet: run `python -m repdiss_core fetch hub:someone/own-model`"
        ),
    ):
        model_spec("hub:someone/own-model")
    prepare_models(["hub:someone/own-model"])
    spec = model_spec("hub:someone/own-model")
    assert (spec.n_layers, spec.d_model, spec.n_heads) == (5, tiny.D, tiny.HEADS)
    model = load_model("hub:someone/own-model")
    assert spec.n_parameters == sum(p.numel() for p in model.network.parameters())
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    local = load_model(f"path:{tmp_path}")
    torch.testing.assert_close(list(local.residuals(BATCH)), list(model.residuals(BATCH)))
    assert model_spec(f"path:{tmp_path}").tokenizer == spec.tokenizer


def edited(change) -> dict[str, bytes]:
    files = tiny.neox(6, 3)
    tensors = load(files["model.safetensors"])
    change(tensors)
    return {**files, "model.safetensors": save(tensors), "tokenizer.json": tiny.byte_tokenizer()}


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            lambda: edited(lambda t: t.pop("gpt_neox.layers.3.mlp.dense_h_to_4h.bias")),
            r"weights of pythia-70m-deduped lack: gpt_neox\.layers\.3\.mlp.* nothing was filled in",
        ),
        (
            lambda: edited(lambda t: t.update(extra=torch.ones(2))),
            r"weights of pythia-70m-deduped have what the network has not: extra",
        ),
        (
            lambda: {**tiny.neox(5, 3), "tokenizer.json": tiny.byte_tokenizer()},
            r"has 5 layers, its facts say 6: EleutherAI/pythia-70m-deduped holds another model",
        ),
        (
            lambda: {**edited(lambda t: None), "model.safetensors": b"broken"},
            r"pythia-70m-deduped in .* cannot be read \(model\.safetensors",
        ),
        (
            lambda: {"config.json": b'{"model_type": "llama"}', "model.safetensors": b"x", "tokenizer.json": b"{}"},
            "is a llama model; this loader reads GPT-NeoX",
        ),
        (lambda: {k: v for k, v in edited(lambda t: None).items() if k != "config.json"}, r"has no file config\.json"),
        (
            lambda: {**tiny.neox(6, 3), "tokenizer.json": tiny.word_tokenizer()},
            r"tokenizer of EleutherAI/pythia-70m-deduped has 70 entries and pythia-70m-deduped a vocabulary of 320",
        ),
        (lambda: tiny.neox(6, 3), r"has no tokenizer\.json, so that no text can be cut"),
    ],
)
def test_checkpoints_that_are_not_right(hub, files, sentence):
    hub.add("EleutherAI/pythia-70m-deduped", files())
    with pytest.raises(UserError, match=sentence):
        load_model("pythia-70m-deduped")


def test_a_pickle_that_runs_code_is_never_opened(hub):
    import pickle

    class Bomb:
        def __reduce__(self):
            return (print, ("boom",))

    files = {k: v for k, v in tiny.neox(6, 3).items() if k == "config.json"}
    hub.add(
        "EleutherAI/pythia-70m-deduped",
        {**files, "pytorch_model.bin": pickle.dumps(Bomb()), "tokenizer.json": tiny.byte_tokenizer()},
    )
    with pytest.raises(
        UserError,
        match=r"weights of pythia-70m-deduped \(pytorch_model\.bin\) hold more than tensors, which RepDiss never opens",
    ):
        load_model("pythia-70m-deduped")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t, c: t.pop("blocks.1.mlp.b_in"), r"weights of gelu-3l are not those of its configuration"),
        (
            lambda t, c: t.update({"blocks.0.strange": torch.ones(1)}),
            r"weights of gelu-3l are not those of its configuration",
        ),
        (lambda t, c: c.pop("n_heads"), r"configuration of gelu-3l lacks n_heads"),
        (lambda t, c: c.update(attn_only=True), r"gelu-3l has attention alone"),
    ],
)
def test_gelu_checkpoints_that_are_not_right(hub, change, sentence):
    tiny.fill_models(hub, ("70m",), ("gelu-3l",))
    files = dict(hub.files("model", "NeelNanda/GELU_3L512W_C4_Code", "main"))
    config = json.loads(files["config.json"])
    tensors = tiny.nanda_tensors("gelu", 3, config["d_vocab"], seed=1)
    change(tensors, config)
    hub.add(
        "NeelNanda/GELU_3L512W_C4_Code",
        {"config.json": json.dumps(config).encode(), "model_final.pth": tiny.torch_bytes(tensors)},
    )
    with pytest.raises(UserError, match=sentence):
        load_model("gelu-3l")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"config.json": b'{"model_type": "planted"}', "tokenizer.json": b"{}", "model.safetensors": b""},
            (
                r"is of the architecture planted, which the installed transformers does not have; "
                r"RepDiss compares gpt2, .*mamba, bert, .*The paper's gelu"
            ),
        ),
        (
            {"config.json": b'{"model_type": "gpt_neox"}', "tokenizer.json": b"{}", "model.safetensors": b""},
            r"configuration of hub:org/x lacks vocab_size, hidden_size, num_hidden_layers",
        ),
        ({"config.json": b"{}", "model.safetensors": b""}, "org/x has no tokenizer.json; RepDiss reads models with"),
        ({"config.json": b"{}", "tokenizer.json": b"{}"}, "org/x has no weights"),
    ],
)
def test_repositories_that_are_no_model_of_ours(hub, files, sentence):
    hub.add("org/x", files)
    with pytest.raises(UserError, match=sentence):
        prepare_models(["hub:org/x"])


def test_folders_that_are_no_model(tmp_path):
    with pytest.raises(UserError, match="There is no folder"):
        model_spec(f"path:{tmp_path}/nothing")
    with pytest.raises(UserError, match=r"has no config\.json and no tokenizer\.json and no model\.safetensors"):
        model_spec(f"path:{tmp_path}")


def test_near_names_are_told():
    with pytest.raises(UserError, match=r"no model named 'pythia-1b-dedup'. Did you mean pythia-1b-deduped"):
        model_spec("pythia-1b-dedup")


def test_published_accuracies_give_the_papers_groups():
    """The ten best and the ten worst by accuracy on non-entailed lexical-overlap pairs, best and worst first."""
    accuracy = paper_models.feather_accuracies("overlap")
    ranked = [int(name[-2:]) for name in sorted(accuracy, key=lambda n: -accuracy[n])]
    assert ranked[:10] == [99, 8, 37, 6, 95, 10, 39, 31, 67, 98] and ranked[:-11:-1] == [
        44,
        73,
        89,
        48,
        26,
        70,
        42,
        15,
        63,
        25,
    ]
    assert (
        0.83
        < min(paper_models.feather_accuracies("mnli").values())
        < max(paper_models.feather_accuracies("mnli").values())
        < 0.86
    )


@pytest.mark.parametrize("scale", ["70m", "160m", "410m", "1b"])
def test_parameters_are_those_of_the_architecture(scale):
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    spec = model_spec(f"pythia-{scale}-deduped")
    config = GPTNeoXConfig(
        vocab_size=spec.vocab_size,
        hidden_size=spec.d_model,
        num_hidden_layers=spec.n_layers,
        num_attention_heads=spec.n_heads,
        intermediate_size=4 * spec.d_model,
    )
    with torch.device("meta"):
        network = GPTNeoXForCausalLM(config)
    assert sum(p.numel() for p in network.parameters()) == spec.n_parameters

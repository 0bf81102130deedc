"""The registry of models and the bundled ones behind it."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from repdiss_core import bundled
from repdiss_core.base.errors import UserError
from repdiss_core.data import open_stream
from repdiss_core.models import MODELS, load_model, model_spec
from repdiss_core.models.hooked import load_bundled


def test_unknown_model_names_the_nearest():
    with pytest.raises(UserError, match=r"no model named 'mini-gelu-3l'. Did you mean mini-gelu-3l-s\d"):
        model_spec("mini-gelu-3l")
    with pytest.raises(UserError, match="List all with `python -m repdiss_core list models`"):
        load_model("nothing at all")


def test_specs_agree_with_the_names():
    for name, spec in MODELS.items():
        if spec.family != "mini":
            continue
        _, kind, depth, _ = name.split("-")
        assert spec.name == name and spec.source == "bundled" and spec.group == f"mini-{depth}"
        assert spec.n_layers == int(depth[0]) and spec.activation == {"gelu": "gelu", "solu": "solu_ln"}[kind]
        assert spec.n_heads * spec.d_head == spec.d_model == 128
        assert len(spec.weights) == len(spec.tokenizer) == 64
    assert (
        len({spec.seed for spec in MODELS.values()}) == len({spec.weights for spec in MODELS.values()}) == len(MODELS)
    )


@pytest.mark.parametrize("name", ["mini-gelu-3l-s0", "mini-solu-4l-s1"])
def test_a_bundled_model_predicts_the_held_out_text(name: str):
    """The loss on a part of eval is near the recorded one: weights, tokenizer and data belong together."""
    model = load_model(name)
    spec = model_spec(name)
    stream = open_stream("docstrings", "eval", 8, 128, seed=0)
    losses = []
    for i in range(12):
        batch = stream.batch(i)
        tokens = torch.from_numpy(batch.tokens)
        logits = model.head(model.blocks(model.embed(batch), 0, model.n_layers, batch), batch)
        torch.testing.assert_close(logits, model.bridge(tokens), atol=1e-4, rtol=0)
        losses.append(
            torch.nn.functional.cross_entropy(
                logits[:, :-1].reshape(-1, model.vocab_size), tokens[:, 1:].reshape(-1)
            ).item()
        )
    assert abs(sum(losses) / len(losses) - spec.validation_loss) < 0.25
    assert sum(losses) / len(losses) < bundled.facts()["data"]["docstrings"]["baselines"]["bigram"]
    assert sum(p.numel() for p in model._network.parameters()) == spec.n_parameters


def test_damaged_or_missing_weights(tmp_path, monkeypatch):
    spec = model_spec("mini-gelu-3l-s0")
    whole = (bundled.WEIGHTS_FOLDER / f"{spec.name}.safetensors").read_bytes()
    monkeypatch.setattr(bundled, "WEIGHTS_FOLDER", tmp_path)
    with pytest.raises(UserError, match="weights of mini-gelu-3l-s0 are missing"):
        load_bundled(spec)
    path = tmp_path / f"{spec.name}.safetensors"
    path.write_bytes(whole[:-2] + b"\0\1")
    with pytest.raises(
        UserError, match=r"mini-gelu-3l-s0 are damaged: .* has the hash \w{12}, the facts file says \w{12}\. Restore it"
    ):
        load_bundled(spec)
    path.write_bytes(whole[:1000])
    with pytest.raises(UserError, match="cannot be read"):
        load_bundled(dataclasses.replace(spec, weights=bundled.file_hash(path)))

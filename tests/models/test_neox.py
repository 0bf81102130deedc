"""GPT-NeoX behind the protocol: parity with transformers, masks, stitching, bad input.

Random small networks of the real architecture.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from repdiss_core.base.comparison import DataId, ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.data.batches import PackedStream, TokenBatch
from repdiss_core.engine.checkpoint import CheckpointDir
from repdiss_core.engine.stitch_pass import run_identity_stitches
from repdiss_core.measures.stitch_settings import identity_comparison
from repdiss_core.models import MODELS, load_model, model_spec
from repdiss_core.models.decoder import DecoderResidualModel, checked_config, load_folder, network_of
from repdiss_core.models.family import FAMILY, checkpoint_of, family_checkpoints
from repdiss_core.models.protocol import ResidualModel

CONFIG = {
    "model_type": "gpt_neox", "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 16, "hidden_act": "gelu", "rotary_pct": 0.25,
}  # fmt: skip


def tiny_neox(seed: int = 0, name: str = "tiny", resid_mean: str = "kept", **changes) -> DecoderResidualModel:
    torch.manual_seed(seed)
    attention = changes.pop("attn_implementation", "sdpa")
    network = GPTNeoXForCausalLM(GPTNeoXConfig(**{**CONFIG, **changes}, attn_implementation=attention)).float()
    with torch.no_grad():  # biases and norms away from their 0 and 1, so that a forgotten one shows
        for parameter in network.parameters():
            parameter.add_(0.15 * torch.randn(parameter.shape))
    return DecoderResidualModel(network, name, resid_mean)


def random_batch(t: int = 12) -> TokenBatch:
    return TokenBatch(np.random.default_rng(0).integers(0, 50, (3, t)))


def cut_logits(model: DecoderResidualModel, batch: TokenBatch) -> torch.Tensor:
    return model.head(model.blocks(model.blocks(model.embed(batch), 0, 1, batch), 1, model.n_layers, batch), batch)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    "changes", [{}, {"use_parallel_residual": False}, {"num_attention_heads": 2, "rotary_pct": 1.0}]
)
def test_cut_model_equals_the_whole_one(attention, changes):
    model, batch = tiny_neox(attn_implementation=attention, **changes), random_batch()
    assert isinstance(model, ResidualModel)
    whole = model.network(torch.from_numpy(batch.tokens)).logits
    assert whole.std() > 0.1
    torch.testing.assert_close(cut_logits(model, batch), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_blocks_are_causal(attention):
    model, batch = tiny_neox(attn_implementation=attention), random_batch()
    changed = batch.tokens.copy()
    changed[:, 7:] = (changed[:, 7:] + 1) % 50
    before, after = cut_logits(model, batch), cut_logits(model, TokenBatch(changed))
    torch.testing.assert_close(before[:, :7], after[:, :7], atol=1e-6, rtol=0)
    assert (before[:, 7:] - after[:, 7:]).abs().max() > 0.1


def test_padding_equals_the_model_with_its_attention_mask():
    model, batch = tiny_neox(), random_batch()
    mask = np.arange(12) < np.array([12, 7, 4])[:, None]
    whole = model.network(torch.from_numpy(batch.tokens), attention_mask=torch.from_numpy(mask.astype(np.int64))).logits
    ours = cut_logits(model, TokenBatch(batch.tokens, mask))
    torch.testing.assert_close(ours[torch.from_numpy(mask)], whole[torch.from_numpy(mask)], atol=1e-5, rtol=0)


def test_residuals_are_the_hidden_states_before_the_final_norm():
    model, batch = tiny_neox(), random_batch()
    hidden = model.network(torch.from_numpy(batch.tokens), output_hidden_states=True).hidden_states
    ours = list(model.residuals(batch))
    for mine, theirs in zip(ours[:-1], hidden[1:-1], strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=0)
    torch.testing.assert_close(model.network.gpt_neox.final_layer_norm(ours[-1]), hidden[-1], atol=1e-5, rtol=0)


def test_resid_mean_removes_each_tokens_mean_from_residuals_only():
    kept, batch = tiny_neox(), random_batch()
    removed = DecoderResidualModel(kept.network, "tiny", "removed")
    for a, b in zip(removed.residuals(batch), kept.residuals(batch), strict=True):
        assert b.mean(-1).abs().max() > 1e-3
        torch.testing.assert_close(a, b - b.mean(-1, keepdim=True))
    assert torch.equal(cut_logits(removed, batch), cut_logits(kept, batch))


def test_blocks_are_differentiable_in_h():
    model, batch = tiny_neox(), random_batch()
    h = model.embed(batch).detach().requires_grad_(True)
    model.head(model.blocks(h, 1, 3, batch), batch).logsumexp(-1).sum().backward()
    assert h.grad is not None and h.grad.abs().sum() > 0


def identity_penalties(f: DecoderResidualModel, g: DecoderResidualModel, tmp_path) -> list[float]:
    rows = np.random.default_rng(1).integers(0, 50, 12 * 8 * 3).astype(np.uint16)
    stream = PackedStream(rows, DataId("toy", "eval", "e", 2, 12, 1))
    comparisons = [
        identity_comparison(
            ModelId(f.name, "1"), ModelId(g.name, "2"), stream.data_id, l, l, resid_mean="kept", measure_version="1"
        )
        for l in range(4)
    ]
    found = {}
    run_identity_stitches(
        comparisons, f, g, stream, 3, lambda c, r: found.update({c.layer_pairs: r}),
        CheckpointDir(tmp_path, lambda _: None),
        lambda *_: None, lambda: False,
    )  # fmt: skip
    return [float(np.mean(np.asarray(found[c.layer_pairs].penalty))) for c in comparisons]


def test_stitched_into_itself_a_model_loses_nothing(tmp_path):
    model = tiny_neox()
    assert identity_penalties(model, model, tmp_path) == [0.0] * 4
    with pytest.raises(
        UserError, match="needs residual streams of equal width, but tiny has d_model 32 and wide has 64"
    ):
        identity_penalties(model, tiny_neox(name="wide", hidden_size=64), tmp_path)


def test_bad_batches_are_told():
    model = tiny_neox()
    with pytest.raises(UserError, match="tiny has 3 blocks; those after 2 up to 5"):
        model.blocks(model.embed(random_batch()), 2, 5, random_batch())
    with pytest.raises(UserError, match=r"knows token ids 0 to 49; the batch has 400 .*another tokenizer"):
        model.embed(TokenBatch(np.full((1, 4), 400)))
    with pytest.raises(UserError, match="reads at most 16 tokens; the sequences have 20"):
        model.embed(random_batch(20))
    with pytest.raises(UserError, match="resid_mean is 'halved'"):
        DecoderResidualModel(model.network, "tiny", "halved")


@pytest.mark.parametrize(
    "key", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "intermediate_size"]
)
def test_a_missing_config_key_is_told(key):
    with pytest.raises(UserError, match=f"configuration of p lacks {key}"):
        checked_config("p", {k: v for k, v in CONFIG.items() if k != key})


def test_the_rotary_share_is_read_in_both_spellings_and_missed_in_neither():
    other = {k: v for k, v in CONFIG.items() if k != "rotary_pct"}
    new = {**other, "rope_parameters": {"partial_rotary_factor": 0.5, "rope_type": "default", "rope_theta": 10000}}
    assert checked_config("p", CONFIG).rope_parameters["partial_rotary_factor"] == 0.25
    assert checked_config("p", new).rope_parameters["partial_rotary_factor"] == 0.5
    with pytest.raises(UserError, match="lacks rotary_pct"):
        checked_config("p", other)
    with pytest.raises(UserError, match="cannot be used"):
        checked_config("p", {**CONFIG, "num_attention_heads": 5})


def test_weights_are_read_strictly(tmp_path):
    model, batch = tiny_neox(), random_batch()
    tensors = {k: v.clone() for k, v in model.network.named_parameters()}
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    buffers = {
        "gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e9),
        "gpt_neox.layers.0.attention.rotary_emb.inv_freq": torch.ones(1),
    }
    save_file({**tensors, **buffers}, tmp_path / "model.safetensors")
    torch.testing.assert_close(
        cut_logits(load_folder(tmp_path, "p", "kept"), batch), cut_logits(model, batch), atol=1e-6, rtol=0
    )

    config = checked_config("p", CONFIG)
    lost = {k: v for k, v in tensors.items() if "layers.1" not in k}
    with pytest.raises(UserError, match=r"weights of p lack: gpt_neox.layers.1.* and 9 more.*nothing was filled in"):
        network_of("p", config, lost)
    with pytest.raises(UserError, match="have what the network has not: extra"):
        network_of("p", config, {**tensors, "extra": torch.ones(1)})
    with pytest.raises(UserError, match=r"lm_head.weight is \(5, 32\), expected \(50, 32\)"):
        network_of("p", config, {**tensors, "lm_head.weight": torch.ones(5, 32)})
    (tmp_path / "model.safetensors").write_bytes(b"not a file of weights")
    with pytest.raises(UserError, match="cannot be read"):
        load_folder(tmp_path, "p")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"p needs config.json and at least one .safetensors"):
        load_folder(tmp_path, "p")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_attention_heads": 2.5}, "gives num_attention_heads as '2.5'; it is a whole number"),
        ({"vocab_size": 2**40}, "gives vocab_size as '1099511627776'"),
        ({"rotary_pct": 4.0}, "gives the rotary part of a head as '4.0'; it is above 0"),
        ({"rope_parameters": {"partial_rotary_factor": 1e12}}, "gives the rotary part of a head"),
        ({"hidden_size": 2**20}, "do not fit its configuration: it asks for [0-9,]+ numbers, the files hold 100"),
        ({"hidden_act": "planted"}, "No network can be built from the configuration of p"),
    ],
)
def test_a_strange_configuration_is_refused_before_it_takes_memory(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        network_of("p", checked_config("p", {**CONFIG, **changes}), {"x": torch.ones(100)})


def test_only_what_shapes_the_network_is_read_from_a_configuration():
    tricks = {
        "num_labels": 2**40,
        "auto_map": {"AutoModel": "planted.Model"},
        "attn_implementation": "someone/kernel",
        "torch_dtype": "float16",
    }
    config = checked_config("p", {**CONFIG, **tricks, "layer_norm_eps": 0.5})
    assert config.layer_norm_eps == 0.5 and not hasattr(config, "auto_map") and config.num_labels == 2
    assert config._attn_implementation != "someone/kernel"
    with pytest.raises(UserError, match="holds no JSON object"):
        checked_config("p", [1])


MEMBERS = [name for name, spec in MODELS.items() if spec.family == FAMILY]


@pytest.mark.parametrize("name", [*MEMBERS, *family_checkpoints()])
def test_a_member_predicts_the_held_out_text(name):
    """The loss on a part of eval is near the recorded one: weights, tokenizer and data belong together."""
    from repdiss_core.data import open_stream

    model, spec = load_model(name), model_spec(name)
    assert (model.n_layers, model.d_model) == (
        spec.n_layers,
        spec.d_model,
    ) and spec.n_heads * spec.d_head == spec.d_model
    assert sum(p.numel() for p in model.network.parameters()) == spec.n_parameters
    assert spec.state == ("final" if name in MODELS else "intermediate") and checkpoint_of(name) in MODELS
    stream, losses = open_stream("docstrings", "eval", 8, 128, seed=0), []
    for i in range(6):
        batch = stream.batch(i)
        logits, tokens = cut_logits(model, batch), torch.from_numpy(batch.tokens)
        if i == 0:
            torch.testing.assert_close(logits, model.network(tokens).logits, atol=1e-5, rtol=1e-5)
        losses.append(torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).item())
    assert abs(np.mean(losses) - spec.validation_loss) < 0.3


@pytest.mark.skipif(not MEMBERS, reason="no member of the family ships")
def test_damaged_or_missing_weights_of_a_member(tmp_path, monkeypatch):
    from repdiss_core.bundled import family
    from repdiss_core.models.neox import load_family

    spec = model_spec(MEMBERS[0])
    with pytest.raises(UserError, match=r"damaged: .* the facts file says 000000000000\. Restore it"):
        load_family(dataclasses.replace(spec, weights="0" * 64))
    monkeypatch.setattr(family, "WEIGHTS_FOLDER", tmp_path)
    with pytest.raises(UserError, match=f"weights of {spec.name} are missing"):
        load_family(spec)


def test_the_list_of_models_needs_no_torch():
    code = (
        "import sys; from repdiss_core.models import MODELS; "
        "from repdiss_core.models.family import family_checkpoints; family_checkpoints(); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

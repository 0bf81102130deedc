"""The protocol over transformer_lens bridges, on small models with random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

from repdiss_core.base.errors import UserError
from repdiss_core.data.batches import TokenBatch
from repdiss_core.models.hooked import HookedResidualModel, load_native
from repdiss_core.models.protocol import ResidualModel

KINDS = {
    "gelu, rotary": {"act_fn": "gelu", "positional_embedding_type": "rotary", "rotary_dim": 4},
    "solu_ln, rotary": {"act_fn": "solu_ln", "positional_embedding_type": "rotary", "rotary_dim": 4},
    "solu_ln, learned positions": {"act_fn": "solu_ln"},
    "grouped queries, capped scores": {"act_fn": "gelu", "n_key_value_heads": 2, "attn_scores_soft_cap": 5.0},
}


def _bridge(**changes) -> TransformerBridge:
    fields = {
        "d_model": 32,
        "d_head": 8,
        "n_heads": 4,
        "n_layers": 3,
        "n_ctx": 16,
        "d_vocab": 50,
        "d_mlp": 64,
        "normalization_type": "LN",
        "seed": 5,
    }
    bridge = TransformerBridge.boot_native(TransformerBridgeConfig(**{**fields, **changes}))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # biases and norms away from their 0 and 1, so that a forgotten one shows
        for parameter in bridge.original_model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return bridge


@pytest.fixture(params=KINDS, scope="module")
def bridge(request: pytest.FixtureRequest) -> TransformerBridge:
    return _bridge(**KINDS[request.param])


@pytest.fixture
def batch() -> TokenBatch:
    return TokenBatch(np.random.default_rng(0).integers(0, 50, (3, 12)))


def test_cut_forward_equals_the_models_own(bridge: TransformerBridge, batch: TokenBatch):
    model = HookedResidualModel(bridge, "toy")
    assert isinstance(model, ResidualModel)
    assert (model.n_layers, model.d_model, model.vocab_size) == (3, 32, 50)
    own = bridge(torch.from_numpy(batch.tokens))
    h = model.embed(batch)
    assert h.shape == (3, 12, 32)
    for a, b in ((0, 1), (1, 1), (1, 3)):
        h = model.blocks(h, a, b, batch)
    logits = model.head(h, batch)
    assert logits.shape == (3, 12, 50) and own.std() > 0.1
    torch.testing.assert_close(logits, own, atol=1e-4, rtol=0)


def test_residuals_are_the_bridges_hook(bridge: TransformerBridge, batch: TokenBatch):
    _, cache = bridge.run_with_cache(torch.from_numpy(batch.tokens))
    model = HookedResidualModel(bridge, "toy", resid_mean="kept")
    found = list(model.residuals(batch))
    assert len(found) == 3 and not any(h.requires_grad for h in found)
    for layer, h in enumerate(found):
        torch.testing.assert_close(h, cache[f"blocks.{layer}.hook_resid_post"], atol=1e-5, rtol=0)
        torch.testing.assert_close(h, cache[f"blocks.{layer}.hook_out"], atol=1e-5, rtol=0)


def test_resid_mean_takes_exactly_each_tokens_mean(bridge: TransformerBridge, batch: TokenBatch):
    kept = list(HookedResidualModel(bridge, "toy", "kept").residuals(batch))
    removed = list(HookedResidualModel(bridge, "toy", "removed").residuals(batch))
    for raw, centred in zip(kept, removed, strict=True):
        assert raw.mean(-1).abs().max() > 1e-3 and centred.mean(-1).abs().max() < 1e-6
        torch.testing.assert_close(raw - centred, raw.mean(-1, keepdim=True).expand_as(raw))


def test_blocks_are_differentiable_in_h_alone(bridge: TransformerBridge, batch: TokenBatch):
    model = HookedResidualModel(bridge, "toy")
    h = model.embed(batch).requires_grad_(True)
    model.head(model.blocks(h, 0, 3, batch), batch).square().sum().backward()
    assert h.grad is not None and h.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in bridge.parameters())
    assert not bridge.training


def test_causality(bridge: TransformerBridge, batch: TokenBatch):
    model = HookedResidualModel(bridge, "toy", "kept")
    changed = TokenBatch(np.concatenate([batch.tokens[:, :-1], (batch.tokens[:, -1:] + 1) % 50], axis=1))
    for before, after in zip(model.residuals(batch), model.residuals(changed), strict=True):
        torch.testing.assert_close(before[:, :-1], after[:, :-1])
        assert not torch.allclose(before[:, -1], after[:, -1])


def test_padding_does_not_reach_the_other_tokens(bridge: TransformerBridge, batch: TokenBatch):
    mask = np.ones((3, 12), dtype=bool)
    mask[:, :4] = False
    other = batch.tokens.copy()
    other[:, :4] = 7
    model = HookedResidualModel(bridge, "toy", "kept")
    for one, two in zip(
        model.residuals(TokenBatch(batch.tokens, mask)), model.residuals(TokenBatch(other, mask)), strict=True
    ):
        torch.testing.assert_close(one[:, 4:], two[:, 4:])


def test_forward_passes_are_counted(batch: TokenBatch):
    model = HookedResidualModel(_bridge(act_fn="gelu"), "toy")
    list(model.residuals(batch))
    model.embed(batch)
    assert model.n_forwards == 2


def test_bad_input(batch: TokenBatch):
    bridge = _bridge(act_fn="gelu")
    model = HookedResidualModel(bridge, "toy")
    h = model.embed(batch)
    with pytest.raises(UserError, match=r"toy has 3 blocks; those after 2 up to 4"):
        model.blocks(h, 2, 4, batch)
    with pytest.raises(UserError, match="at most 16 tokens; the sequences have 20"):
        model.embed(TokenBatch(np.zeros((1, 20), dtype=np.int64)))
    with pytest.raises(
        UserError, match=r"token ids 0 to 49; the batch has 0 to 50\. Its tokens come from another tokenizer"
    ):
        model.embed(TokenBatch(np.array([[0, 50]])))
    with pytest.raises(UserError, match="resid_mean is 'centred'; it is"):
        HookedResidualModel(bridge, "toy", resid_mean="centred")


def test_loading_is_strict():
    one, two = _bridge(act_fn="gelu"), _bridge(act_fn="gelu", seed=6)
    tensors = {
        n.replace("_original_component.", ""): p.detach().clone() for n, p in one.original_model.named_parameters()
    }
    load_native(two, tensors)
    tokens = torch.arange(10)[None]
    torch.testing.assert_close(one.eval()(tokens), two.eval()(tokens))
    name = "layers.1.mlp.fc_in.weight"
    with pytest.raises(KeyError, match="fc_in"):
        load_native(two, {k: v for k, v in tensors.items() if k != name})
    with pytest.raises(KeyError, match="extra"):
        load_native(two, {**tensors, "extra": tensors[name]})
    with pytest.raises(RuntimeError, match=r"fc_in.weight is \(32, 64\), expected \(64, 32\)"):
        load_native(two, {**tensors, name: tensors[name].T})

"""BERT behind the protocol: parity with transformers, masks, hooks, bad input.

Random small networks of the real architecture.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from repdiss_core.base.errors import UserError
from repdiss_core.data import nli
from repdiss_core.data.batches import TokenBatch
from repdiss_core.models.bert import BertResidualModel, token_types

LABELS = ("entailment", "neutral", "contradiction")


def tiny_bert(
    seed: int = 0, n_layers: int = 3, d_model: int = 16, name: str = "tiny", labels: tuple[str, ...] = LABELS, **more
) -> BertResidualModel:
    config = BertConfig(
        vocab_size=len(nli.vocabulary()), hidden_size=d_model, num_hidden_layers=n_layers, num_attention_heads=4,
        intermediate_size=32,
        max_position_embeddings=32, num_labels=len(labels), hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        initializer_range=0.3, **more,
    )  # fmt: skip
    torch.manual_seed(seed)
    return BertResidualModel(BertForSequenceClassification(config), name, labels, nli.SEP)


def padded_batch() -> TokenBatch:
    return nli.open_nli("lexical_overlap", 12, 32, 0).batch(0)


def whole_forward(model: BertResidualModel, batch: TokenBatch):
    with torch.no_grad():
        return model.network(
            input_ids=torch.from_numpy(batch.tokens), attention_mask=torch.from_numpy(batch.mask.astype(np.int64)),
            token_type_ids=torch.from_numpy(token_types(batch.tokens, nli.SEP)), output_hidden_states=True,
        )  # fmt: skip


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_cut_model_equals_the_whole_one(attention):
    model, batch = tiny_bert(attn_implementation=attention), padded_batch()
    assert not batch.mask.all()
    with torch.no_grad():
        logits = model.head(model.blocks(model.embed(batch), 0, 3, batch), batch)
    assert torch.allclose(logits, whole_forward(model, batch).logits, atol=1e-6)


def test_reading_out_equals_the_last_block_and_the_head():
    model, batch = tiny_bert(), padded_batch()
    with torch.no_grad():
        h = model.blocks(model.embed(batch), 0, 2, batch)
        assert torch.allclose(model.read_out(h, batch), model.head(model.blocks(h, 2, 3, batch), batch), atol=1e-6)
        whole = TokenBatch(batch.tokens, None)
        assert torch.allclose(model.read_out(h, whole), model.head(model.blocks(h, 2, 3, whole), whole), atol=1e-6)


def test_resid_post_is_the_hidden_state_of_each_layer():
    model, batch = tiny_bert(), padded_batch()
    hidden = whole_forward(model, batch).hidden_states
    for ours, theirs in zip(model.features(batch, "resid_post"), hidden[1:], strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
    assert all(
        torch.equal(a, b) for a, b in zip(model.residuals(batch), model.features(batch, "resid_post"), strict=True)
    )


def test_mlp_out_is_what_the_output_norm_adds_to_the_attention_output():
    """resid_post = LayerNorm(mlp_out + attention output), with the attention output caught by an independent hook."""
    model, batch = tiny_bert(), padded_batch()
    attended: list[torch.Tensor] = []
    layers = model.network.bert.encoder.layer
    handles = [
        layer.attention.output.register_forward_hook(lambda _m, _i, out: attended.append(out)) for layer in layers
    ]
    hidden = whole_forward(model, batch).hidden_states
    for handle in handles:
        handle.remove()
    for number, mlp_out in enumerate(model.features(batch, "mlp_out")):
        assert torch.allclose(
            layers[number].output.LayerNorm(mlp_out + attended[number]), hidden[number + 1], atol=1e-6
        )
        assert not torch.allclose(mlp_out, hidden[number + 1], atol=1e-2)
    assert not layers[0].output.dense._forward_hooks


def test_padding_changes_nothing_for_real_tokens():
    model, batch = tiny_bert(), padded_batch()
    width = int(batch.mask[:1].sum())
    alone = TokenBatch(np.ascontiguousarray(batch.tokens[:1, :width]), batch.mask[:1, :width])
    for with_padding, without in zip(model.features(batch, "mlp_out"), model.features(alone, "mlp_out"), strict=True):
        assert torch.allclose(with_padding[0, :width], without[0], atol=1e-5)


def test_without_the_mask_real_tokens_would_change():
    model, batch = tiny_bert(), padded_batch()
    blind = TokenBatch(batch.tokens)
    masked, unmasked = (list(model.features(b, "resid_post"))[-1] for b in (batch, blind))
    assert not torch.allclose(masked[0, 0], unmasked[0, 0], atol=1e-3)


def test_token_types_switch_after_the_first_separator():
    tokens = np.array([[nli.CLS, 9, 10, nli.SEP, 11, nli.SEP, nli.PAD]])
    assert token_types(tokens, nli.SEP).tolist() == [[0, 0, 0, 0, 1, 1, 1]]


def test_resid_mean_removes_each_tokens_mean_from_features_only():
    kept, batch = tiny_bert(), padded_batch()
    removed = BertResidualModel(kept.network, "tiny", LABELS, nli.SEP, "removed")
    for a, b in zip(removed.features(batch, "resid_post"), kept.features(batch, "resid_post"), strict=True):
        assert torch.allclose(a, b - b.mean(-1, keepdim=True), atol=1e-6)
    with torch.no_grad():
        assert torch.equal(*(m.blocks(m.embed(batch), 0, 3, batch) for m in (kept, removed)))


def test_blocks_are_differentiable_in_h():
    model, batch = tiny_bert(), padded_batch()
    h = model.embed(batch).detach().requires_grad_(True)
    model.head(model.blocks(h, 1, 3, batch), batch).sum().backward()
    assert h.grad is not None and h.grad.abs().sum() > 0


def test_bad_input_is_told():
    model, batch = tiny_bert(), padded_batch()
    with pytest.raises(UserError, match="no features at 'attn_out'; choose mlp_out or resid_post"):
        list(model.features(batch, "attn_out"))
    with pytest.raises(UserError, match="tiny has 3 blocks; those after 2 up to 5"):
        model.blocks(model.embed(batch), 2, 5, batch)
    with pytest.raises(UserError, match="knows token ids 0 to .*another tokenizer"):
        model.embed(TokenBatch(np.full((1, 4), 4000)))
    with pytest.raises(UserError, match="reads at most 32 tokens; the sequences have 40"):
        model.embed(TokenBatch(np.zeros((1, 40), dtype=np.int64)))
    with pytest.raises(UserError, match="has 3 outputs but 2 labels"):
        BertResidualModel(model.network, "tiny", LABELS[:2], nli.SEP)
    with pytest.raises(UserError, match="resid_mean is 'halved'"):
        BertResidualModel(model.network, "tiny", LABELS, nli.SEP, "halved")

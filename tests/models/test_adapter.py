"""The adapter on a tiny network of every family, against transformers' own forward pass."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tiny_families as tiny
import torch

from repdiss_core.base.errors import UserError
from repdiss_core.data.batches import TokenBatch
from repdiss_core.models.adapter import AdapterResidualModel
from repdiss_core.models.load_checks import check_model
from repdiss_core.models.protocol import ResidualModel

T = 12
TOKENS = np.random.default_rng(0).integers(3, tiny.VOCABULARY, (2, T))
BATCH = TokenBatch(TOKENS)


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def network(family):
    return tiny.network_of(family)


@pytest.fixture(scope="module")
def model(network, family):
    return AdapterResidualModel(network, family, n_ctx=tiny.CONTEXT, causal=family in tiny.DECODERS)


def outside(network, tokens=TOKENS, **given):
    """transformers' own account: ([what block 1 reads, the stream after block 1 … L-1], logits)."""
    with torch.no_grad():
        whole = network(torch.from_numpy(tokens), output_hidden_states=True, **given)
    states = list(whole.hidden_states)
    if network.config.model_type == "mamba":  # lists what comes after each block, and nothing before the first
        states = [network.get_input_embeddings()(torch.from_numpy(tokens)), *states]
    return states[: tiny.DEPTH], getattr(whole, "logits", None)


def test_streams_are_those_that_transformers_gives_out(network, model, family):
    assert isinstance(model, ResidualModel) and (model.n_layers, model.d_model, model.vocab_size) == (
        tiny.DEPTH,
        tiny.WIDTH,
        tiny.VOCABULARY,
    )
    ours = list(model.residuals(BATCH, after_embedding=True))
    assert len(ours) == tiny.DEPTH + 1
    torch.testing.assert_close(ours[:-1], outside(network)[0], atol=0, rtol=0)
    assert all(float((a - b).norm() / a.norm()) > 0.01 for a, b in itertools.pairwise(ours))
    torch.testing.assert_close(list(model.residuals(BATCH)), ours[1:], atol=0, rtol=0)
    torch.testing.assert_close(model.embed(BATCH), ours[0], atol=0, rtol=0)
    removed = AdapterResidualModel(network, family, "removed", n_ctx=tiny.CONTEXT, causal=model.causal)
    torch.testing.assert_close(
        list(removed.residuals(BATCH)), [h - h.mean(-1, keepdim=True) for h in ours[1:]], atol=1e-6, rtol=0
    )


def test_every_check_at_load_is_passed(model, family):
    found = {one.name: one.difference for one in check_model(model)}
    assert [name for name, value in found.items() if value is not None and value > 1e-4] == []
    assert (found["causality"] is None) == (family in tiny.ENCODERS) == (found["own logits"] is None)


def test_parts_of_the_network_in_turn_are_the_whole(network, model, family):
    """The blocks in two goes, and the head: the network's own logits, and a gradient through them."""
    h = model.blocks(model.embed(BATCH), 0, 2, BATCH)
    torch.testing.assert_close(h, list(model.residuals(BATCH))[1], atol=0, rtol=0)
    last = model.blocks(h, 2, tiny.DEPTH, BATCH)
    torch.testing.assert_close(last, list(model.residuals(BATCH))[-1], atol=0, rtol=0)
    torch.testing.assert_close(model.blocks(h, 2, 2, BATCH), h, atol=0, rtol=0)
    if family in tiny.DECODERS:
        torch.testing.assert_close(model.head(last, BATCH), outside(network)[1], atol=0, rtol=0)
    else:
        with pytest.raises(UserError, match="has no head that predicts tokens, so that it is compared by its features"):
            model.head(last, BATCH)
    with pytest.raises(UserError, match=r"has 3 blocks; those after 2 up to 4 were asked for"):
        model.blocks(h, 2, 4, BATCH)


@pytest.mark.parametrize("family", tiny.DECODERS, indirect=True, scope="module")
def test_a_stitch_equals_a_full_forward_with_a_replaced_output(network, model, family):
    other = torch.randn(2, T, tiny.WIDTH, generator=torch.Generator().manual_seed(1), requires_grad=True)
    ours = model.head(model.blocks(other, 1, tiny.DEPTH, BATCH), BATCH)
    block = network.get_submodule(model.structure.path)[0]
    handle = block.register_forward_hook(
        lambda _m, _i, output: (other, *output[1:]) if isinstance(output, tuple) else other
    )
    theirs = network(torch.from_numpy(TOKENS)).logits
    handle.remove()
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)
    gradients = [torch.autograd.grad(logits.logsumexp(-1).sum(), other)[0] for logits in (ours, theirs)]
    assert gradients[0].abs().sum() > 0
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_padded_batch_is_each_text_alone(model, side):
    length, mask = 7, np.ones((2, T), dtype=bool)
    tokens = TOKENS.copy()
    outer = slice(length, T) if side == "right" else slice(0, T - length)
    inner = slice(0, length) if side == "right" else slice(T - length, T)
    tokens[1, outer], mask[1, outer] = 0, False
    both = list(model.residuals(TokenBatch(tokens, mask)))
    for row, at in ((0, slice(0, T)), (1, inner)):
        for h, alone in zip(both, model.residuals(TokenBatch(tokens[row : row + 1, at])), strict=True):
            torch.testing.assert_close(h[row : row + 1, at], alone, atol=1e-4, rtol=1e-3)

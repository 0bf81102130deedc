"""phi, its closed form and the loss behind the head, against numpy and against plain autograd."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from repdiss_core.base.comparison import Comparison, DataId, ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.data.batches import TokenBatch
from repdiss_core.measures import stitching
from repdiss_core.measures.stitch_settings import (
    StitchSettings,
    identity_comparison,
    phi_data_of,
    settings_of,
    stitch_comparison,
)
from repdiss_core.measures.stitching import AffineFit, StitchingLayer, closed_form_phi, head_gradient, sequence_losses

PAPER = StitchSettings()
F_ID, G_ID = ModelId("f", "1"), ModelId("g", "2")
EVAL, PHI = DataId("d", "eval", "e", 8, 128, 1), DataId("d", "phi", "p", 4, 64, 2)


class LinearHead:
    """A head of a LayerNorm and a matrix."""

    def __init__(self, d: int = 6, vocab_size: int = 11) -> None:
        self.vocab_size = vocab_size
        self.weight = torch.randn(vocab_size, d, generator=torch.Generator().manual_seed(0))

    def head(self, h, batch):
        return F.linear(F.layer_norm(h, h.shape[-1:]), self.weight)


def batch_and_h(mask: bool = False):
    rng = np.random.default_rng(0)
    lengths = np.array([9, 5, 7, 2, 9])
    batch = TokenBatch(rng.integers(0, 11, (5, 9)), np.arange(9) < lengths[:, None] if mask else None)
    return batch, torch.from_numpy(rng.normal(size=(5, 9, 6)).astype(np.float32))


def test_the_identity_start_is_a_layer_norm():
    x = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0)) * 7 + 2
    torch.testing.assert_close(StitchingLayer(8, 8)(x), F.layer_norm(x, (8,)))
    assert StitchingLayer(8, 12)(x).shape == (3, 5, 12)
    assert StitchingLayer(8, 8)(x.bfloat16()).dtype is torch.bfloat16


def test_the_closed_form_is_numpys_least_squares():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(400, 7)) * 3 + 1, rng.normal(size=(400, 5))
    y = np.tanh(x @ rng.normal(size=(7, 5))) + noise
    normed = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    rows = np.concatenate([normed, np.ones((400, 1))], axis=1)
    wanted = rows @ np.linalg.lstsq(rows, y, rcond=1e-10)[0]
    phi = closed_form_phi(torch.from_numpy(x).float(), torch.from_numpy(y).float())
    np.testing.assert_allclose(phi(torch.from_numpy(x).float()).detach().numpy(), wanted, atol=2e-5)


def test_a_fit_in_parts_equals_the_fit_of_all():
    x, y = (
        torch.randn(90, 6, generator=torch.Generator().manual_seed(1)),
        torch.randn(90, 6, generator=torch.Generator().manual_seed(2)),
    )
    fit = AffineFit(6, 6)
    for part in range(0, 90, 30):
        fit.add(x[part : part + 30], y[part : part + 30])
    torch.testing.assert_close(fit.phi().affine.weight, closed_form_phi(x, y).affine.weight)
    assert fit.n_tokens == 90


def test_the_closed_form_refuses_too_few_tokens_and_nan():
    with pytest.raises(UserError, match="given 7 tokens for 7 unknowns"):
        closed_form_phi(torch.randn(7, 6), torch.randn(7, 6))
    with pytest.raises(UserError, match="NaN or infinite"):
        closed_form_phi(torch.full((30, 6), float("nan")), torch.randn(30, 6))


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("at_once", [1, 11 * 9 * 2, 10**9])
def test_the_gradient_behind_the_head_is_autograds(mask, at_once, monkeypatch):
    """Whatever number of sequences is taken at once."""
    monkeypatch.setitem(stitching.LOGITS_AT_ONCE, "cpu", at_once)
    model, (batch, h) = LinearHead(), batch_and_h(mask)
    leaf = h.clone().requires_grad_(True)
    tokens = torch.as_tensor(batch.tokens)[:, 1:].clone()
    if mask:
        tokens[~torch.as_tensor(batch.mask)[:, 1:]] = -100
    wanted = F.cross_entropy(model.head(leaf, batch)[:, :-1].flatten(0, 1), tokens.flatten())
    wanted.backward()
    loss, gradient = head_gradient(model, h, batch)
    assert loss == pytest.approx(wanted.item(), abs=1e-6)
    torch.testing.assert_close(gradient, leaf.grad, atol=1e-7, rtol=1e-5)
    by_sequence = F.cross_entropy(model.head(h, batch)[:, :-1].transpose(1, 2), tokens, reduction="none").sum(1) / (
        tokens >= 0
    ).sum(1)
    torch.testing.assert_close(sequence_losses(model, h, batch).float(), by_sequence)


def test_a_batch_without_targets_is_refused():
    batch, h = batch_and_h()
    empty = TokenBatch(batch.tokens, np.zeros((5, 9), dtype=bool))
    with pytest.raises(UserError, match="no token to predict"):
        head_gradient(LinearHead(), h, empty)


def test_settings_survive_the_comparison():
    settings = StitchSettings(init="least_squares", steps=7, warmup_steps=2, lr=0.1, nesterov=False, fit_batches=3)
    comparison = stitch_comparison(F_ID, G_ID, EVAL, 1, 2, settings, PHI)
    back = Comparison.from_dict(comparison.to_dict())
    assert settings_of(back) == settings and phi_data_of(back) == PHI and back.layer_pair == (1, 2)
    assert back.key == comparison.key != stitch_comparison(F_ID, G_ID, EVAL, 1, 2, PAPER, PHI).key
    assert (
        stitch_comparison(F_ID, G_ID, EVAL, 1, 2, StitchSettings(lr=1), PHI).key
        == stitch_comparison(F_ID, G_ID, EVAL, 1, 2, PAPER, PHI).key
    )


def test_every_setting_and_every_training_token_changes_the_key():
    base = stitch_comparison(F_ID, G_ID, EVAL, 1, 1, PAPER, PHI)
    others = {"init": "least_squares", "steps": 9999, "warmup_steps": 3, "lr": 0.3, "momentum": 0.5, "nesterov": False,
              "weight_decay": 0.0, "clip": 2.0, "fit_batches": 5}  # fmt: skip
    keys = {
        stitch_comparison(F_ID, G_ID, EVAL, 1, 1, dataclasses.replace(PAPER, **{n: v}), PHI).key
        for n, v in others.items()
    }
    phis = {"split": "x", "content": "x", "sequences_per_batch": 1, "tokens_per_sequence": 9, "seed": 7}
    keys |= {
        stitch_comparison(F_ID, G_ID, EVAL, 1, 1, PAPER, dataclasses.replace(PHI, **{n: v})).key
        for n, v in phis.items()
    }
    assert len(keys | {base.key}) == len(others) + len(phis) + 1
    assert identity_comparison(F_ID, G_ID, EVAL, 1, 1).measure == "identity_stitching"


def test_the_default_is_the_papers_reference():
    assert (PAPER.init, PAPER.steps, PAPER.warmup_steps, PAPER.lr) == ("identity", 2000, 200, 1.0)
    rates = [PAPER.rate(step) for step in range(2000)]
    assert rates[0] == 1 / 200 and rates[199] == rates[200] == 1.0 and rates[1999] == pytest.approx(1 / 1800)
    assert StitchSettings(steps=5, warmup_steps=0).rate(0) == 1.0


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"init": "random"}, "start of a stitching layer is 'random'; expected one of identity, least_squares"),
        ({"schedule": "cosine"}, "schedule is 'cosine'"),
        ({"steps": 0}, "0 steps with 200 warm-up steps; expected at least 1 step"),
        ({"warmup_steps": 2000}, "fewer warm-up steps than steps"),
        ({"lr": 0.0}, "expected lr and clip above 0"),
        ({"momentum": 1.0}, "momentum from 0 to below 1"),
        ({"momentum": 0.0}, "Nesterov momentum needs a momentum above 0"),
        ({"fit_batches": 0}, "got 0 batches to fit on"),
    ],
)
def test_bad_settings_are_told(bad, sentence):
    with pytest.raises(UserError, match=sentence):
        StitchSettings(**bad)


def test_a_comparison_without_training_data_is_told():
    with pytest.raises(UserError, match="phi_split, phi_content"):
        phi_data_of(identity_comparison(F_ID, G_ID, EVAL, 1, 1))

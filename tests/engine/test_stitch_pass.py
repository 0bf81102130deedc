"""The stitch pass against plain loops, against itself interrupted, and on bad input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from repdiss_core.base.comparison import ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.engine import stitch_pass
from repdiss_core.engine.checkpoint import CheckpointDir
from repdiss_core.engine.stitch_pass import batch_of_step, residuals_at
from repdiss_core.engine.stitch_state import StitchState, block_means
from repdiss_core.measures.stitch_settings import identity_comparison
from repdiss_core.measures.stitching import closed_form_phi
from tests.engine.stitch_harness import EVAL, PHI, SETTINGS, Harness, pairs_of, same
from tests.engine.tiny_models import VOCAB, TinyModel, stream, trained


@pytest.fixture(scope="module")
def models() -> tuple[TinyModel, TinyModel]:
    data = stream("training", 20)
    return trained(TinyModel("f", seed=1), data), trained(TinyModel("g", seed=2), data)


def plain_loss(logits, batch) -> np.ndarray:
    targets = torch.as_tensor(batch.tokens)[:, 1:]
    return F.cross_entropy(logits[:, :-1].transpose(1, 2).double(), targets, reduction="none").mean(1).numpy()


def test_own_losses_are_those_of_a_plain_forward(models, tmp_path):
    f, g = models
    result = Harness(tmp_path).run(pairs_of([(1, 2)]), f, g)[(1, 2)]
    for loss, model in ((result.loss_f, f), (result.loss_g, g)):
        wanted = np.concatenate([plain_loss(model.logits(EVAL.batch(i)), EVAL.batch(i)) for i in range(5)])
        np.testing.assert_allclose(loss, wanted, atol=1e-6)
    assert result.loss.shape == (20,) and result.complete


def test_training_equals_a_plain_torch_loop(models, tmp_path):
    """An independent loop: one backward through the whole stitched model with torch's own loss and optimiser."""
    f, g = models
    result = Harness(tmp_path).run(pairs_of([(1, 2)], dataclasses.replace(SETTINGS, weight_decay=0.5)), f, g)[(1, 2)]
    xs, ys = [torch.cat([residuals_at(m, PHI.batch(i), {at})[at] for i in range(6)]) for m, at in ((f, 1), (g, 2))]
    phi = closed_form_phi(xs, ys)
    optimizer = torch.optim.SGD(phi.parameters(), lr=1.0, momentum=0.9, nesterov=True)
    start = [p.detach().clone() for p in phi.parameters()]
    losses = []
    for step in range(12):
        batch = PHI.batch(batch_of_step(step, 7, PHI.data_id.seed))
        logits = g.head(g.blocks(phi(f.blocks(f.embed(batch), 0, 1, batch)), 2, 3, batch), batch)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), torch.as_tensor(batch.tokens)[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(phi.parameters(), 1.0)
        for parameter, origin in zip(phi.parameters(), start, strict=True):
            parameter.grad += 0.5 * (parameter.detach() - origin)
        optimizer.param_groups[0]["lr"] = 0.2 * ((step + 1) / 3 if step < 3 else (12 - step) / 9)
        optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(result.train_loss, losses, atol=2e-6)
    batch = EVAL.batch(0)
    with torch.no_grad():
        stitched = g.head(g.blocks(phi(f.blocks(f.embed(batch), 0, 1, batch)), 2, 3, batch), batch)
    np.testing.assert_allclose(result.loss[:4], plain_loss(stitched, batch), atol=1e-5)


def test_gradient_reaches_phi_only(models, tmp_path):
    f, g = models
    before = [p.clone() for m in models for p in m.parameters()]
    for m in models:
        m.requires_grad_(True)
    try:
        Harness(tmp_path).run(pairs_of([(1, 1), (2, 2)]), f, g)
    finally:
        for m in models:
            m.requires_grad_(False)
    after = [p for m in models for p in m.parameters()]
    assert all(p.grad is None for p in after)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_phi_in_a_group_equals_one_alone(models, tmp_path):
    f, g = models
    pairs = [(0, 1), (1, 1), (2, 0), (3, 3)]
    group = Harness(tmp_path / "group").run(pairs_of(pairs), f, g)
    for pair in pairs:
        alone = Harness(tmp_path / f"{pair}").run(pairs_of([pair]), f, g)
        assert same(group[pair], alone[pair]), pair


@pytest.mark.parametrize("stop_after", [3, 9, 13, 17, 20])
def test_resuming_gives_the_numbers_of_an_undisturbed_run(models, tmp_path, stop_after):
    """Stopped in the fit (3), in training (9, 13), at its end (17) and in the evaluation (20)."""
    f, g = models
    whole = Harness(tmp_path / "whole").run(pairs_of([(1, 1), (2, 3)]), f, g)
    first = Harness(tmp_path / "parts", stop_after)
    assert first.run(pairs_of([(1, 1), (2, 3)]), f, g) == {}
    assert stop_after == 3 or all(r.loss.size == 0 and not r.complete for r in first.partial)
    second = Harness(tmp_path / "parts")
    parts = second.run(pairs_of([(1, 1), (2, 3)]), f, g)
    assert all(same(whole[pair], parts[pair]) for pair in whole)
    assert second.questions == (23 if stop_after < 6 else 22 - stop_after)  # 6 fits, 12 steps, 5 evaluations


def test_another_selection_of_layers_resumes_too(models, tmp_path):
    f, g = models
    Harness(tmp_path, 12).run(pairs_of([(1, 1)]), f, g)
    both = Harness(tmp_path).run(pairs_of([(1, 1), (2, 2)]), f, g)
    whole = Harness(tmp_path / "whole").run(pairs_of([(1, 1), (2, 2)]), f, g)
    assert all(same(whole[pair], both[pair]) for pair in whole)


def test_more_evaluation_batches_need_no_training(models, tmp_path, monkeypatch):
    f, g = models
    few = Harness(tmp_path).run(pairs_of([(1, 1)]), f, g, n_eval=2)[(1, 1)]
    monkeypatch.setattr(StitchState, "train_step", lambda *a: pytest.fail("trained again"))
    more = Harness(tmp_path).run(pairs_of([(1, 1)]), f, g, n_eval=5)[(1, 1)]
    assert more.loss.shape == (20,) and np.array_equal(few.loss, more.loss[:8])
    assert few.loss.shape == (8,) and np.array_equal(few.train_loss, more.train_loss)


def test_a_damaged_checkpoint_is_reported_and_the_result_is_the_same(models, tmp_path):
    f, g = models
    wanted = pairs_of([(1, 1)])
    whole = Harness(tmp_path / "whole").run(wanted, f, g)
    Harness(tmp_path / "parts", 10).run(wanted, f, g)
    file = CheckpointDir(tmp_path / "parts", print).file(wanted[0].key)
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    again = Harness(tmp_path / "parts")
    assert same(whole[(1, 1)], again.run(wanted, f, g)[(1, 1)])
    assert len(again.reports) == 1 and "damaged" in again.reports[0]


def test_a_checkpoint_that_does_not_fit_is_reported(models, tmp_path):
    f, g = models
    wanted = pairs_of([(1, 1)])
    harness = Harness(tmp_path)
    for plain in ({"sizes": {}, "has_phi": True, "training_version": 2}, {"training_version": 1}):
        harness.checkpoints.save(wanted[0].key, {"curve": np.zeros(3)}, plain)
        assert harness.run(wanted, f, g)[(1, 1)].steps_done == 12
        assert "does not fit" in harness.reports.pop()


def test_training_lowers_the_loss_of_a_model_stitched_into_itself(models, tmp_path):
    f, _ = models
    settings = dataclasses.replace(SETTINGS, init="identity", steps=120, warmup_steps=12, lr=0.5)
    result = Harness(tmp_path).run(pairs_of([(1, 1)], settings), f, f)[(1, 1)]
    assert result.train_loss[-10:].mean() < result.train_loss[:3].mean() - 0.05
    assert np.array_equal(result.loss_f, result.loss_g)
    assert abs(result.penalty.mean()) < 0.1


def test_the_closed_form_is_near_the_models_own_loss_where_f_is_g(models, tmp_path):
    """At m = L the final LayerNorm undoes what phi's LayerNorm did: both are affine in LN(x)."""
    f, _ = models
    result = Harness(tmp_path).run(pairs_of([(3, 3)]), f, f)[(3, 3)]
    assert abs((result.loss_closed_form - result.loss_f).mean()) < 0.05


def test_only_needed_blocks_run(models, tmp_path):
    """f's part runs once a phi batch for all stitches and epochs; g's below the stitch only in the fit."""
    f, g = models
    f.calls = g.calls = 0
    Harness(tmp_path).run(pairs_of([(1, 2), (2, 2)]), f, g)
    assert f.calls == 7 * 2 + 5 * 3
    assert g.calls == 6 * 2 + 12 * 2 * 1 + 5 * (3 + 2 * 2 * 1)


def test_identity_stitching_a_model_into_itself_costs_exactly_nothing(models, tmp_path):
    f, _ = models
    wanted = [identity_comparison(ModelId("f", "a"), ModelId("f", "a"), EVAL.data_id, cut, cut) for cut in range(4)]
    results = Harness(tmp_path).identity(wanted, f, f)
    assert len(results) == 4 and all((r.penalty == 0).all() and r.complete for r in results.values())


def test_identity_stitching_two_models_equals_a_plain_forward_and_resumes(models, tmp_path):
    f, g = models
    wanted = [identity_comparison(ModelId("f", "a"), ModelId("g", "b"), EVAL.data_id, 1, 2)]
    assert Harness(tmp_path, 2).identity(wanted, f, g) == {}
    result = Harness(tmp_path).identity(wanted, f, g)[(1, 2)]
    batch = EVAL.batch(4)
    logits = g.head(g.blocks(f.blocks(f.embed(batch), 0, 1, batch), 2, 3, batch), batch)
    np.testing.assert_allclose(result.loss[-4:], plain_loss(logits, batch), atol=1e-6)
    assert result.loss_closed_form.size == 0 and (result.penalty > 0).any()


def test_widths_may_differ_from_the_least_squares_start(models, tmp_path):
    f, _ = models
    g = TinyModel("wide", d_model=24, seed=3).requires_grad_(False)
    result = Harness(tmp_path).run(pairs_of([(2, 1)]), f, g)[(2, 1)]
    assert result.complete and np.isfinite(result.loss).all()


def test_a_loss_that_is_not_finite_ends_one_phi_and_keeps_the_others(models, tmp_path, monkeypatch):
    f, g = models
    honest = StitchState.train_step

    def breaking(self, g, residual, batch):
        broken = self.layer_f == 2 and self.step == 4
        return honest(self, g, residual * float("nan") if broken else residual, batch)

    monkeypatch.setattr(StitchState, "train_step", breaking)
    harness = Harness(tmp_path)
    with pytest.raises(UserError, match=r"phi 2:2 .* not finite at step 5 of 12 with lr 0\.2.*try lr 0\.1"):
        harness.run(pairs_of([(1, 1), (2, 2)]), f, g)
    assert list(harness.results) == [(1, 1)]
    failed = [r for r in harness.partial if r.layer_f == 2][-1]
    assert failed.steps_done == 4 and "not finite" in failed.provenance["failed"] and not failed.complete


def test_provenance_counts_tokens_and_epochs(models, tmp_path):
    f, g = models
    provenance = Harness(tmp_path).run(pairs_of([(1, 1)]), f, g)[(1, 1)].provenance
    assert provenance["phi_tokens_seen"] == 12 * 48 and provenance["phi_epochs"] == 12 / 7
    assert provenance["closed_form_tokens"] == 6 * 48 and provenance["settings"]["lr"] == 0.2


def test_every_epoch_goes_through_all_batches_in_another_order():
    epochs = [[batch_of_step(7 * e + k, 7, 3) for k in range(7)] for e in range(3)]
    assert all(sorted(order) == list(range(7)) for order in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("n", [0, 1, 399, 400, 401, 2000])
def test_learning_curves_are_means_over_blocks(n):
    curve = np.random.default_rng(0).normal(size=n)
    step, loss = block_means(curve)
    assert len(step) == len(loss) <= 400
    if n:
        lengths = np.diff(np.concatenate([[0], step]))
        assert step[-1] == n and np.isclose((loss * lengths).sum(), curve.sum())


def test_work_is_saved_while_training_goes_on(models, tmp_path, monkeypatch):
    """With the interval at 0 every batch is followed by a checkpoint and a partial result with the curve so far."""
    monkeypatch.setattr(stitch_pass, "SAVE_SECONDS", 0.0)
    harness = Harness(tmp_path)
    result = harness.run(pairs_of([(1, 1)]), *models)[(1, 1)]
    training = [r for r in harness.partial if 0 < r.steps_done < 12]
    assert [r.steps_done for r in training] == list(range(1, 12))
    assert all(r.loss.size == 0 and np.array_equal(r.train_loss, result.train_loss[: r.steps_done]) for r in training)
    assert stitch_pass.SAVE_SECONDS < 5 and len(list(tmp_path.iterdir())) == 1


def test_a_stitch_equals_the_bridges_own_forward_with_the_hook_replaced(tmp_path):
    """transformer_lens runs both models whole; its hook puts f's residual in place of g's."""
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    from repdiss_core.models.hooked import HookedResidualModel

    sizes = {"d_model": 16, "n_layers": 3, "n_heads": 2, "d_head": 8, "d_mlp": 32, "n_ctx": 12, "d_vocab": VOCAB}
    kinds = {"normalization_type": "LN", "positional_embedding_type": "rotary", "rotary_dim": 4}
    f, g = (
        HookedResidualModel(
            TransformerBridge.boot_native(TransformerBridgeConfig(**sizes, **kinds, act_fn=act, seed=1)), act
        )
        for act in ("gelu", "solu_ln")
    )
    wanted = [identity_comparison(ModelId("f", "a"), ModelId("g", "b"), EVAL.data_id, 1, 2)]
    result = Harness(tmp_path).identity(wanted, f, g)[(1, 2)]
    batch, kept = EVAL.batch(0), {}
    tokens = torch.as_tensor(batch.tokens)
    f.bridge.run_with_hooks(tokens, fwd_hooks=[("blocks.0.hook_out", lambda h, hook: kept.update(h=h))])
    logits = g.bridge.run_with_hooks(tokens, fwd_hooks=[("blocks.1.hook_out", lambda h, hook: kept["h"])])
    np.testing.assert_allclose(result.loss[:4], plain_loss(logits, batch), atol=1e-5)
    np.testing.assert_allclose(result.loss_g[:4], plain_loss(g.bridge(tokens), batch), atol=1e-5)

"""The stitch pass against plain loops, against itself interrupted, and on bad input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from repdiss_core.comparison import ModelId
from repdiss_core.engine.checkpoint import CheckpointDir
from repdiss_core.engine.stitch_pass import batch_of_step, residuals_at, run_identity_stitches, run_stitches
from repdiss_core.engine.stitch_state import StitchState, block_means
from repdiss_core.errors import UserError
from repdiss_core.measures.stitch_settings import StitchSettings, identity_comparison, stitch_comparison
from repdiss_core.measures.stitching import closed_form_phi
from tests.engine.tiny_models import TinyModel, comparisons, stream, trained

SETTINGS = StitchSettings(init="least_squares", steps=12, warmup_steps=3, lr=0.2, fit_batches=6)
EVAL, PHI = stream("eval", 5), stream("phi", 7)


@pytest.fixture(scope="module")
def models() -> tuple[TinyModel, TinyModel]:
    data = stream("training", 20)
    return trained(TinyModel("f", seed=1), data), trained(TinyModel("g", seed=2), data)


class Harness:
    """Runs a pass and keeps what it stored, said and reported."""

    def __init__(self, folder, stop_after: int = 10**9) -> None:
        self.results, self.partial, self.messages, self.reports = {}, [], [], []
        self.checkpoints = CheckpointDir(folder, self.reports.append)
        self.questions, self.stop_after = 0, stop_after

    def store(self, comparison, result) -> None:
        (self.results if result.complete else {}).update({comparison.layer_pair: result})
        self.partial.append(result)

    def stop(self) -> bool:
        self.questions += 1
        return self.questions > self.stop_after

    def run(self, wanted, f, g, n_eval=5, evaluation=EVAL, phi=PHI, **more):
        run_stitches(wanted, f, g, evaluation, phi, n_eval, self.store, self.checkpoints, lambda *a: self.messages.append(a), self.stop, **more)
        return self.results

    def identity(self, wanted, f, g, n_eval=5):
        run_identity_stitches(wanted, f, g, EVAL, n_eval, self.store, self.checkpoints, lambda *a: self.messages.append(a), self.stop)
        return self.results


def pairs_of(pairs, settings=SETTINGS, evaluation=EVAL, phi=PHI):
    return comparisons(pairs, settings, evaluation.data_id, phi.data_id)


def same(one, other) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in one.ARRAYS) and one.steps_done == other.steps_done


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
    """f's part runs once a phi batch for all stitches, whatever the number of epochs; g's below the stitch only in the fit."""
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


def test_layers_out_of_range_are_named(models, tmp_path):
    with pytest.raises(UserError, match=r"Layer 4 of f = f does not exist; expected a layer from 0 .* to 3"):
        Harness(tmp_path).run(pairs_of([(4, 1)]), *models)
    bad = [dataclasses.replace(pairs_of([(1, 1)])[0], layer_pairs="all")]
    with pytest.raises(UserError, match="layer pair of a stitch is 'all'"):
        Harness(tmp_path).run(bad, *models)


def test_different_tokenizers_are_refused(models, tmp_path):
    with pytest.raises(UserError, match="different tokenizers"):
        Harness(tmp_path).run(pairs_of([(1, 1)]), *models, tokenizers=("one", "two"))
    with pytest.raises(UserError, match=r"different tokenizers \(vocabularies of 17 and 19\)"):
        Harness(tmp_path).run(pairs_of([(1, 1)]), models[0], TinyModel(vocab_size=19))


def test_different_widths_are_refused_where_phi_cannot_bridge_them(models, tmp_path):
    wide = TinyModel("wide", d_model=24)
    with pytest.raises(UserError, match="identity start needs residual streams of equal width.*16.*24"):
        Harness(tmp_path).run(pairs_of([(1, 1)], dataclasses.replace(SETTINGS, init="identity")), models[0], wide)
    with pytest.raises(UserError, match="Identity stitching needs residual streams of equal width"):
        Harness(tmp_path).identity([identity_comparison(ModelId("f", ""), ModelId("g", ""), EVAL.data_id, 1, 1)], models[0], wide)


def test_training_and_evaluation_tokens_must_differ(models, tmp_path):
    for twin in (EVAL, stream("eval", 3, seed=5)):
        with pytest.raises(UserError, match="hold the same tokens; choose another split"):
            Harness(tmp_path).run(pairs_of([(1, 1)], phi=twin), *models, phi=twin)


def test_streams_must_be_those_of_the_comparison(models, tmp_path):
    with pytest.raises(UserError, match="names phi_content = 'content-phi-0' but the stream .* 'content-phi-9'"):
        Harness(tmp_path).run(pairs_of([(1, 1)]), *models, phi=stream("phi", 7, seed=9))
    with pytest.raises(UserError, match="the evaluation stream is"):
        Harness(tmp_path).run(pairs_of([(1, 1)]), *models, evaluation=stream("eval", 5, seed=4))
    with pytest.raises(UserError, match="asked for 6 evaluation batches of cycle/eval; expected 1 to 5"):
        Harness(tmp_path).run(pairs_of([(1, 1)]), *models, n_eval=6)


def test_one_pass_has_one_setting(models, tmp_path):
    mixed = pairs_of([(1, 1)]) + pairs_of([(2, 2)], dataclasses.replace(SETTINGS, lr=0.1))
    with pytest.raises(UserError, match="differ in more than their layers"):
        Harness(tmp_path).run(mixed, *models)
    with pytest.raises(UserError, match="got no comparison"):
        Harness(tmp_path).run([], *models)


def test_too_few_tokens_for_the_closed_form(models, tmp_path):
    small = stream("phi", 1, n_tokens=4)
    wanted = [stitch_comparison(ModelId("f", "a"), ModelId("g", "b"), EVAL.data_id, 1, 1, SETTINGS, small.data_id)]
    with pytest.raises(UserError, match="given 16 tokens for 17 unknowns an output"):
        Harness(tmp_path).run(wanted, *models, phi=small)

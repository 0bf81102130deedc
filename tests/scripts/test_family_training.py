"""The family's recipe, its faster training step, resumption after a kill, and a small run of the real thing."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from safetensors.torch import load_file

from repdiss_core import bundled
from repdiss_core.bundled import family
from repdiss_core.bundled.family.recipe import FAMILY_MEMBERS, FamilyMember, NeoxArchitecture, NeoxRecipe
from repdiss_core.models.mini_neox import fast_logits, new_model, training_loss
from repdiss_core.scripts.train import family as train
from repdiss_core.scripts.train.family_steps import MemberTraining
from repdiss_core.scripts.train.segments import Corpus

SHAPE = NeoxArchitecture(2, 16, d_head=8, n_ctx=16, vocab_size=17)
TOY = FamilyMember("mini-neox-2l16-h8-s0", SHAPE, 7, "regular", (20,))
RECIPE = NeoxRecipe(
    steps=60,
    learning_rate=1e-2,
    sequences_per_batch=4,
    tokens_per_sequence=16,
    curve_steps=20,
    curve_sequences=64,
    checkpoint_seconds=0.0,
)


class KilledError(Exception):
    """Stands for kill -9: raised in the middle of a step's report."""


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    jumps = np.where(rng.random(12_000) < 0.1, rng.integers(0, 17, 12_000), 3)
    row = (np.cumsum(jumps) % 17).astype(np.uint16)
    return Corpus(row[:10_000], row[10_000:])


def _silent(*_: object) -> None:
    return None


def _kill_at(step: int):
    def report(_name: str, done: int, *_: object) -> None:
        if done == step:
            raise KilledError

    return report


def test_a_killed_training_resumes_to_the_same_weights(corpus, tmp_path):
    torch.set_num_threads(1)
    whole = MemberTraining(TOY, RECIPE, corpus, tmp_path / "whole", _silent)
    curve = whole.run().curve
    for step in (13, 41):
        with pytest.raises(KilledError):
            MemberTraining(TOY, RECIPE, corpus, tmp_path / "killed", _kill_at(step)).run()
    resumed = MemberTraining(TOY, RECIPE, corpus, tmp_path / "killed", _silent)
    assert [p["eval"] for p in resumed.run().curve] == [p["eval"] for p in curve]
    for step in (20, 60):
        a, b = (dict(t.model_at(step)[0].named_parameters()) for t in (whole, resumed))
        assert all(torch.equal(a[name], b[name]) for name in a)
    assert curve[-1]["eval"] < math.log(17) - 0.5
    assert sorted(p.name for p in (tmp_path / "killed").iterdir()) == [
        "step-000020.safetensors",
        "step-000060.safetensors",
    ]


@pytest.mark.parametrize("shape", [NeoxArchitecture(2, 64), NeoxArchitecture(3, 32, d_head=8)])
def test_the_fast_step_has_the_loss_and_the_gradients_of_transformers(shape):
    model = new_model(shape, 3)
    tokens = torch.randint(0, shape.vocab_size, (2, 24), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    logits = model(tokens).logits
    torch.testing.assert_close(fast_logits(model, tokens), logits, atol=1e-5, rtol=0)
    plain = F.cross_entropy(logits[:, :-1].reshape(-1, shape.vocab_size), tokens[:, 1:].reshape(-1))
    wanted = torch.autograd.grad(plain, list(model.parameters()))
    fast = training_loss(model, tokens)
    torch.testing.assert_close(fast, plain)
    for ours, theirs in zip(torch.autograd.grad(2.0 * fast, list(model.parameters())), wanted, strict=True):
        torch.testing.assert_close(ours, 2.0 * theirs, atol=1e-5, rtol=1e-4)


def test_the_recipe_warms_up_and_falls_to_a_tenth():
    recipe = NeoxRecipe()
    wide, narrow = NeoxArchitecture(6, 160), NeoxArchitecture(2, 64)
    rates = [recipe.rate(wide, step) for step in range(recipe.steps)]
    assert max(rates) == pytest.approx(2.5e-3) and int(np.argmax(rates)) in (199, 200)
    assert rates[0] == pytest.approx(2.5e-3 / 200) and rates[-1] == pytest.approx(2.5e-4, rel=1e-3)
    assert (np.diff(rates[200:]) <= 0).all()
    assert recipe.peak_rate(narrow) == 4e-3 and recipe.peak_rate(NeoxArchitecture(3, 96)) == 3e-3
    assert recipe.steps * recipe.tokens_per_step == 4_096_000


def test_no_two_members_share_a_seed_and_first_weights_follow_from_it():
    seeds = [m.seed for m in FAMILY_MEMBERS.values()]
    assert len(set(seeds)) == len(seeds) == 12
    assert {(m.architecture.n_layers, m.architecture.d_model) for m in FAMILY_MEMBERS.values()} == {
        (2, 64),
        (3, 96),
        (4, 128),
        (6, 160),
        (8, 192),
    }
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, again, other = (new_model(SHAPE, seed).lm_head.weight for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.rand(1), expected)


def test_the_whole_plan_fits_into_45_mb():
    sizes = [
        sum(p.numel() for p in new_model(m.architecture, 0).parameters()) * 2 * (1 + len(m.shipped_steps))
        for m in FAMILY_MEMBERS.values()
    ]
    assert sum(sizes) < 44.8e6  # the rest is for the files' headers and the facts


def test_a_small_run_ships_weights_with_their_facts(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "SMALL", dataclasses.replace(train.SMALL, steps=12, curve_steps=6))
    result = CliRunner().invoke(train.main, ["--small", "--into", str(tmp_path)])
    assert result.exit_code == 0, result.output
    (path,) = (tmp_path / "weights").iterdir()
    facts = json.loads((tmp_path / "facts.json").read_text())
    told = facts["models"][path.stem]
    assert told["weights"] == bundled.file_hash(path) and told["tokens_seen"] == 12 * 1024
    tensors = load_file(path)
    assert {t.dtype for t in tensors.values()} == {torch.float16} and sum(t.numel() for t in tensors.values()) == told[
        "n_parameters"
    ]
    assert (
        told["loss_curve"][-1]["eval"] < math.log(2048)
        and abs(told["loss_curve"][-1]["eval"] - told["validation_loss"]) < 0.2
    )
    assert facts["versions"]["torch"] and len(facts["data"]["content"]["train"]) == 64
    again = CliRunner().invoke(train.main, ["--small", "--into", str(tmp_path)])
    assert again.exit_code == 0 and again.output == ""


def test_a_small_run_and_unknown_members_are_refused():
    result = CliRunner().invoke(train.main, ["--small"])
    assert result.exit_code == 2 and "would overwrite the family that ships" in result.output
    result = CliRunner().invoke(train.main, ["--models", "mini-neox-9l"])
    assert result.exit_code == 2 and "mini-neox-9l" in result.output


def test_what_ships_agrees_with_its_facts():
    """Every shipped file has its hash, recipe and data in the facts file, and all together stay within 45 MB."""
    files = sorted(family.WEIGHTS_FOLDER.glob("*.safetensors"))
    if not files:
        pytest.skip("no member of the family ships")
    known = family.facts()
    assert known["data"]["content"]["eval"] == bundled.facts()["data"]["docstrings"]["splits"]["eval"]["content"]
    for path in files:
        told = known["models"][path.stem]
        assert told["weights"] == bundled.file_hash(path)
        member = FAMILY_MEMBERS[told["checkpoint_of"] or path.stem]
        assert told["seed"] == member.seed and told["architecture"] == dataclasses.asdict(member.architecture)
        assert told["validation_loss"] < bundled.facts()["data"]["docstrings"]["baselines"]["unigram"]
    assert sum(path.stat().st_size for path in files) <= 45e6

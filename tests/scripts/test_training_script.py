"""The training script on made-up tokens, its resumption after a kill, and a small run of the real thing."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from repdiss_core import bundled
from repdiss_core.bundled.recipe import BUNDLED_MODELS, Architecture, BundledModel, Recipe
from repdiss_core.models.mini_gpt import fast_logits, mean_loss, new_model
from repdiss_core.scripts.train import checkpoints, export
from repdiss_core.scripts.train import gpt as train
from repdiss_core.scripts.train.prepare import unigram_bigram
from repdiss_core.scripts.train.segments import Corpus, Training

RECIPE = Recipe(
    constant_tokens=80 * 64, decay_tokens=20 * 64, warmup_steps=5, sequences_per_batch=4, tokens_per_sequence=16,
    checkpoint_steps=10, curve_steps=10, curve_sequences=1000, final_sequences=None,
)  # fmt: skip
ARCHITECTURE = Architecture(
    1, "solu_ln", d_model=16, n_heads=2, d_head=8, d_mlp=32, rotary_dim=4, n_ctx=16, vocab_size=17
)
TOY = BundledModel("mini-solu-1l-s0", ARCHITECTURE, 7)


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


def _weights(training: Training, start: int) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in training.final_model(start).named_parameters()}


def test_a_killed_training_resumes_to_the_same_weights(corpus: Corpus, tmp_path: Path):
    torch.set_num_threads(1)
    whole = Training(TOY, RECIPE, corpus, tmp_path / "whole", _silent)
    whole.constant()
    loss = whole.decayed_loss(60)
    kills = [33, 57, 71]  # two in the constant part, one in the decay

    def report(segment: str, step: int, *_: object) -> None:
        if kills and step == kills[0]:
            kills.pop(0)
            raise KilledError

    for _ in range(10):
        broken = Training(TOY, RECIPE, corpus, tmp_path / "broken", report)
        try:
            broken.constant()
            resumed = broken.decayed_loss(60)
            break
        except KilledError:
            continue
    assert kills == [] and resumed == loss
    for name, value in _weights(whole, 60).items():
        assert torch.equal(value, _weights(broken, 60)[name]), name


def test_training_learns_and_keeps_the_checkpoints_that_decays_need(corpus: Corpus, tmp_path: Path):
    training = Training(TOY, RECIPE, corpus, tmp_path, _silent)
    curve = training.constant()
    assert [p["step"] for p in curve] == list(range(10, 81, 10))
    assert curve[-1]["eval"] < curve[0]["eval"] < math.log(17) + 0.3
    assert training.starts() == [50, 60, 70, 80]
    assert training.decayed_loss(80) < curve[-1]["eval"]
    assert checkpoints.steps_in(tmp_path / "decay-000080") == [100]


def test_an_unreadable_checkpoint_is_passed_over(corpus: Corpus, tmp_path: Path):
    training = Training(TOY, RECIPE, corpus, tmp_path, _silent)
    training.constant()
    last = checkpoints.path_of(tmp_path / "constant", 80)
    last.write_bytes(last.read_bytes()[:500])
    assert checkpoints.latest(tmp_path / "constant") == checkpoints.path_of(tmp_path / "constant", 70)
    assert not last.exists()


def test_fast_logits_equal_the_native_models():
    for activation in ("gelu", "solu_ln"):
        model = new_model(dataclasses.replace(ARCHITECTURE, activation=activation, n_layers=3), 1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        tokens = torch.randint(0, 17, (3, 16))
        torch.testing.assert_close(fast_logits(model, tokens), model(tokens), atol=1e-4, rtol=0)
        direct = torch.nn.functional.cross_entropy(
            model(tokens)[:, :-1].reshape(-1, 17), tokens[:, 1:].reshape(-1)
        ).item()
        assert mean_loss(model, tokens, batch=2, autocast=False) == pytest.approx(direct, abs=1e-5)


def test_rate_warms_up_stays_and_decays_to_zero():
    recipe = Recipe(constant_tokens=4_400_000)
    assert recipe.constant_steps == 4250 and recipe.decay_steps == 781
    assert recipe.rate(0, None) == pytest.approx(3e-3 / 200) and recipe.rate(3000, None) == 3e-3
    assert recipe.rate(3999, 4000) == 3e-3 and recipe.rate(4000, 4000) < 3e-3
    assert recipe.rate(4000 + 780, 4000) == 0.0


def test_every_model_has_its_own_seed():
    seeds = [model.seed for model in BUNDLED_MODELS.values()]
    assert len(seeds) == len(set(seeds)) == 10
    counts = {(m.activation_name, m.architecture.n_layers): 0 for m in BUNDLED_MODELS.values()}
    for m in BUNDLED_MODELS.values():
        counts[m.activation_name, m.architecture.n_layers] += 1
    assert counts == {("solu", 3): 3, ("gelu", 3): 3, ("solu", 4): 2, ("gelu", 4): 2}


def test_count_baselines():
    rng = np.random.default_rng(0)
    row = (np.cumsum(np.where(rng.random(20_000) < 0.5, 1, 2)) % 10).astype(np.uint16)
    unigram, bigram = unigram_bigram(row[:15_000], row[15_000:], 10)
    assert unigram == pytest.approx(math.log(10), abs=0.01)
    assert bigram == pytest.approx(math.log(2), abs=0.03)


def test_train_export_and_match_end_to_end(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REPDISS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(bundled, "WEIGHTS_FOLDER", tmp_path / "weights")
    monkeypatch.setattr(bundled, "FACTS_FILE", tmp_path / "facts.json")
    gelu = BundledModel("mini-gelu-1l-s0", dataclasses.replace(ARCHITECTURE, activation="gelu"), 8)
    trainings = [Training(m, RECIPE, corpus, tmp_path / m.name, _silent) for m in (TOY, gelu)]
    losses = train.train_depth(trainings, ship=True, command="a command")
    facts = bundled.facts()["models"]
    assert set(facts) == set(losses) == {TOY.name, gelu.name}
    for name, entry in facts.items():
        path = tmp_path / "weights" / f"{name}.safetensors"
        assert entry["weights"] == bundled.file_hash(path) and entry["state"] == "final"
        assert entry["validation_loss"] == pytest.approx(losses[name], abs=1e-4)
        assert abs(entry["validation_loss"] - entry["validation_loss_before_rounding"]) < 0.002
        assert entry["loss_gap_of_depth"] == pytest.approx(export.gap_of(list(losses.values())), abs=1e-4)
        assert entry["tokens_seen"] == entry["decay_from_tokens"] + RECIPE.decay_steps * RECIPE.tokens_per_step


def test_bad_arguments_exit_with_two_and_a_sentence():
    result = CliRunner().invoke(train.main, ["--models", "mini-gelu-3l"])
    assert result.exit_code == 2 and "There is no bundled model named 'mini-gelu-3l'" in result.output
    assert CliRunner().invoke(train.main, ["--tokens", "5"]).exit_code == 2


@pytest.mark.slow
def test_a_small_run_of_the_script():
    before = bundled.FACTS_FILE.read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "repdiss_core.scripts.train.gpt", "--small"], capture_output=True, text=True, check=True
    )
    assert "min left" in done.stdout and "3 layers: validation losses within" in done.stdout
    losses = [float(line.split(": ")[1].split()[0]) for line in done.stdout.splitlines() if "from step" in line]
    assert losses and all(loss < bundled.facts()["data"]["docstrings"]["baselines"]["unigram"] for loss in losses)
    assert bundled.FACTS_FILE.read_bytes() == before

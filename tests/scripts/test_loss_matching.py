"""Bringing models to one loss, on constructed curves whose final losses are known."""

from __future__ import annotations

import numpy as np
import pytest

from repdiss_core.scripts.train.matching import TOLERANCE, fitted, match, next_start, step_reaching

STEPS = list(range(2400, 4300, 50))


def _curve(a: float, b: float, noise: float = 0.0) -> list[dict[str, float]]:
    rng = np.random.default_rng(0)
    return [{"step": s, "eval": a + b * np.log(s) + noise * rng.normal()} for s in range(200, 4251, 200)]


def test_fit_finds_the_line():
    assert fitted(_curve(7.0, -0.4)) == pytest.approx((7.0, -0.4))
    a, b = fitted(_curve(7.0, -0.4, noise=0.005))
    assert a + b * np.log(4000) == pytest.approx(7.0 - 0.4 * np.log(4000), abs=0.01)


def test_a_short_curve_takes_a_typical_slope():
    assert fitted([{"step": 50, "eval": 5.0}]) == (5.0, -0.4)


def test_step_reaching_is_the_nearest_available():
    assert step_reaching(7.0 - 0.4 * np.log(3010), (7.0, -0.4), STEPS) == 3000
    assert step_reaching(1.0, (7.0, -0.4), STEPS) == max(STEPS)


def test_next_start_moves_towards_the_target():
    assert next_start({4000: 3.20}, 3.24, -0.4, STEPS) == 3600  # exp(ln 4000 - 0.04 / 0.4) = 3619
    assert next_start({4000: 3.20, 3600: 3.26}, 3.23, -0.4, STEPS) == 3800  # the measured slope is -0.57
    assert next_start({4250: 3.20}, 3.0, -0.4, STEPS) is None  # already at the end


def test_match_brings_all_to_the_worst():
    offsets = {"solu-a": 0.05, "solu-b": 0.04, "gelu-a": 0.0, "gelu-b": -0.03}
    ran = []

    def decayed_loss(name: str, start: int) -> float:
        ran.append((name, start))
        return 6.5 + offsets[name] - 0.38 * np.log(start)

    tries = {name: {start: decayed_loss(name, start)} for name, start in
             {"solu-a": 4250, "solu-b": 4250, "gelu-a": 3800, "gelu-b": 4250}.items()}  # fmt: skip
    chosen = match(tries, dict.fromkeys(offsets, -0.5), dict.fromkeys(offsets, STEPS), decayed_loss)
    losses = [tries[name][start] for name, start in chosen.items()]
    assert chosen["solu-a"] == 4250
    assert max(losses) - min(losses) <= 2 * TOLERANCE
    assert len(ran) <= 4 + 6


def test_match_raises_the_target_when_a_model_cannot_reach_it():
    offsets = {"solu-a": 0.0, "gelu-a": 0.06}  # GeLU is the worse one here

    def decayed_loss(name: str, start: int) -> float:
        return 6.5 + offsets[name] - 0.38 * np.log(start)

    tries = {"solu-a": {4250: decayed_loss("solu-a", 4250)}, "gelu-a": {3900: decayed_loss("gelu-a", 3900)}}
    chosen = match(tries, {"solu-a": -0.38, "gelu-a": -0.38}, dict.fromkeys(offsets, STEPS), decayed_loss)
    assert chosen["gelu-a"] == 4250 and chosen["solu-a"] < 3750
    losses = [tries[name][start] for name, start in chosen.items()]
    assert max(losses) - min(losses) <= 2 * TOLERANCE

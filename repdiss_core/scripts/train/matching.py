"""Brings the models of one depth to the same validation loss. Pure functions over curves, no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

# Half the width that the losses of one depth may differ by.
TOLERANCE = 0.008


def fitted(curve: Sequence[dict[str, float]]) -> tuple[float, float]:
    """(a, b) of loss ≈ a + b·ln(step), least squares over the second half of a curve at the constant rate."""
    last = curve[-1]["step"]
    points = [p for p in curve if p["step"] >= last / 2]
    if len(points) < 2:
        return float(curve[-1]["eval"]), -0.4  # too short to fit: a slope typical of this size
    b, a = np.polyfit(np.log([p["step"] for p in points]), [p["eval"] for p in points], 1)
    return float(a), float(min(b, -0.05))


def step_reaching(loss: float, fit: tuple[float, float], available: Sequence[int]) -> int:
    """The available step whose fitted loss is nearest to `loss`."""
    a, b = fit
    return min(available, key=lambda step: abs(a + b * np.log(step) - loss))


def next_start(tried: dict[int, float], target: float, slope: float, available: Sequence[int]) -> int | None:
    """Where to start the next decay so that its final loss is `target`; None when the nearest start was tried already.

    From one try the slope of the curve is used, from two the line through the two nearest to the target.
    """
    nearest = sorted(tried, key=lambda step: abs(tried[step] - target))
    if len(nearest) >= 2:
        (x0, y0), (x1, y1) = ((np.log(step), tried[step]) for step in nearest[:2])
        measured = (y1 - y0) / (x1 - x0)
        slope = measured if -1.5 < measured < -0.1 else slope
    wanted = np.exp(np.log(nearest[0]) + (target - tried[nearest[0]]) / slope)
    step = min(available, key=lambda s: abs(s - wanted))
    return None if step in tried else step


def match(
    tries: dict[str, dict[int, float]],
    slopes: Mapping[str, float],
    available: Mapping[str, Sequence[int]],
    decayed_loss: Callable[[str, int], float],
    most_tries: int = 4,
) -> dict[str, int]:
    """The start of the decay that each model ships with; runs further decays through `decayed_loss`.

    The target is the highest loss among the models that were decayed from their very last checkpoint: those cannot do
    better.
    """
    while True:
        target = max(min(tries[name].values()) for name in tries if max(available[name]) in tries[name])
        moved = False
        for name in tries:
            gap = min(abs(loss - target) for loss in tries[name].values())
            if gap <= TOLERANCE or len(tries[name]) >= most_tries:
                continue
            start = next_start(tries[name], target, slopes[name], available[name])
            if start is not None:
                tries[name][start] = decayed_loss(name, start)
                moved = True
        if not moved:
            return {name: min(tries[name], key=lambda s: abs(tries[name][s] - target)) for name in tries}

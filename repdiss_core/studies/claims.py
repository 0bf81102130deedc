"""A claim about models and its verdict: the words that all studies share. Verdicts are computed, never typed in."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MINUS = re.compile(r"(?<![\w.])-(?=[\d.])")
HOLDS, FAILS, UNDECIDED, MISSING = "holds", "does not hold", "undecided", "not computed"


def with_minus(text: str) -> str:
    """The minus sign before numbers, and the hyphen in names."""
    return _MINUS.sub("\u2212", text)


@dataclass(frozen=True)
class Effect:
    """The number that decides a claim.

    Args:
        value: the effect, in `unit`.
        low, high: its interval; NaN where there is none.
        unit: such as "nats a token".
        where: the layer, cut or member that it stands for; "" where the claim is about the whole.
    """

    value: float
    low: float
    high: float
    unit: str
    where: str = ""


@dataclass(frozen=True)
class Claim:
    """One claim and its verdict.

    Args:
        sentence: the claim, in our words.
        scope: "these models" or "the activation function".
        verdict: "holds", "does not hold", "undecided" or "not computed".
        found: what the results show, with effect and interval; computed.
        rests_on: models, samples and the kind of interval.
        figure: id of the figure that shows it.
        ours: whether the question is ours and not the paper's.
        effect: the number that decides it; None where there is none.
        card: the card of the study's page that shows it; "" where that is `figure`.
    """

    sentence: str
    scope: str
    verdict: str
    found: str
    rests_on: str
    figure: str
    ours: bool = False
    effect: Effect | None = None
    card: str = ""

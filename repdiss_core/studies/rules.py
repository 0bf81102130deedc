"""The named rules that give every verdict: evidence in, verdict out. No rule reads a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from repdiss_core.studies.evidence import Effect, Evidence


class Verdict(StrEnum):
    """What becomes of a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "undecided"
    MISSING = "not computed"


HOLDS, FAILS, UNDECIDED, MISSING = Verdict.HOLDS, Verdict.FAILS, Verdict.UNDECIDED, Verdict.MISSING

LATE = 0.75  # late layers lie beyond this fraction of the depth
ALPHA = 0.05
CLUSTERED = 0.8  # adjusted Rand index from which clusters count as the split
GAP, AGREEMENT = "gap", "agreement"
ODD, REGULAR = "odd departure", "departure"
CONTRAST, BLOCK = "contrast", "block"


@dataclass(frozen=True)
class Rule:
    """One way to come from effects to a verdict.

    Args:
        label: its name, for people.
        sentence: when a claim holds, does not hold or is undecided; {threshold} and {margin} are the claim's.
        judge: the verdict on some evidence.
        decisive: the effect that the verdict hangs on; None where no single one does.
    """

    id: str
    label: str
    sentence: str
    judge: Callable[[Evidence], Verdict]
    decisive: Callable[[Evidence], Effect | None] = lambda evidence: None


def shown(evidence: Evidence) -> tuple[Effect, ...]:
    """The positive effects that a test tells from none."""
    return tuple(effect for effect in evidence.effects if _significant(effect) and effect.value > 0)


def late(effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
    """Those beyond three quarters of the depth."""
    return tuple(effect for effect in effects if _is_late(effect))


def excluded(evidence: Evidence) -> bool:
    """Whether every late interval lies below the margin, so that no late effect can matter."""
    return evidence.margin is not None and all(effect.high < evidence.margin for effect in late(evidence.effects))


def _significant(effect: Effect) -> bool:
    return effect.p is not None and effect.p < ALPHA


def _is_late(effect: Effect) -> bool:
    return effect.place is not None and effect.place.depth > LATE


def _opposite_late(evidence: Evidence) -> bool:
    return any(_significant(effect) and effect.value < 0 for effect in late(evidence.effects))


def _every_layer(evidence: Evidence) -> Verdict:
    if all(effect.low > 0 for effect in evidence.effects):
        return HOLDS
    return FAILS if any(effect.high < 0 for effect in evidence.effects) else UNDECIDED


def _lowest(evidence: Evidence) -> Effect | None:
    """A layer where the claim is reversed, else the one whose interval reaches lowest."""
    if _every_layer(evidence) == FAILS:
        return min(evidence.effects, key=lambda effect: effect.high)
    return min(evidence.effects, key=lambda effect: effect.low)


def _late_only(evidence: Evidence) -> Verdict:
    positive = shown(evidence)
    early = any(not _is_late(effect) for effect in positive)
    if late(positive):
        if early:
            return FAILS
        return HOLDS if any(effect.low > 0 for effect in late(positive)) else UNDECIDED
    return FAILS if early or _opposite_late(evidence) or excluded(evidence) else UNDECIDED


def _largest_shown(evidence: Evidence) -> Effect | None:
    """The largest effect among those shown, else the largest of the late ones."""
    if positive := shown(evidence):
        return max(positive, key=lambda effect: effect.value)
    return _largest_late(evidence)


def _largest_late(evidence: Evidence) -> Effect | None:
    return max(late(evidence.effects), key=lambda effect: abs(effect.value))


def _smallest_late(evidence: Evidence) -> Effect | None:
    return min(late(evidence.effects), key=lambda effect: effect.value)


def _every_late(evidence: Evidence) -> Verdict:
    if all(_significant(effect) and effect.value > 0 for effect in late(evidence.effects)):
        return HOLDS
    return FAILS if _opposite_late(evidence) or excluded(evidence) else UNDECIDED


def _clusters(evidence: Evidence) -> Verdict:
    (gap,), agreements = evidence.of(GAP), evidence.of(AGREEMENT)
    agree = sum(effect.value >= CLUSTERED and _significant(effect) for effect in agreements)
    if _significant(gap) and gap.value > 0 and 2 * agree >= len(agreements):
        return HOLDS
    return FAILS if all(effect.value < CLUSTERED / 2 for effect in agreements) else UNDECIDED


def _at_subject(evidence: Evidence) -> Effect | None:
    """The effect at the place that the claim names, else the first."""
    if evidence.subject is None:
        return evidence.effects[0] if evidence.effects else None
    return next((effect for effect in evidence.effects if effect.place == evidence.subject), None)


def _above(evidence: Evidence) -> Verdict:
    effect = _at_subject(evidence)
    if effect is None:
        return UNDECIDED
    if effect.low > evidence.threshold:
        return HOLDS
    return FAILS if effect.high < evidence.threshold or _negligible(effect, evidence.margin) else UNDECIDED


def _below(evidence: Evidence) -> Verdict:
    effect = _at_subject(evidence)
    if effect is None:
        return UNDECIDED
    if effect.high < evidence.threshold:
        return HOLDS
    return FAILS if effect.low > evidence.threshold or _negligible(effect, evidence.margin) else UNDECIDED


def _negligible(effect: Effect, margin: float | None) -> bool:
    return margin is not None and max(abs(effect.low), abs(effect.high)) < margin


def _three_blocks(evidence: Evidence) -> Verdict:
    lengths = [
        [block.value for block in evidence.of(BLOCK) if block.place == member.place] for member in evidence.of(CONTRAST)
    ]
    if all(len(blocks) >= 3 and blocks[-1] == 1 for blocks in lengths):
        return HOLDS
    return UNDECIDED if any(lengths) else FAILS


def _odd_one(evidence: Evidence) -> Verdict:
    odd = evidence.of(ODD)
    if evidence.subject is None:
        return HOLDS if len(odd) == 1 else UNDECIDED
    if odd:
        return HOLDS if [effect.place for effect in odd] == [evidence.subject] else FAILS
    own = _at_subject(evidence)
    return FAILS if own is not None and _negligible(own, evidence.margin) else UNDECIDED


def _oddest(evidence: Evidence) -> Effect | None:
    odd = evidence.of(ODD)
    return odd[0] if odd else _at_subject(evidence)


def _shorter(evidence: Evidence) -> Verdict:
    lengths = [effect.value for effect in evidence.effects]
    return HOLDS if len(lengths) == 2 and lengths[0] < lengths[1] else FAILS


_LATE = f"late layer (beyond {LATE * 100:g} % of the depth)"
_SHOWS = f"shows the effect (corrected p below {ALPHA:g}"
_MATTERS = "lies below {margin:g}, the smallest difference that would matter"

RULES = {
    rule.id: rule
    for rule in (
        Rule(
            "every-layer",
            "above 0 at every layer",
            "Holds where the interval of every layer lies above 0, does not hold where one lies below 0; otherwise "
            "undecided. The intervals hold for all layers together.",
            _every_layer,
            _lowest,
        ),
        Rule(
            "late-only",
            "in late layers only",
            f"Holds where a {_LATE} {_SHOWS}, interval above 0) and no earlier layer does. Does not hold where an "
            f"earlier layer does, where a late one shows the opposite, or where every late interval {_MATTERS}; "
            "otherwise undecided.",
            _late_only,
            _largest_shown,
        ),
        Rule(
            "every-late",
            "at every late layer",
            f"Holds where every {_LATE} {_SHOWS}), does not hold where one shows the opposite; otherwise undecided.",
            _every_late,
            _smallest_late,
        ),
        Rule(
            "every-late-margin",
            "at every late layer, or none that matters",
            f"Holds where every {_LATE} {_SHOWS}). Does not hold where one shows the opposite, or where every "
            f"late interval {_MATTERS}; otherwise undecided.",
            _every_late,
            _largest_late,
        ),
        Rule(
            "two-clusters",
            "two clusters",
            f"Holds where distances between the groups exceed those within (p below {ALPHA:g}) and at least half "
            f"of the clustering methods find the split (adjusted Rand index of {CLUSTERED:g} or more, "
            f"p below {ALPHA:g}). "
            f"Does not hold where every index is below {CLUSTERED / 2:g}; otherwise undecided.",
            _clusters,
            lambda evidence: evidence.of(GAP)[0],
        ),
        Rule(
            "above",
            "above a threshold",
            "Holds where the interval lies above {threshold:g}, does not hold where it lies below; otherwise "
            "undecided.",
            _above,
            _at_subject,
        ),
        Rule(
            "below",
            "below a threshold",
            "Holds where the interval lies below {threshold:g}, does not hold where it lies above; otherwise "
            "undecided.",
            _below,
            _at_subject,
        ),
        Rule(
            "below-margin",
            "below 0, with a margin",
            "Holds where the interval lies below {threshold:g}. Does not hold where it lies above, or otherwise within "
            "{margin:g} of 0, the smallest difference that would matter; undecided in all other cases.",
            _below,
            _at_subject,
        ),
        Rule(
            "three-blocks",
            "three blocks, the last layer alone",
            "Holds where every member that is deep enough has at least three blocks, the last layer a block of "
            "its own. Does not hold where no member has blocks; otherwise undecided.",
            _three_blocks,
        ),
        Rule(
            "odd-one",
            "the one member off the line",
            "Holds where the expected member, and no other, departs from the others' line by more than seeds and "
            "prediction explain. Does not hold where another one departs, or where the expected one is within "
            "{margin:g} of the line; otherwise undecided. Where none is expected, it holds if exactly one departs.",
            _odd_one,
            _oddest,
        ),
        Rule(
            "shorter",
            "a shorter first block",
            "Holds where the first block of the odd member has fewer layers than that of its neighbour; does not hold "
            "otherwise.",
            _shorter,
        ),
        Rule(
            "not-computed",
            "not computed",
            "No verdict before the results are computed at this setting.",
            lambda evidence: MISSING,
        ),
        Rule(
            "cannot-be-asked",
            "cannot be asked here",
            "Undecided where these models cannot answer: too few seeds, too few layers, or nothing measured at "
            "the loss in question.",
            lambda evidence: UNDECIDED,
        ),
    )
}

"""What was measured for a claim, in words: one function for each kind of evidence, and how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from repdiss_core.analysis.intervals import p_words
from repdiss_core.studies.claims import Claim
from repdiss_core.studies.evidence import Effect, Evidence, Place
from repdiss_core.studies.rules import AGREEMENT, BLOCK, CONTRAST, FAILS, GAP, HOLDS, ODD, UNDECIDED
from repdiss_core.studies.rules import excluded as margin_excluded
from repdiss_core.studies.rules import shown as shown_effects

MINUS = "\u2212"


@dataclass(frozen=True)
class Scope:
    """What a verdict speaks for.

    Args:
        label: "the activation function".
        badge: on a verdict at the top of a page.
        short: behind the models in a table; "" where they say it.
        among: in a sentence, with counts of the basis.
    """

    label: str
    badge: str = ""
    short: str = ""
    among: str = ""


SCOPES = {
    "models": Scope("these models", "these two models", "one pair", "for these two models"),
    "activation": Scope("the activation function", "over seeds", "over seeds", "over {pairs} seed pairs"),
    "population": Scope("this population"),
    "family": Scope("this family"),
    "real": Scope("real models"),
}


def number(value: float) -> str:
    """Three decimals, with a minus sign."""
    return f"{value:.3f}".replace("-", MINUS)


def signed(value: float) -> str:
    """Three decimals and always a sign."""
    return f"{value:+.3f}".replace("-", MINUS)


def interval(effect: Effect) -> str:
    """ "[−0.004, +0.100]"; "" where there is none."""
    return "" if math.isnan(effect.low) else f"[{signed(effect.low)}, {signed(effect.high)}]"


def by_layer(claim: Claim) -> tuple[Effect, ...]:
    """The effects of a claim that is shown as a row of numbers, one a layer; empty for all others."""
    return claim.evidence.effects if claim.phrase == "layers" and not claim.obstacle else ()


def _with_interval(effect: Effect, unit: str = "") -> str:
    words = (signed(effect.value), unit and f"of {unit}", interval(effect))
    return " ".join(word for word in words if word)


def _p(effect: Effect) -> str:
    return "" if effect.p is None else f", p {p_words(effect.p)}"


def _plain(claim: Claim) -> str:
    effect = claim.effect
    if effect is None:
        return "No single effect decides."
    where = f"At {effect.where}: " if effect.where else ""
    words = (signed(effect.value), effect.unit, interval(effect))
    return f"{where}{' '.join(word for word in words if word)}{_p(effect)}."


def _layers(claim: Claim) -> str:
    effects = claim.evidence.effects
    numbers = "; ".join(f"{effect.where}: {_with_interval(effect)}" for effect in effects)
    return f"{layers_summary(claim)}: difference in {effects[0].unit}, {numbers}."


def layers_summary(claim: Claim) -> str:
    effects, basis = claim.evidence.effects, claim.evidence.basis
    among = SCOPES[claim.scope].among.format_map(basis.facts if basis else {})
    if claim.verdict == HOLDS:
        return f"True at every layer {among}"
    if claim.verdict == FAILS:
        return f"Reversed at {_numbers_of([e for e in effects if e.high < 0])} {among}"
    return f"Not shown at {_numbers_of([e for e in effects if e.low <= 0])} {among}"


def _numbers_of(effects: Sequence[Effect]) -> str:
    numbers = [str(effect.place.number) for effect in effects if effect.place]
    return f"layer{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def places_words(places: Sequence[Place]) -> str:
    """ "blocks 1, 2 and 6 of 6" for the blocks 1, 2 and 6 of 6; places with a name follow."""
    numbered, named = [p for p in places if not p.name], [p.name for p in places if p.name]
    if len(numbered) < 2:
        return ", ".join(place.label for place in places)
    *first, last = numbered
    together = f"{last.kind}s {', '.join(str(p.number) for p in first)} and {last.number} of {last.of}"
    return ", ".join([together, *named])


def _late(claim: Claim) -> str:
    """Where the groups part, with the largest effect; a plain null; or that the interval does not confirm the test."""
    evidence, best = claim.evidence, claim.effect
    assert best is not None
    effect = f"{_with_interval(best, best.unit)}"
    apart = shown_effects(evidence)
    if not apart:
        bound = f" A difference of {evidence.margin:g} or more is excluded." if margin_excluded(evidence) else ""
        return f"No difference was found at any late layer: at most {effect} ({best.where}){_p(best)}.{bound}"
    where = places_words([e.place for e in apart if e.place])
    largest = f"; largest at {best.where}" if len(apart) > 1 else ""
    if claim.verdict == UNDECIDED:
        return f"Not settled at {where}{largest}: {effect}{_p(best)}; the interval over models includes 0."
    return f"The groups part at {where}{largest}: {effect}{_p(best)}."


def _smallest_late(claim: Claim) -> str:
    effect = claim.effect
    assert effect is not None
    return f"Smallest late difference at {effect.where}: {_with_interval(effect, effect.unit)}{_p(effect)}."


def _largest_late(claim: Claim) -> str:
    effect = claim.effect
    assert effect is not None
    turn = _turn(claim.evidence)
    crossing = "" if turn is None else f" The bottom model takes over between cuts {turn} and {turn + 1}."
    return f"At {effect.where}: {_with_interval(effect, effect.unit)}{_p(effect)}.{crossing}"


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _turn(evidence: Evidence) -> int | None:
    """The first cut after which the effect's sign rises."""
    signs = [_sign(effect.value) for effect in evidence.effects]
    return next((i for i, (a, b) in enumerate(pairwise(signs)) if b > a), None)


def _clusters(claim: Claim) -> str:
    (gap,), agreements = claim.evidence.of(GAP), claim.evidence.of(AGREEMENT)
    indices = ", ".join(f"{e.where} {e.value:.2f}".replace(" -", f" {MINUS}") for e in agreements)
    return (
        f"Distance between minus within: {signed(gap.value)} {gap.unit}{_p(gap)}. "
        f"Agreement of automatic clusters with the split (adjusted Rand index): {indices}."
    )


def _early(claim: Claim) -> str:
    (effect,) = claim.evidence.effects
    return f"Early CKA across shapes {number(effect.value)} [{number(effect.low)}, {number(effect.high)}]."


def _early_minus_late(claim: Claim) -> str:
    difference, early, late = claim.evidence.effects
    return f"Early {number(early.value)}, late {number(late.value)}; early minus late {_with_interval(difference)}."


def _blocks(claim: Claim) -> str:
    members = claim.evidence.of(CONTRAST)
    lengths = {m.place: [int(b.value) for b in claim.evidence.of(BLOCK) if b.place == m.place] for m in members}
    parts = [
        f"{m.where}: {_spans(lengths[m.place])}, contrast {number(m.value)} [{number(m.low)}, {number(m.high)}]"
        for m in members
    ]
    return f"{'; '.join(parts)}."


def _spans(lengths: Sequence[int]) -> str:
    """ "layers 1–3, 4–7, 8" for blocks of 3, 4 and 1 layers."""
    if not lengths:
        return "no blocks"
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    spans = [f"{end}" if n == 1 else f"{end - n + 1}–{end}" for n, end in zip(lengths, ends, strict=True)]
    return f"layers {', '.join(spans)}"


def _odd(claim: Claim) -> str:
    odd, subject = claim.evidence.of(ODD), claim.evidence.subject
    departures = odd or tuple(e for e in claim.evidence.effects if subject is None or e.place == subject)
    if not departures:
        return "No shape is odd."
    shapes = "; ".join(
        f"{e.where}, whose mean CKA with the others is {signed(e.value)} off the family's line, "
        f"where seeds and prediction explain up to {number(e.high - e.value)}"
        for e in departures
    )
    return f"{'Odd: ' if odd else 'No shape is odd: '}{shapes}."


def _first_blocks(claim: Claim) -> str:
    lengths = [int(effect.value) for effect in claim.evidence.effects]
    if len(lengths) < 2:
        return "One of the two has no blocks."
    return f"First block: {lengths[0]} layers against {lengths[1]}."


def _slope(claim: Claim) -> str:
    slope, rank = claim.evidence.effects
    correlation = f"{rank.value:+.2f}".replace("-", MINUS)
    return f"Slope {_with_interval(slope)} of {slope.unit}; rank correlation {correlation}{_p(rank)}."


def _twins(claim: Claim) -> str:
    evidence = claim.evidence
    layers = "; ".join(f"{effect.where}: {_with_interval(effect)}" for effect in evidence.of("difference"))
    joint = "".join(
        f"; corrected for all layers, {effect.where}: {_with_interval(effect)}" for effect in evidence.of("joint")
    )
    return f"Suspect minus twin, best match: {layers}{joint}."


PHRASES: dict[str, Callable[[Claim], str]] = {
    "plain": _plain,
    "layers": _layers,
    "late": _late,
    "smallest late": _smallest_late,
    "largest late": _largest_late,
    "clusters": _clusters,
    "early": _early,
    "early minus late": _early_minus_late,
    "blocks": _blocks,
    "odd": _odd,
    "first blocks": _first_blocks,
    "slope": _slope,
    "twins": _twins,
}

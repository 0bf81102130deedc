"""Claims in words: what every page, export, table and the command line say of a claim, made from its evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from repdiss_core.analysis.family import Departure
from repdiss_core.studies.claims import Claim
from repdiss_core.studies.evidence import Effect
from repdiss_core.studies.phrases import PHRASES, SCOPES, by_layer, layers_summary, signed
from repdiss_core.studies.rules import FAILS, HOLDS, MISSING, UNDECIDED

_SPLITS = (
    "; permutation of models, {splits} {kind} splits, p corrected for {layers} layers; "
    "95 % jackknife interval over models"
)
_PILOT = "; layer {layer} was named by a pilot before; 95 % t intervals over seeds"
_JOINT = "; 95 % t intervals joint over {layers} layers"
BASES = {
    "sequences": "{gelu} and {solu}; {sequences} evaluation sequences, paired" + _JOINT,
    "seeds": "{pairs} pairs of {gelu} GeLU and {solu} SoLU seeds, crossed" + _JOINT,
    "items": "{models} models, {pairs} pairs, {items} pairs of sentences" + _SPLITS,
    "chunks": "{models} models, {pairs} pairs, {chunks} chunks of {rows} feature rows" + _SPLITS,
    "pairs": "{models} models, {pairs} pairs; permutation of models, {splits} splits",
    "shapes": "{shapes} regular shapes, {members} members; jackknife over shapes, 95 %",
    "deep members": "{members} members of 6 layers or more; exact segmentation, blocks from a contrast of .1 in CKA; "
    "the others are too shallow",
    "real maps": "{maps} maps of {models} pretrained models, none of them the paper's; exact segmentation, "
    "blocks from a contrast of .1 in CKA",
    "departures": "mean CKA of {members} members; each shape against the straight line of the others, "
    "seed sd {seed_sd:.3f} ({freedom} degrees of freedom), 95 %, corrected for {shapes} shapes",
    "two members": "one member each",
    "slope": "{shapes} regular shapes, seeds averaged; 95 % t interval of the slope",
    "seeds at tokens": "{odd} seeds of the suspect and {twin} of its twin" + _PILOT,
    "seeds at loss": "{odd} seeds of the suspect, the twin's path from one training, its seed spread from {twin}"
    + _PILOT,
}
REASONS = {
    "setting": "Not computed at this setting.",
    "seed pairs": "Not every pair of seeds is computed at this setting.",
    "model pairs": "Not every pair of models is computed at this setting.",
    "few seeds": "{gelu} GeLU and {solu} SoLU seeds are too few for an interval over seeds; {needed} are needed.",
    "own map": "The map of {member} against itself is not computed yet.",
    "no suspect": "This family has no member that is expected to be odd.",
    "analysis": "{message}",
}
VERDICT_WORDS = {
    HOLDS: "this holds.",
    FAILS: "this does not hold.",
    UNDECIDED: "this is undecided.",
    MISSING: "not computed yet:",
}


def finding(claim: Claim) -> str:
    """What the results show, with effect and interval, or why there is nothing."""
    if claim.obstacle:
        return REASONS[claim.obstacle.reason].format_map(claim.obstacle.facts)
    return PHRASES[claim.phrase](claim)


def summary(claim: Claim) -> str:
    """The same without the numbers by layer where those stand in a table of their own (`by_layer`)."""
    return f"{layers_summary(claim)}." if by_layer(claim) else finding(claim)


def rests_on(claim: Claim) -> str:
    """Models, samples and kind of interval; "" where nothing was measured."""
    basis = claim.evidence.basis
    return BASES[basis.kind].format_map(basis.facts) if basis else ""


def rule_sentence(claim: Claim) -> str:
    """The rule that gave the verdict: "Rule “in late layers only”: holds where …"."""
    evidence = claim.evidence
    margin = math.nan if evidence.margin is None else evidence.margin
    rule = claim.judged_by
    return f"Rule “{rule.label}”: {rule.sentence.format(threshold=evidence.threshold, margin=margin)}"


def verdict_sentence(claim: Claim) -> str:
    """The claim, its verdict and what was found."""
    return f"The claim: {claim.statement} {VERDICT_WORDS[claim.verdict].capitalize()} {finding(claim)}"


def headline(claims: Sequence[Claim], waiting: str) -> str:
    """The top of a page: of each leading claim the verdict in plain words, then the numbers.

    Args:
        waiting: what is said where the first of them is not computed.
    """
    leading = [claim for claim in claims if claim.lead]
    if not leading or leading[0].verdict == MISSING:
        return waiting
    return " ".join(f"{c.lead}: {VERDICT_WORDS[c.verdict]} {finding(c)}" for c in leading if c.verdict != MISSING)


def as_json(claim: Claim) -> dict[str, Any]:
    """A claim as plain JSON types, with its rule and every effect; NaN and absent numbers are null."""
    return {
        "id": claim.id,
        "study": claim.study,
        "claim": claim.statement,
        "ours": claim.ours,
        "scope": SCOPES[claim.scope].label,
        "verdict": claim.verdict.value,
        "rule": claim.judged_by.id,
        "rule_sentence": rule_sentence(claim),
        "found": finding(claim),
        "rests_on": rests_on(claim),
        "figure": claim.figure,
        "effects": [_effect_json(effect) for effect in claim.evidence.effects],
    }


def _effect_json(effect: Effect) -> dict[str, Any]:
    numbers = {"value": effect.value, "low": effect.low, "high": effect.high, "p": effect.p}
    plain = {name: None if x is None or math.isnan(x) else float(x) for name, x in numbers.items()}
    return {"quantity": effect.quantity, "where": effect.where, "unit": effect.unit, **plain}


def departure_sentence(departure: Departure) -> str:
    """How far a shape that breaks the family's trend lies off it; for Table 1."""
    effect = signed(departure.effect)
    return f"departs by {effect} of mean CKA, {departure.ratio:.1f} times the reach of seeds and prediction"

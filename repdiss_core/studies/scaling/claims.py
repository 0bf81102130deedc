"""The claims of section 5, judged by what a family shows; no verdict is ever typed in.

An interval over members or shapes speaks of the family; pairs share models, so shapes are left out whole. A claim that rests on a
question that cannot be asked here (blocks of models of under six layers) is undecided and says why.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from repdiss_core.analysis.intervals import p_words
from repdiss_core.analysis.twins import SeedDifference
from repdiss_core.base.errors import UserError
from repdiss_core.studies.claims import FAILS, HOLDS, MISSING, UNDECIDED, Claim, Effect, with_minus
from repdiss_core.studies.scaling.question import first_of, short_name
from repdiss_core.studies.scaling.stored import (
    KEPT,
    Loaded,
    blocks,
    early_late_summary,
    odd_report,
    twins,
    within_trend,
)

SCOPE = "this family"
SHARED = 0.5  # CKA from which early layers of two models count as shared
SAME = 0.02  # a difference in CKA that would not matter
PREDICTED_LAYER = 2  # where a pilot saw the head dimension, before these models were trained


@lru_cache(maxsize=KEPT)
def scaling_claims(loaded: Loaded) -> tuple[Claim, ...]:
    """Every claim of section 5, the paper's first."""
    shown_by = {
        _early(loaded): "early",
        _early_over_late(loaded): "early",
        _block_structure(loaded): "fig10",
        _odd_one(loaded): "odd",
        _short_block(loaded): "fig9",
        _grows(loaded, "size"): "trend",
        _grows(loaded, "loss"): "trend",
        _head_dimension(loaded, at_loss=False): "heads",
        _head_dimension(loaded, at_loss=True): "heads",
    }
    return tuple(replace(claim, card=card) for claim, card in shown_by.items())


def headline(loaded: Loaded) -> str:
    """One computed sentence for the top of the page: the odd member."""
    claim = _odd_one(loaded)
    return claim.found if claim.verdict != MISSING else "Not every pair of this family is computed at this setting yet."


def _claim(
    sentence: str, verdict: str, found: str, rests: str, figure: str, ours: bool = False, effect: Effect | None = None
) -> Claim:
    return Claim(sentence, SCOPE, verdict, with_minus(found), rests, figure, ours, effect)


def _effect(value: float, interval: np.ndarray, where: str = "", unit: str = "CKA") -> Effect:
    return Effect(float(value), float(interval[0]), float(interval[1]), unit, where)


def _missing(sentence: str, why: str, figure: str, ours: bool = False) -> Claim:
    return Claim(sentence, SCOPE, MISSING, why, "", figure, ours)


def _interval(mean: float, interval: np.ndarray) -> str:
    return f"{mean:+.3f} [{interval[0]:+.3f}, {interval[1]:+.3f}]"


def _early(loaded: Loaded) -> Claim:
    sentence = f"Early layers are alike across scale: CKA of the first thirds of two members is at least {SHARED:g}."
    found = early_late_summary(loaded)
    if isinstance(found, str):
        return _missing(sentence, found, "fig3")
    mean, interval = found["early"]
    verdict = HOLDS if interval[0] > SHARED else FAILS if interval[1] < SHARED else UNDECIDED
    return _claim(
        sentence,
        verdict,
        f"Early CKA across shapes {mean:.3f} [{interval[0]:.3f}, {interval[1]:.3f}].",
        _shapes(loaded),
        "fig3",
        effect=_effect(mean, interval),
    )


def _early_over_late(loaded: Loaded) -> Claim:
    sentence = "Early layers are more alike across scale than late ones."
    found = early_late_summary(loaded)
    if isinstance(found, str):
        return _missing(sentence, found, "fig3")
    mean, interval = found["early minus late"]
    verdict = HOLDS if interval[0] > 0 else FAILS if interval[1] < 0 else UNDECIDED
    told = f"Early {found['early'][0]:.3f}, late {found['late'][0]:.3f}; early minus late {_interval(mean, interval)}."
    return _claim(sentence, verdict, told, _shapes(loaded), "fig3", effect=_effect(mean, interval))


def _block_structure(loaded: Loaded) -> Claim:
    sentence = "Members have block structure: an early block, a middle block and the last layer."
    missing = [name for name in loaded.maps.members if loaded.maps.map(name, name) is None]
    if missing:
        return _missing(sentence, f"The map of {missing[0]} against itself is not computed yet.", "fig10")
    judged = {name: blocks(loaded, name) for name in loaded.maps.members}
    found = {name: one for name, one in judged.items() if not isinstance(one, str)}
    if not found:
        return _claim(sentence, UNDECIDED, next(str(one) for one in judged.values()), "", "fig10")
    three = [
        name
        for name, one in found.items()
        if len(one.segmentation.blocks) >= 3 and one.segmentation.blocks[-1][1] - one.segmentation.blocks[-1][0] == 1
    ]
    some = [name for name, one in found.items() if one.segmentation.found]
    told = "; ".join(
        f"{short_name(name)}: {_blocks_words(one.segmentation.blocks)}, contrast {one.segmentation.contrast:.3f} [{one.contrast[0]:.3f}, {one.contrast[1]:.3f}]"
        for name, one in found.items()
    )
    verdict = HOLDS if len(three) == len(found) else FAILS if not some else UNDECIDED
    rests = f"{len(found)} members of 6 layers or more; exact segmentation, blocks from a contrast of .1 in CKA; the others are too shallow"
    return _claim(sentence, verdict, f"{told}.", rests, "fig10")


def _blocks_words(found: tuple[tuple[int, int], ...]) -> str:
    if not found:
        return "no blocks"
    return "layers " + ", ".join(f"{a + 1}" if b - a == 1 else f"{a + 1}–{b}" for a, b in found)


def _odd_one(loaded: Loaded) -> Claim:
    suspect = loaded.params.spec.suspect
    sentence = (
        "The member with the odd head dimension is the odd one out of the family."
        if suspect
        else "One member breaks the family's trend."
    )
    report = odd_report(loaded)
    if isinstance(report, str):
        return _missing(sentence, report, "fig3")
    named = [d.shape for d in report.odd]
    shown = report.odd or tuple(d for d in report.departures if suspect is None or d.shape == suspect[0])
    told = "; ".join(
        f"{d.shape}, whose mean CKA with the others is {d.effect:+.3f} off the family's line, where seeds and prediction explain up to {d.reach:.3f}"
        for d in shown
    )
    told = f"{'Odd: ' if named else 'No shape is odd: '}{told}." if shown else "No shape is odd."
    if suspect is None:
        verdict = HOLDS if len(named) == 1 else UNDECIDED
    elif named:
        verdict = HOLDS if named == [suspect[0]] else FAILS
    else:
        own = next((d for d in report.departures if d.shape == suspect[0]), None)
        verdict = FAILS if own is not None and abs(own.effect) + own.reach < SAME else UNDECIDED
    rests = (
        f"mean CKA of {len(loaded.specs)} members; each shape against the straight line of the others, seed sd {report.seed_sd:.3f} "
        f"({report.seed_freedom} degrees of freedom), 95 %, corrected for {len(report.departures)} shapes"
    )
    effect = (
        _effect(shown[0].effect, shown[0].effect + shown[0].reach * np.array([-1, 1]), shown[0].shape)
        if shown
        else None
    )
    return _claim(sentence, verdict, told, rests, "fig3", effect=effect)


def _short_block(loaded: Loaded) -> Claim:
    sentence = "The odd member's first block is shorter than that of its neighbours."
    suspect = loaded.params.spec.suspect
    if suspect is None:
        return _missing(sentence, "This family has no member that is expected to be odd.", "fig9")
    try:
        found = [blocks(loaded, first_of(loaded.params.family, shape)) for shape in suspect]
    except UserError as error:
        return _missing(sentence, str(error), "fig9")
    if isinstance(found[0], str) or isinstance(found[1], str):
        return _claim(sentence, UNDECIDED, str(found[0] if isinstance(found[0], str) else found[1]), "", "fig9")
    lengths = [one.segmentation.first_length for one in found if not isinstance(one, str)]
    if lengths[0] is None or lengths[1] is None:
        return _claim(sentence, FAILS, "One of the two has no blocks.", "", "fig9")
    verdict = HOLDS if lengths[0] < lengths[1] else FAILS
    return _claim(
        sentence, verdict, f"First block: {lengths[0]} layers against {lengths[1]}.", "one member each", "fig9"
    )


def _grows(loaded: Loaded, against: str) -> Claim:
    ours = against == "loss"
    sentence = (
        "Similarity within a model grows as its validation loss falls."
        if ours
        else "Similarity within a model grows with scale."
    )
    line = within_trend(loaded, against)
    if isinstance(line, str):
        return _missing(sentence, line, "fig10", ours)
    wanted = "falls" if ours else "rises"
    verdict = UNDECIDED if line.verdict == "undecided" else HOLDS if line.verdict == wanted else FAILS
    unit = "a nat of loss" if ours else "a factor of ten in parameters"
    told = f"Slope {_interval(line.slope, line.interval)} of CKA {unit}; rank correlation {line.rank_correlation:+.2f}, p {p_words(line.p)}."
    return _claim(
        sentence,
        verdict,
        told,
        f"{line.n} regular shapes, seeds averaged; 95 % t interval of the slope",
        "fig10",
        ours,
        _effect(line.slope, line.interval, unit=f"CKA {unit}"),
    )


def _head_dimension(loaded: Loaded, at_loss: bool) -> Claim:
    where = "equal loss" if at_loss else "equal tokens"
    sentence = f"A small head dimension alone makes layer {PREDICTED_LAYER} less like any layer of the largest member, at {where}."
    found = twins(loaded)
    if isinstance(found, str):
        return _missing(sentence, found, "table1", True)
    differences = found.equal_loss if at_loss else found.equal_tokens
    if isinstance(differences, str):
        return _claim(sentence, UNDECIDED, differences, "", "table1", True)
    own = differences[PREDICTED_LAYER - 1]
    told = "; ".join(f"layer {l}: {_interval(d.mean, d.interval)}" for l, d in enumerate(differences, start=1))
    odd, twin = own.n
    more = (
        f"; corrected for all layers, layer {PREDICTED_LAYER}: {_interval(own.mean, found.joint[PREDICTED_LAYER - 1].interval)}"
        if not at_loss
        else ""
    )
    path = (
        f", the twin's path from one training, its seed spread from {twin}" if at_loss else f" and {twin} of its twin"
    )
    rests = f"{odd} seeds of the suspect{path}; layer {PREDICTED_LAYER} was named by a pilot before; 95 % t intervals over seeds"
    return _claim(sentence, _sign_verdict(own), f"Suspect minus twin, best match: {told}{more}.", rests, "table1", True,
                  _effect(own.mean, own.interval, f"layer {PREDICTED_LAYER}"))  # fmt: skip


def _sign_verdict(found: SeedDifference) -> str:
    if found.verdict == "lower":
        return HOLDS
    return FAILS if found.verdict == "higher" or (abs(found.interval) < SAME).all() else UNDECIDED


def suspect_marked(loaded: Loaded) -> dict[str, str]:
    """{shape: sentence} of the shapes that the analysis names odd; for Table 1."""
    report = odd_report(loaded)
    if isinstance(report, str):
        return {}
    told = {
        d.shape: f"departs by {d.effect:+.3f} of mean CKA, {d.ratio:.1f} times the reach of seeds and prediction"
        for d in report.odd
    }
    return {shape: with_minus(sentence) for shape, sentence in told.items()}


def _shapes(loaded: Loaded) -> str:
    n_members = sum(len(loaded.of(shape)) for shape in loaded.regular)
    return f"{len(loaded.regular)} regular shapes, {n_members} members; jackknife over shapes, 95 %"

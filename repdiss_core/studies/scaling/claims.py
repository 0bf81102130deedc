"""The claims of section 5, measured on what a family shows.

An interval over members or shapes speaks of the family; pairs share models, so shapes are left out whole. A claim that
rests on a question that cannot be asked here (blocks of models of under six layers) is undecided and says why.
"""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np

from repdiss_core.analysis.blocks import SegmentationInterval
from repdiss_core.analysis.family import Departure
from repdiss_core.base.errors import UserError
from repdiss_core.studies import words
from repdiss_core.studies.claims import Claim, Question, claims_on
from repdiss_core.studies.evidence import Basis, Effect, Evidence, Obstacle, Place
from repdiss_core.studies.rules import BLOCK, CONTRAST, ODD, REGULAR
from repdiss_core.studies.scaling.question import first_of, short_name
from repdiss_core.studies.scaling.stored import (
    KEPT,
    FamilyResults,
    blocks,
    early_late_summary,
    odd_report,
    twins,
    within_trend,
)

SHARED = 0.5  # CKA from which early layers of two models count as shared
SAME = 0.02  # a difference in CKA that would not matter
PREDICTED_LAYER = 2  # where a pilot saw the head dimension, before these models were trained
WAITING = "Not every pair of this family is computed at this setting yet."


def _missing(message: str) -> Obstacle:
    return Obstacle("not-computed", "analysis", {"message": message})


def _unanswerable(message: str) -> Obstacle:
    return Obstacle("cannot-be-asked", "analysis", {"message": message})


def _effect(
    value: float, interval: np.ndarray, unit: str = "CKA", place: Place | None = None, quantity: str = ""
) -> Effect:
    return Effect(float(value), float(interval[0]), float(interval[1]), unit, place, quantity=quantity)


def _shapes(loaded: FamilyResults) -> Basis:
    n_members = sum(len(loaded.of(shape)) for shape in loaded.regular)
    return Basis("shapes", {"shapes": len(loaded.regular), "members": n_members})


def _early(loaded: FamilyResults) -> Evidence | Obstacle:
    summary = early_late_summary(loaded)
    if isinstance(summary, str):
        return _missing(summary)
    return Evidence((_effect(*summary["early"]),), _shapes(loaded), threshold=SHARED)


def _early_minus_late(loaded: FamilyResults) -> Evidence | Obstacle:
    summary = early_late_summary(loaded)
    if isinstance(summary, str):
        return _missing(summary)
    effects = tuple(_effect(*summary[name], quantity=name) for name in ("early minus late", "early", "late"))
    return Evidence(effects, _shapes(loaded))


def _block_structure(loaded: FamilyResults) -> Evidence | Obstacle:
    for name in loaded.maps.members:
        if loaded.maps.map(name, name) is None:
            return Obstacle("not-computed", "own map", {"member": name})
    answers = {name: blocks(loaded, name) for name in loaded.maps.members}
    segmented = {name: answer for name, answer in answers.items() if not isinstance(answer, str)}
    if not segmented:
        return _unanswerable(next(str(answer) for answer in answers.values()))
    effects = [effect for name, answer in segmented.items() for effect in block_effects(name, answer)]
    return Evidence(tuple(effects), Basis("deep members", {"members": len(segmented)}))


def block_effects(name: str, answer: SegmentationInterval) -> list[Effect]:
    """The contrast of a member's best segmentation, and the layers of each accepted block."""
    member, segmentation = Place(name=short_name(name)), answer.segmentation
    lengths = [Effect(b - a, unit="layers", place=member, quantity=BLOCK) for a, b in segmentation.blocks]
    return [_effect(segmentation.contrast, answer.contrast, place=member, quantity=CONTRAST), *lengths]


def _odd_statement(loaded: FamilyResults) -> str:
    if loaded.params.spec.suspect:
        return "The member with the odd head dimension is the odd one out of the family."
    return "One member breaks the family's trend."


def _departures(loaded: FamilyResults) -> Evidence | Obstacle:
    """Every shape's departure from the line of the others, with what seeds and prediction explain; odd ones first."""
    suspect, report = loaded.params.spec.suspect, odd_report(loaded)
    if isinstance(report, str):
        return _missing(report)
    named = {d.shape for d in report.odd}
    regular = [(d, REGULAR) for d in report.departures if d.shape not in named]
    effects = tuple(
        _effect(d.effect, d.effect + d.reach * np.array([-1, 1]), place=Place(name=d.shape), quantity=quantity)
        for d, quantity in [*((d, ODD) for d in report.odd), *regular]
    )
    facts = {
        "members": len(loaded.specs),
        "seed_sd": report.seed_sd,
        "freedom": report.seed_freedom,
        "shapes": len(report.departures),
    }
    subject = Place(name=suspect[0]) if suspect else None
    return Evidence(effects, Basis("departures", facts), margin=SAME, subject=subject)


def _first_blocks(loaded: FamilyResults) -> Evidence | Obstacle:
    """Layers of the first block of the suspect and of its neighbour, where they have blocks."""
    suspect = loaded.params.spec.suspect
    if suspect is None:
        return Obstacle("not-computed", "no suspect")
    try:
        names = [first_of(loaded.params.family, shape) for shape in suspect]
    except UserError as error:
        return _missing(str(error))
    effects = []
    for name in names:
        if loaded.maps.map(name, name) is None:
            return Obstacle("not-computed", "own map", {"member": name})
        answer = blocks(loaded, name)
        if isinstance(answer, str):
            return _unanswerable(answer)
        if answer.segmentation.first_length is not None:
            effects.append(Effect(answer.segmentation.first_length, unit="layers", place=Place(name=short_name(name))))
    return Evidence(tuple(effects), Basis("two members"))


def _slope(loaded: FamilyResults, against: str) -> Evidence | Obstacle:
    """Within-model similarity against "size" or "loss"."""
    line = within_trend(loaded, against)
    if isinstance(line, str):
        return _missing(line)
    unit = "CKA a nat of loss" if against == "loss" else "CKA a factor of ten in parameters"
    rank = Effect(line.rank_correlation, p=line.p, quantity="rank correlation")
    return Evidence((_effect(line.slope, line.interval, unit), rank), Basis("slope", {"shapes": line.n}))


def _head_dimension(loaded: FamilyResults, at_loss: bool) -> Evidence | Obstacle:
    """The suspect's best match with the largest member minus its twin's, by layer."""
    summary = twins(loaded)
    if isinstance(summary, str):
        return _missing(summary)
    differences = summary.equal_loss if at_loss else summary.equal_tokens
    if isinstance(differences, str):
        return _unanswerable(differences)
    effects = [
        _effect(d.mean, d.interval, place=Place("layer", layer), quantity="difference")
        for layer, d in enumerate(differences, start=1)
    ]
    own, subject = differences[PREDICTED_LAYER - 1], Place("layer", PREDICTED_LAYER)
    if not at_loss:
        joint = summary.joint[PREDICTED_LAYER - 1].interval
        effects.append(_effect(own.mean, joint, place=subject, quantity="joint"))
    odd, twin = own.n
    basis = Basis(
        "seeds at loss" if at_loss else "seeds at tokens", {"odd": odd, "twin": twin, "layer": PREDICTED_LAYER}
    )
    return Evidence(tuple(effects), basis, margin=SAME, subject=subject)


_HEADS = (
    f"A small head dimension alone makes layer {PREDICTED_LAYER} less like any layer of the largest member, at equal"
)

# The list of claims, the paper's first. Arguments: id, statement, scope, rule, figure, what is measured.
CLAIMS: tuple[Question[FamilyResults], ...] = (
    Question("early-shared",
             f"Early layers are alike across scale: CKA of the first thirds of two members is at least {SHARED:g}.",
             "family", "above", "fig3", _early, card="early", phrase="early"),
    Question("early-over-late", "Early layers are more alike across scale than late ones.",
             "family", "above", "fig3", _early_minus_late, card="early", phrase="early minus late"),
    Question("block-structure", "Members have block structure: an early block, a middle block and the last layer.",
             "family", "three-blocks", "fig10", _block_structure, phrase="blocks"),
    Question("odd-member", _odd_statement, "family", "odd-one", "fig3", _departures, card="odd", phrase="odd",
             lead=lambda loaded: _odd_statement(loaded).removesuffix(".")),
    Question("short-first-block", "The odd member's first block is shorter than that of its neighbours.",
             "family", "shorter", "fig9", _first_blocks, phrase="first blocks"),
    Question("within-by-size", "Similarity within a model grows with scale.",
             "family", "above", "fig10", partial(_slope, against="size"), card="trend", phrase="slope"),
    Question("within-by-loss", "Similarity within a model grows as its validation loss falls.",
             "family", "below", "fig10", partial(_slope, against="loss"), card="trend", ours=True, phrase="slope"),
    Question("head-dimension", f"{_HEADS} tokens.", "family", "below-margin", "table1",
             partial(_head_dimension, at_loss=False), card="heads", ours=True, phrase="twins"),
    Question("head-dimension-at-loss", f"{_HEADS} loss.", "family", "below-margin", "table1",
             partial(_head_dimension, at_loss=True), card="heads", ours=True, phrase="twins"),
)  # fmt: skip


@lru_cache(maxsize=KEPT)
def scaling_claims(loaded: FamilyResults) -> tuple[Claim, ...]:
    """Every claim of section 5, the paper's first."""
    return claims_on("scaling", CLAIMS, loaded)


def headline(loaded: FamilyResults) -> str:
    """The top of the page: the odd member."""
    return words.headline(scaling_claims(loaded), WAITING)


def odd_shapes(loaded: FamilyResults) -> dict[str, Departure]:
    """{shape: departure} of the shapes that the analysis names odd; for Table 1."""
    report = odd_report(loaded)
    return {} if isinstance(report, str) else {departure.shape: departure for departure in report.odd}

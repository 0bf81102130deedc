"""The claims of section 4, judged by what a population of classifiers shows; no verdict is ever typed in.

Every test splits the *models* anew, since pairs share models, and is corrected for the layers tested. A claim of a
difference holds where such a test says so and the jackknife interval over models excludes 0, and fails where that interval
excludes a difference that would matter (`MARGINS`); between the two it is undecided.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from repdiss_core.analysis.groups import PermutationTest, jackknife, permutation_test
from repdiss_core.analysis.intervals import p_words
from repdiss_core.studies.claims import FAILS, HOLDS, MISSING, UNDECIDED, Claim, Effect, with_minus
from repdiss_core.studies.generalization.fig8_distances import Clustering, clusterings, group_distance
from repdiss_core.studies.generalization.question import IN_DISTRIBUTION
from repdiss_core.studies.generalization.stored import KEPT, Loaded
from repdiss_core.studies.generalization.words import SHORT_SETS

LATE = 0.75
ALPHA = 0.05
# The smallest difference that would matter: two answers in a hundred, .02 of CKA.
MARGINS = {"accuracy": 0.02, "cka": 0.02}
CLUSTERED = 0.8
NUMBERED = re.compile(r"(\w+) (\d+) of (\d+)")


@dataclass(frozen=True, eq=False)
class Evidence:
    """An effect by layer, its test and its interval over models.

    Args:
        depth: (L,) fraction of layers.
        labels: (L,) how a layer is called in a sentence.
    """

    test: PermutationTest
    interval: np.ndarray
    depth: np.ndarray
    labels: tuple[str, ...]


@lru_cache(maxsize=KEPT)
def generalization_claims(loaded: Loaded) -> tuple[Claim, ...]:
    """Every claim of section 4 for the chosen population and groups, the paper's first."""
    overlap = loaded.params.overlap
    return (
        _late_penalty(loaded, IN_DISTRIBUTION, ours=False),
        _late_cka(loaded, IN_DISTRIBUTION, ours=False),
        _level(loaded, overlap),
        _clusters(loaded, IN_DISTRIBUTION, ours=False),
        _clusters(loaded, overlap, ours=False),
        _late_penalty(loaded, overlap, ours=True),
        _late_cka(loaded, overlap, ours=True),
        _direction(loaded, overlap),
    )


@lru_cache(maxsize=KEPT)
def headline(loaded: Loaded) -> str:
    """One computed sentence for the top of the page: the CKA gap on both sets."""
    found = [_late_cka(loaded, name, False) for name in loaded.params.sets]
    if any(claim.verdict == MISSING for claim in found):
        return "Not every pair of this population is computed yet."
    inside, overlap = (claim.found[0].lower() + claim.found[1:] for claim in found)
    return with_minus(f"In distribution: {inside} On lexical overlap: {overlap}")


def only_late(evidence: Evidence) -> tuple[str, np.ndarray]:
    """(verdict, which layers part) for "a positive effect in late layers and in no early one".

    holds: some layer beyond 75 % of the depth shows it, and no earlier one. does not hold: an earlier layer shows it, a late
    one shows the opposite, or no late layer can have an effect that matters.
    """
    late = evidence.depth > LATE
    shown = (evidence.test.p_adjusted < ALPHA) & (evidence.test.effect > 0)
    opposite = (evidence.test.p_adjusted < ALPHA) & (evidence.test.effect < 0)
    if shown[late].any():
        return (FAILS if shown[~late].any() else HOLDS), shown
    return (FAILS if opposite[late].any() or shown[~late].any() else UNDECIDED), shown


def judge(evidence: Evidence, margin: float) -> tuple[str, np.ndarray]:
    """`only_late`, made stricter and plainer by the intervals over models.

    "holds" also needs a late layer whose interval excludes 0: the permutation test says that the split is unusual, the interval
    that the effect would be there with other models. "undecided" becomes "does not hold" where every late interval lies below the margin.
    """
    verdict, shown = only_late(evidence)
    late = evidence.depth > LATE
    if verdict == HOLDS and not (shown & late & (evidence.interval[0] > 0)).any():
        return UNDECIDED, shown
    if verdict == UNDECIDED and (evidence.interval[1][late] < margin).all():
        verdict = FAILS
    return verdict, shown


def sentence(evidence: Evidence, shown: np.ndarray, margin: float, unit: str) -> str:
    """What was found: where the groups part, the largest effect with interval and p; or a plain null."""
    p = evidence.test.p_adjusted
    late = evidence.depth > LATE
    best = _told(evidence, shown)
    if shown.any():
        largest = f"; largest at {evidence.labels[best]}" if shown.sum() > 1 else ""
        return f"The groups part at {_places(evidence.labels, shown)}{largest}: {_effect(evidence, best, unit)}, p {p_words(p[best])}."
    bound = f" A difference of {margin:g} or more is excluded." if (evidence.interval[1][late] < margin).all() else ""
    return f"No difference was found at any late layer: at most {_effect(evidence, best, unit)} ({evidence.labels[best]}), p {p_words(p[best])}.{bound}"


def _told(evidence: Evidence, shown: np.ndarray) -> int:
    """The layer that a sentence names: the largest effect among those shown, else the largest of the late ones."""
    effect, late = evidence.test.effect, np.flatnonzero(evidence.depth > LATE)
    if shown.any():
        return int(np.argmax(np.where(shown, effect, -np.inf)))
    return int(late[np.argmax(np.abs(effect[late]))])


def _as_effect(evidence: Evidence, i: int, unit: str) -> Effect:
    return Effect(
        float(evidence.test.effect[i]),
        float(evidence.interval[0, i]),
        float(evidence.interval[1, i]),
        unit,
        evidence.labels[i],
    )


def _places(labels: tuple[str, ...], shown: np.ndarray) -> str:
    """ "blocks 1, 2 and 6 of 6" for "block 1 of 6", "block 2 of 6", "block 6 of 6"; other labels follow as they are."""
    chosen = [labels[i] for i in np.flatnonzero(shown)]
    numbered = [found for found in map(NUMBERED.fullmatch, chosen) if found]
    others = [label for label in chosen if not NUMBERED.fullmatch(label)]
    if len(numbered) < 2:
        return ", ".join(chosen)
    numbers = [found[2] for found in numbered]
    together = f"{numbered[0][1]}s {', '.join(numbers[:-1])} and {numbers[-1]} of {numbered[0][3]}"
    return ", ".join([together, *others])


def _late_penalty(loaded: Loaded, set_name: str, ours: bool) -> Claim:
    claim = (
        f"{_on(set_name)}, stitching a generalizing and a heuristic model costs more accuracy than stitching two of a kind, in late layers "
        "(beyond 75 % of the depth) and not before."
    )
    penalty = loaded.group_penalty(set_name)
    if penalty is None:
        return _missing(claim, "fig2" if not ours else "fig7", ours)
    cuts = penalty.shape[-1]
    labels = tuple(
        "the embeddings' cut" if c == 0 else "the head's cut" if c == cuts - 1 else f"cut {c} of {cuts - 1}"
        for c in range(cuts)
    )
    evidence = _evidence(-penalty, loaded.groups.is_top, np.linspace(0, 1, cuts), labels)
    verdict, shown = judge(evidence, MARGINS["accuracy"])
    rests = _rests(loaded, evidence, f"{loaded.params.items} pairs of sentences")
    return Claim(claim, "this population", verdict, sentence(evidence, shown, MARGINS["accuracy"], "of accuracy"), rests, "fig7" if ours else "fig2", ours,
                 _as_effect(evidence, _told(evidence, shown), "accuracy"), "stitching")  # fmt: skip


def _late_cka(loaded: Loaded, set_name: str, ours: bool) -> Claim:
    claim = f"{_on(set_name)}, CKA is lower between a generalizing and a heuristic model than between two of a kind, in late layers (beyond 75 % of the depth) and not before."
    values = loaded.group_cka(set_name)
    if values is None:
        return _missing(claim, "fig2", ours)
    n_layers = values.shape[-1]
    labels = tuple(f"block {layer} of {n_layers}" for layer in range(1, n_layers + 1))
    evidence = _evidence(values, loaded.groups.is_top, np.arange(1, n_layers + 1) / n_layers, labels)
    verdict, shown = judge(evidence, MARGINS["cka"])
    found = loaded.cka[set_name]
    rests = _rests(loaded, evidence, f"{found.n_chunks} chunks of {found.rows_per_chunk} feature rows")
    return Claim(claim, "this population", verdict, sentence(evidence, shown, MARGINS["cka"], "of CKA"), rests, "fig2", ours,
                 _as_effect(evidence, _told(evidence, shown), "CKA"), "cka")  # fmt: skip


def _level(loaded: Loaded, set_name: str) -> Claim:
    claim = "On lexical overlap, two generalizing models stitched together answer better than two heuristic ones, up to the last cut."
    penalty = loaded.group_penalty(set_name)
    if penalty is None:
        return _missing(claim, "fig7", False)
    evidence = _cut_evidence(loaded, set_name, "level")
    late = evidence.depth > LATE
    shown = (evidence.test.p_adjusted < ALPHA) & (evidence.test.effect > 0)
    some_opposite = bool(((evidence.test.p_adjusted < ALPHA) & (evidence.test.effect < 0))[late].any())
    verdict = HOLDS if shown[late].all() else FAILS if some_opposite else UNDECIDED
    last = int(np.flatnonzero(late)[np.argmin(evidence.test.effect[late])])
    found = f"Smallest late difference at {evidence.labels[last]}: {_effect(evidence, last, 'of accuracy')}, p {p_words(evidence.test.p_adjusted[last])}."
    return Claim(claim, "this population", verdict, found, _rests(loaded, evidence, f"{loaded.params.items} pairs of sentences"), "fig7",
                 effect=_as_effect(evidence, last, "accuracy"), card="stitching")  # fmt: skip


def _direction(loaded: Loaded, set_name: str) -> Claim:
    penalty = loaded.group_penalty(set_name)
    claim = "On lexical overlap, a generalizing model under a heuristic one answers better than a heuristic one under a generalizing one, at late cuts."
    if penalty is None:
        return _missing(claim, "fig7", True)
    evidence = _cut_evidence(loaded, set_name, "direction")
    late = evidence.depth > LATE
    significant = evidence.test.p_adjusted < ALPHA
    shown, opposite = significant & (evidence.test.effect > 0), significant & (evidence.test.effect < 0)
    verdict = (
        HOLDS
        if shown[late].all()
        else FAILS
        if opposite[late].any() or (evidence.interval[1][late] < MARGINS["accuracy"]).all()
        else UNDECIDED
    )
    turn = np.flatnonzero(np.diff(np.sign(evidence.test.effect)) > 0)
    crossing = f" The bottom model takes over between cuts {turn[0]} and {turn[0] + 1}." if len(turn) else ""
    most = int(np.flatnonzero(late)[np.argmax(np.abs(evidence.test.effect[late]))])
    found = f"At {evidence.labels[most]}: {_effect(evidence, most, 'of accuracy')}, p {p_words(evidence.test.p_adjusted[most])}.{crossing}"
    return Claim(claim, "this population", verdict, found, _rests(loaded, evidence, f"{loaded.params.items} pairs of sentences"), "fig7", True,
                 _as_effect(evidence, most, "accuracy"), "stitching")  # fmt: skip


def _clusters(loaded: Loaded, set_name: str, ours: bool) -> Claim:
    claim = f"{_on(set_name)}, generalizing and heuristic models are two clusters in the distance of equation (2)."
    distance = group_distance(loaded, set_name)
    if distance is None:
        return _missing(claim, "fig8", ours)
    gap = permutation_test(-distance[:, :, None], loaded.groups.is_top)
    found = clusterings(loaded, set_name)
    told = ", ".join(f"{c.method.replace('_', '-')} {c.agreement:.2f}" for c in found)
    words = f"Distance between minus within: {gap.effect[0]:+.3f} radians, p {p_words(gap.p[0])}. Agreement of automatic clusters with the split (adjusted Rand index): {told}."
    rests = f"{gap.n_models} models, {loaded.groups.n_pairs} pairs; permutation of models, {gap.n_splits} splits"
    return Claim(claim, "this population", judge_clusters(gap, found), words, rests, "fig8", ours,
                 Effect(float(gap.effect[0]), math.nan, math.nan, "radians"), "distances")  # fmt: skip


def judge_clusters(gap: PermutationTest, found: tuple[Clustering, ...]) -> str:
    """ "holds": the gap is real and two of three methods find the split. "does not hold": none comes near it. Else "undecided"."""
    agree = sum(c.agreement >= CLUSTERED and c.p < ALPHA for c in found)
    if gap.p[0] < ALPHA and gap.effect[0] > 0 and 2 * agree >= len(found):
        return HOLDS
    return FAILS if all(c.agreement < CLUSTERED / 2 for c in found) else UNDECIDED


def _evidence(
    matrix: np.ndarray, is_top: np.ndarray, depth: np.ndarray, labels: tuple[str, ...], statistic: str = "gap"
) -> Evidence:
    return Evidence(permutation_test(matrix, is_top, statistic), jackknife(matrix, is_top, statistic), depth, labels)


def _cut_evidence(loaded: Loaded, set_name: str, statistic: str) -> Evidence:
    """A statistic of the stitched accuracies themselves, at every cut."""
    values = loaded.accuracy[set_name].values
    n_cuts = values.shape[-1]
    labels = tuple(f"cut {c} of {n_cuts - 1}" for c in range(n_cuts))
    return _evidence(values, loaded.groups.is_top, np.linspace(0, 1, n_cuts), labels, statistic)


def _effect(evidence: Evidence, i: int, unit: str) -> str:
    low, high = evidence.interval[:, i]
    return f"{evidence.test.effect[i]:+.3f} {unit} [{low:+.3f}, {high:+.3f}]"


def _on(set_name: str) -> str:
    return "On in-distribution data alone" if set_name == IN_DISTRIBUTION else f"On {SHORT_SETS[set_name].lower()}"


def _missing(claim: str, figure: str, ours: bool) -> Claim:
    card = {"fig2": "stitching" if "stitching" in claim else "cka", "fig7": "stitching", "fig8": "distances"}[figure]
    return Claim(
        claim,
        "this population",
        MISSING,
        "Not every pair of models is computed at this setting.",
        "",
        figure,
        ours,
        card=card,
    )


def _rests(loaded: Loaded, evidence: Evidence, amount: str) -> str:
    test = evidence.test
    kind = "all" if test.exact else "random"
    return (
        f"{test.n_models} models, {loaded.groups.n_pairs} pairs, {amount}; permutation of models, {test.n_splits} {kind} splits, p corrected for "
        f"{len(test.p)} layers; 95 % jackknife interval over models"
    )

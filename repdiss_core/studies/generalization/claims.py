"""The claims of section 4, measured on what a population of classifiers shows.

Every test splits the *models* at random, since pairs share models, and is corrected for the layers tested; every
interval is a jackknife over models. A positive effect says that the groups are apart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np

from repdiss_core.analysis.groups import PermutationTest, jackknife, permutation_test
from repdiss_core.studies import words
from repdiss_core.studies.claims import Claim, Question, claims_on
from repdiss_core.studies.evidence import Basis, Effect, Evidence, Obstacle, Place
from repdiss_core.studies.generalization.fig8_distances import clusterings, group_distance
from repdiss_core.studies.generalization.question import IN_DISTRIBUTION
from repdiss_core.studies.generalization.stored import KEPT, PopulationResults
from repdiss_core.studies.generalization.words import SHORT_SETS
from repdiss_core.studies.rules import AGREEMENT, GAP

# The smallest difference that would matter: two answers in a hundred, .02 of CKA.
MARGINS = {"accuracy": 0.02, "CKA": 0.02}
OVERLAP = "overlap"  # the lexical-overlap set that is chosen
WAITING = "Not every pair of this population is computed yet."
NOT_COMPUTED = Obstacle("not-computed", "model pairs")


def _set(loaded: PopulationResults, name: str) -> str:
    return loaded.params.overlap if name == OVERLAP else name


def _on(set_name: str, rest: str) -> Callable[[PopulationResults], str]:
    """A statement about one set; the overlap set has the name of the chosen one."""

    def statement(loaded: PopulationResults) -> str:
        chosen = _set(loaded, set_name)
        where = "in-distribution data alone" if chosen == IN_DISTRIBUTION else SHORT_SETS[chosen].lower()
        return f"On {where}, {rest}"

    return statement


def _effects(
    matrix: np.ndarray, is_top: np.ndarray, places: tuple[Place, ...], unit: str, statistic: str = "gap"
) -> tuple[tuple[Effect, ...], PermutationTest]:
    """(an effect a place with its corrected p and jackknife interval, the test)."""
    test, (low, high) = permutation_test(matrix, is_top, statistic), jackknife(matrix, is_top, statistic)
    effects = tuple(
        Effect(float(test.effect[i]), float(low[i]), float(high[i]), unit, place, float(test.p_adjusted[i]))
        for i, place in enumerate(places)
    )
    return effects, test


def _basis(kind: str, loaded: PopulationResults, test: PermutationTest, **facts: float) -> Basis:
    shared = {
        "models": test.n_models,
        "pairs": loaded.groups.n_pairs,
        "splits": test.n_splits,
        "kind": "all" if test.exact else "random",
        "layers": len(test.p),
    }
    return Basis(kind, {**shared, **facts})


def _cuts(n: int) -> tuple[Place, ...]:
    return tuple(Place("cut", cut, n - 1) for cut in range(n))


def _penalty_gap(loaded: PopulationResults, set_name: str) -> Evidence | Obstacle:
    """Accuracy that a stitch between the groups costs over one within, by cut."""
    penalty = loaded.group_penalty(_set(loaded, set_name))
    if penalty is None:
        return NOT_COMPUTED
    n = penalty.shape[-1]
    names = {0: "the embeddings' cut", n - 1: "the head's cut"}
    places = tuple(Place("cut", cut, n - 1, names.get(cut, "")) for cut in range(n))
    effects, test = _effects(-penalty, loaded.groups.is_top, places, "accuracy")
    return Evidence(effects, _basis("items", loaded, test, items=loaded.params.items), margin=MARGINS["accuracy"])


def _cka_gap(loaded: PopulationResults, set_name: str) -> Evidence | Obstacle:
    """CKA within the groups minus between, by block."""
    name = _set(loaded, set_name)
    values = loaded.group_cka(name)
    if values is None:
        return NOT_COMPUTED
    n = values.shape[-1]
    places = tuple(Place("block", block, n) for block in range(1, n + 1))
    effects, test = _effects(values, loaded.groups.is_top, places, "CKA")
    population = loaded.cka[name]
    basis = _basis("chunks", loaded, test, chunks=population.n_chunks, rows=population.rows_per_chunk)
    return Evidence(effects, basis, margin=MARGINS["CKA"])


def _accuracies(loaded: PopulationResults, statistic: str, margin: float | None = None) -> Evidence | Obstacle:
    """A statistic of the stitched accuracies themselves on the overlap set, at every cut."""
    name = loaded.params.overlap
    if loaded.group_penalty(name) is None:
        return NOT_COMPUTED
    values = loaded.accuracy[name].values
    effects, test = _effects(values, loaded.groups.is_top, _cuts(values.shape[-1]), "accuracy", statistic)
    return Evidence(effects, _basis("items", loaded, test, items=loaded.params.items), margin=margin)


def _distances(loaded: PopulationResults, set_name: str) -> Evidence | Obstacle:
    """Distance between the groups minus within, and how far automatic clusters agree with the split."""
    name = _set(loaded, set_name)
    distance = group_distance(loaded, name)
    if distance is None:
        return NOT_COMPUTED
    test = permutation_test(-distance[:, :, None], loaded.groups.is_top)
    gap = Effect(float(test.effect[0]), unit="radians", p=float(test.p[0]), quantity=GAP)
    agreements = tuple(
        Effect(c.agreement, place=Place(name=c.method.replace("_", "-")), p=c.p, quantity=AGREEMENT)
        for c in clusterings(loaded, name)
    )
    return Evidence((gap, *agreements), _basis("pairs", loaded, test))


_PENALTY = (
    "stitching a generalizing and a heuristic model costs more accuracy than stitching two of a kind, in late layers "
    "(beyond 75 % of the depth) and not before."
)
_CKA = (
    "CKA is lower between a generalizing and a heuristic model than between two of a kind, in late layers "
    "(beyond 75 % of the depth) and not before."
)
_CLUSTERS = "generalizing and heuristic models are two clusters in the distance of equation (2)."
_LEVEL = (
    "On lexical overlap, two generalizing models stitched together answer better than two heuristic ones, "
    "up to the last cut."
)
_DIRECTION = (
    "On lexical overlap, a generalizing model under a heuristic one answers better than a heuristic one under a "
    "generalizing one, at late cuts."
)
_LEAD = "the groups differ in CKA in late layers alone"

# The list of claims, the paper's first. Arguments: id, statement, scope, rule, figure, what is measured.
CLAIMS: tuple[Question[PopulationResults], ...] = (
    Question("late-penalty", _on(IN_DISTRIBUTION, _PENALTY), "population", "late-only", "fig2",
             partial(_penalty_gap, set_name=IN_DISTRIBUTION), card="stitching", phrase="late"),
    Question("late-cka", _on(IN_DISTRIBUTION, _CKA), "population", "late-only", "fig2",
             partial(_cka_gap, set_name=IN_DISTRIBUTION), card="cka", phrase="late", lead=f"In distribution, {_LEAD}"),
    Question("overlap-level", _LEVEL, "population", "every-late", "fig7",
             partial(_accuracies, statistic="level"), card="stitching", phrase="smallest late"),
    Question("clusters", _on(IN_DISTRIBUTION, _CLUSTERS), "population", "two-clusters", "fig8",
             partial(_distances, set_name=IN_DISTRIBUTION), card="distances", phrase="clusters"),
    Question("overlap-clusters", _on(OVERLAP, _CLUSTERS), "population", "two-clusters", "fig8",
             partial(_distances, set_name=OVERLAP), card="distances", phrase="clusters"),
    Question("overlap-late-penalty", _on(OVERLAP, _PENALTY), "population", "late-only", "fig7",
             partial(_penalty_gap, set_name=OVERLAP), card="stitching", ours=True, phrase="late"),
    Question("overlap-late-cka", _on(OVERLAP, _CKA), "population", "late-only", "fig2",
             partial(_cka_gap, set_name=OVERLAP), card="cka", ours=True, phrase="late",
             lead=f"On lexical overlap, {_LEAD}"),
    Question("overlap-direction", _DIRECTION, "population", "every-late-margin", "fig7",
             partial(_accuracies, statistic="direction", margin=MARGINS["accuracy"]), card="stitching", ours=True,
             phrase="largest late"),
)  # fmt: skip


@lru_cache(maxsize=KEPT)
def generalization_claims(loaded: PopulationResults) -> tuple[Claim, ...]:
    """Every claim of section 4 for the chosen population and groups, the paper's first."""
    return claims_on("generalization", CLAIMS, loaded)


def headline(loaded: PopulationResults) -> str:
    """The top of the page: the verdict on CKA on both sets, and its numbers."""
    return words.headline(generalization_claims(loaded), WAITING)

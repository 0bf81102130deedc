"""Claims of section 4: each verdict is reached by a constructed population."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from repdiss_core.analysis.groups import split_groups
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.evidence import Effect, Evidence, Place
from repdiss_core.studies.generalization.claims import generalization_claims, headline
from repdiss_core.studies.generalization.question import PopulationParams, accuracies
from repdiss_core.studies.generalization.stored import PopulationResults, load_population_results
from repdiss_core.studies.population import Origin, PopulationAccuracy, PopulationCka
from repdiss_core.studies.rules import FAILS, HOLDS, MISSING, RULES, UNDECIDED
from repdiss_core.studies.words import finding, rests_on

LAYERS = 6
HERE = Origin("local", 0.0, 0)
LATE_CKA, LEVEL, CLUSTERS, LATE_PENALTY, DIRECTION = 1, 2, 3, 0, 7


def population(
    cka_gap=(0.0,) * LAYERS, cost=(0.0,) * (LAYERS + 1), level=0.0, direction=0.0, noise=0.004, seed=0
) -> PopulationResults:
    """Twelve models in two groups of six.

    Args:
        cka_gap: by layer, how much lower CKA is between the groups than within.
        cost: by cut, accuracy lost between the groups.
        level: accuracy of two generalizing models over two heuristic ones.
        direction: accuracy of generalizing below heuristic over the reverse.
        noise: standard deviation from model to model.
    """
    params = PopulationParams()
    groups = split_groups(accuracies("natural", params.rank_by), params.k)
    rng, top = np.random.default_rng(seed), groups.is_top
    mixed = np.not_equal.outer(top, top)[:, :, None]

    def of_models(depth: int, alike: bool) -> np.ndarray:
        below = rng.normal(0, noise, (12, depth))
        above = below if alike else rng.normal(0, noise, (12, depth))
        return below[:, None] + above[None, :]

    cka = 0.8 + of_models(LAYERS, alike=True) - mixed * np.array(cka_gap)
    cka[np.arange(12), np.arange(12)] = 1.0
    sides = level * np.outer(top, top)[:, :, None] + direction * np.outer(top, ~top)[:, :, None]
    accuracy = 0.6 + of_models(LAYERS + 1, alike=False) - mixed * np.array(cost) + sides
    own = np.full(12, 0.9)
    accuracy[np.arange(12), np.arange(12)] = own[:, None]
    found_cka = PopulationCka(groups.models, np.minimum(cka, 1.0), 7, 1024, HERE, ())
    found_accuracy = PopulationAccuracy(groups.models, accuracy, own, 500, HERE)
    both = params.sets
    overlap = accuracies("natural", params.overlap)
    return PopulationResults(
        params, groups, overlap, dict.fromkeys(both, found_cka), dict.fromkeys(both, found_accuracy)
    )


def verdict(loaded: PopulationResults, which: int) -> str:
    return generalization_claims(loaded)[which].verdict


def late(size: float, n: int) -> tuple[float, ...]:
    return (0.0,) * (n - 1) + (size,)


@pytest.mark.parametrize(
    ("which", "made", "wanted"),
    [
        (LATE_CKA, {"cka_gap": late(0.2, LAYERS)}, HOLDS),
        (LATE_CKA, {"cka_gap": (0.2,) * LAYERS}, FAILS),
        (LATE_CKA, {"cka_gap": late(-0.2, LAYERS)}, FAILS),
        (LATE_CKA, {}, FAILS),
        (LATE_CKA, {"noise": 0.3}, UNDECIDED),
        (LATE_PENALTY, {"cost": late(0.2, LAYERS + 1)}, HOLDS),
        (LATE_PENALTY, {"cost": (0.2,) * (LAYERS + 1)}, FAILS),
        (LATE_PENALTY, {}, FAILS),
        (LATE_PENALTY, {"noise": 0.3}, UNDECIDED),
        (LEVEL, {"level": 0.3}, HOLDS),
        (LEVEL, {"level": -0.3}, FAILS),
        (LEVEL, {"noise": 0.3}, UNDECIDED),
        (CLUSTERS, {"cka_gap": (0.3,) * LAYERS}, HOLDS),
        (CLUSTERS, {}, FAILS),
        (DIRECTION, {"direction": 0.3}, HOLDS),
        (DIRECTION, {"direction": -0.3}, FAILS),
        (DIRECTION, {"noise": 0.3}, UNDECIDED),
    ],
)
def test_every_verdict_is_reached(which, made, wanted) -> None:
    assert verdict(population(**made), which) == wanted


def test_a_null_is_said_plainly_with_the_difference_that_is_excluded() -> None:
    found = finding(generalization_claims(population())[LATE_CKA])
    assert found.startswith("No difference was found at any late layer: at most ")
    assert found.endswith("A difference of 0.02 or more is excluded.")
    wide = finding(generalization_claims(population(noise=0.3))[LATE_CKA])
    assert "excluded" not in wide


def test_a_finding_names_its_layer_and_size() -> None:
    claim = generalization_claims(population(cka_gap=late(0.2, LAYERS)))[LATE_CKA]
    assert finding(claim).startswith("The groups part at block 6 of 6: +0.200 of CKA [")
    assert (
        "12 models, 66 pairs, 7 chunks of 1024 feature rows; permutation of models, 924 all splits, "
        "p corrected for 6 layers"
    ) in rests_on(claim)


def test_an_empty_cache_gives_no_verdict(tmp_path) -> None:
    loaded = load_population_results(ResultStore(tmp_path / "local", tmp_path / "packs"), PopulationParams())
    assert {claim.verdict for claim in generalization_claims(loaded)} == {MISSING}
    assert headline(loaded) == "Not every pair of this population is computed yet."


@pytest.mark.parametrize(("low", "wanted"), [(0.01, HOLDS), (-0.01, UNDECIDED)])
def test_a_late_difference_holds_only_where_the_interval_agrees(low, wanted) -> None:
    early = Effect(0.0, -0.05, 0.05, "CKA", Place("block", 1, 2), p=0.9)
    last = Effect(0.1, low, 0.2, "CKA", Place("block", 2, 2), p=0.01)
    rule = RULES["late-only"]
    evidence = Evidence((early, last), margin=0.02)
    assert rule.judge(evidence) == wanted
    assert rule.decisive(evidence) == last


def test_a_split_that_the_interval_does_not_confirm_is_not_said_to_part_the_groups() -> None:
    claim = generalization_claims(population(cka_gap=late(0.2, LAYERS)))[LATE_CKA]
    last = claim.evidence.effects[-1]
    wide = replace(
        claim, evidence=replace(claim.evidence, effects=(*claim.evidence.effects[:-1], replace(last, low=-0.01)))
    )
    assert wide.verdict == UNDECIDED
    assert finding(wide).startswith("Not settled at block 6 of 6: +0.200 of CKA [−0.010, ")
    assert finding(wide).endswith("; the interval over models includes 0.")

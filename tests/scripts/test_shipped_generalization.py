"""Section 4 as it ships: packs hold what the study asks for, and samples computed anew are the same."""

from __future__ import annotations

import numpy as np
import pytest

from repdiss_core.base.comparison import Comparison, Request
from repdiss_core.bundled.nli import POPULATIONS
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.run import Engine
from repdiss_core.scripts.ship.results import comparisons
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies import options
from repdiss_core.studies.generalization import question
from repdiss_core.studies.generalization.claims import generalization_claims
from repdiss_core.studies.generalization.question import PopulationParams
from repdiss_core.studies.generalization.stored import load_population_results
from repdiss_core.studies.rules import MISSING


def anew(comparison: Comparison, n_batches: int) -> dict[str, np.ndarray]:
    """The arrays of a result computed in this process."""
    store = ResultStore.open()
    Engine(store, ActivationCache(budget_bytes=0)).run(Request((comparison,), n_batches), lambda *progress: None)
    return store.get_local(comparison.key).arrays


@pytest.mark.parametrize("population", list(POPULATIONS))
def test_what_the_study_asks_for_ships(population) -> None:
    shipped = set(ResultStore.open().keys("shipped"))
    missing = [c.key for c in comparisons(population) if c.key not in shipped]
    assert not missing, f"{len(missing)} results of {population} do not ship; run `make results`."
    for rows in options.ROWS.values:
        wanted = {
            c.key
            for name in PopulationParams().sets
            for c in question.cka_pairs(PopulationParams(population, rows=rows), name).values()
        }
        assert wanted <= shipped


def test_nothing_of_section_4_ships_that_no_figure_asks_for() -> None:
    store = ResultStore.open()
    wanted = {c.key for population in POPULATIONS for c in comparisons(population)}
    ours = {
        key
        for key in store.keys("shipped")
        if store.get_shipped(key).meta["comparison"]["data"]["name"] == question.DATA
    }
    assert ours == wanted, "weights, data or settings changed; run `make results`."


@pytest.mark.parametrize("population", list(POPULATIONS))
@pytest.mark.parametrize("rows", ["tokens", "padded", "cls"])
def test_cka_computed_anew_is_the_same(population, rows) -> None:
    params = PopulationParams(population, rows=rows)
    first, *_, last = question.models_of(population)
    comparison = question.cka_pairs(params, params.overlap, (first, last))[
        (first, last) if first < last else (last, first)
    ]
    shipped, fresh = ResultStore.open().get_shipped(comparison.key).arrays, anew(comparison, 2)
    for name in ("cross", "self_f", "self_g"):
        np.testing.assert_allclose(fresh[name], shipped[name][:2], atol=2e-6 * np.abs(shipped[name]).max())


@pytest.mark.parametrize("set_name", ["in_distribution", "lexical_overlap"])
def test_stitched_accuracy_computed_anew_is_the_same(set_name) -> None:
    models = question.group_models(PopulationParams())
    pair = (models[0], models[-1])
    comparison = question.stitched_pairs(PopulationParams(), set_name, models)[pair]
    shipped, fresh = ResultStore.open().get_shipped(comparison.key).arrays, anew(comparison, 1)
    assert fresh["correct"].shape == (7, 500)
    for name in ("correct", "own_f", "own_g"):
        assert (fresh[name] != shipped[name]).mean() <= 0.002, "more answers differ than rounding explains"


@pytest.mark.parametrize("population", list(POPULATIONS))
def test_every_claim_has_a_verdict_from_what_ships(population) -> None:
    claims = generalization_claims(load_population_results(ResultStore.open(), PopulationParams(population)))
    assert MISSING not in {claim.verdict for claim in claims}


@pytest.mark.parametrize("population", list(POPULATIONS))
def test_accuracies_at_the_ends_are_the_models_own(population) -> None:
    found = load_population_results(ResultStore.open(), PopulationParams(population)).accuracy["lexical_overlap"]
    told = question.accuracies(population, "lexical_overlap")
    for name, own in zip(found.models, found.own, strict=True):
        assert own == pytest.approx(told[name], abs=0.06), name  # 500 of the set's 1000 pairs

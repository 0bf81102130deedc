"""Every verdict is reached by a constructed result; intervals cover what they claim to."""

from __future__ import annotations

import re

import numpy as np
import pytest

from repdiss_core.analysis.intervals import over_crossed_seeds, over_samples
from repdiss_core.base.errors import UserError
from repdiss_core.base.results import StitchResult
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.asymmetry import claims
from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.studies.evidence import Evidence
from repdiss_core.studies.rules import RULES
from repdiss_core.studies.words import finding

SEQUENCES = 200


@pytest.fixture
def store(tmp_path) -> ResultStore:
    return ResultStore(tmp_path / "local", tmp_path / "packs")


def fill(store: ResultStore, params: asymmetry.AsymmetryParams, penalty, seeds_too: bool = True) -> None:
    """Store stitches with penalty(kind_f, kind_g, same model, layer) and a common noise from sequence to sequence."""
    rng = np.random.default_rng(1)
    curves = asymmetry.all_curves(params) if seeds_too else asymmetry.paper_curves(params)
    own = 3.0 + rng.normal(0, 0.5, SEQUENCES)
    for spec in curves:
        jitter = rng.normal(0, 0.002)
        for c in spec.comparisons:
            loss = (
                own
                + penalty(spec.kind_f, spec.kind_g, c.f == c.g, c.layer_pair[0])
                + jitter
                + rng.normal(0, 0.01, SEQUENCES)
            )
            empty = np.zeros(0)
            arrays, meta = StitchResult(*c.layer_pair, loss, empty, own, own, empty, empty, 300, 300).to_arrays()
            store.put(c.key, arrays, meta)


def paper_like(kind_f, kind_g, same, layer):
    if same:
        return {"gelu": 0.05, "solu": 0.01}[kind_f]
    return {("solu", "gelu"): 0.4, ("gelu", "solu"): 0.3}.get((kind_f, kind_g), 0.2)


def test_paper_like_results_hold_in_both_scopes(store) -> None:
    params = asymmetry.AsymmetryParams()
    fill(store, params, paper_like)
    found = claims.asymmetry_claims(store, params)
    assert {(c.scope, c.verdict) for c in found} == {("models", "holds"), ("activation", "holds")}
    assert "True at every layer" in claims.headline(store, params)
    assert re.search(r"layer 1: \+0\.(10|09)\d \[", finding(found[0])), "solu → gelu was made to cost .1 more"


def test_a_reversal_at_one_layer_does_not_hold(store) -> None:
    params = asymmetry.AsymmetryParams()
    fill(
        store,
        params,
        lambda f, g, same, layer: (
            paper_like(f, g, same, layer) - (0.3 if layer == 2 and (f, g) == ("solu", "gelu") else 0)
        ),
    )
    first = claims.asymmetry_claims(store, params)[0]
    assert first.verdict == "does not hold"
    assert "Reversed at layer 2" in finding(first)


def test_no_difference_is_undecided(store) -> None:
    params = asymmetry.AsymmetryParams()
    fill(store, params, lambda f, g, same, layer: 0.3)
    wide = [c for c in claims.asymmetry_claims(store, params) if c.scope == "activation"]
    assert {c.verdict for c in wide} == {"undecided"}


def test_under_three_seeds_the_activation_is_undecided(store) -> None:
    params = asymmetry.AsymmetryParams(depth=4)
    fill(store, params, paper_like)
    found = claims.asymmetry_claims(store, params)
    assert {c.verdict for c in found if c.scope == "activation"} == {"undecided"}
    assert all("too few" in finding(c) for c in found if c.scope == "activation")
    assert {c.verdict for c in found if c.scope == "models"} == {"holds"}


def test_missing_results_are_not_a_verdict(store) -> None:
    params = asymmetry.AsymmetryParams()
    fill(store, params, paper_like, seeds_too=False)
    found = claims.asymmetry_claims(store, params)
    assert found[0].verdict == "holds"
    assert found[1].verdict == "not computed"
    assert {
        c.verdict for c in claims.asymmetry_claims(ResultStore(store.directory / "x", store.directory), params)
    } == {"not computed"}


def test_a_single_loud_layer_does_not_make_every_layer_hold() -> None:
    rng = np.random.default_rng(0)
    samples = np.stack([rng.normal(1.0, 0.1, 50), rng.normal(0.0, 0.1, 50)])
    differences = over_samples(samples)
    rule = RULES["every-layer"]
    assert rule.judge(Evidence(claims.effects_by_layer(differences))) == "undecided"
    assert rule.judge(Evidence(claims.effects_by_layer(over_samples(samples[:1])))) == "holds"


def test_simultaneous_intervals_cover_all_layers_together() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        d = over_samples(rng.normal(0.2, 1.0, (4, 12)))
        covered += bool(np.all((d.lower < 0.2) & (d.upper > 0.2)))
    assert 0.92 <= covered / 400 <= 0.99


def test_crossed_seed_intervals_cover_despite_shared_models() -> None:
    rng = np.random.default_rng(4)
    covered = naive = 0
    for _ in range(400):
        table = 0.1 + rng.normal(0, 1, (3, 1, 2)) + rng.normal(0, 1, (1, 3, 2)) + rng.normal(0, 0.3, (3, 3, 2))
        d = over_crossed_seeds(table)
        covered += bool(np.all((d.lower < 0.1) & (d.upper > 0.1)))
        n = over_samples(table.reshape(9, 2).T)
        naive += bool(np.all((n.lower < 0.1) & (n.upper > 0.1)))
    assert covered / 400 >= 0.93
    assert naive < covered, "treating the nine pairs as independent is too narrow"


def test_too_few_samples() -> None:
    with pytest.raises(UserError, match="needs at least 2 samples; there is 1"):
        over_samples(np.zeros((3, 1)))
    assert over_crossed_seeds(np.zeros((2, 3, 4))) is None


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"depth": 5}, "Choose 3 or 4"),
        ({"seed_gelu": 7}, "no 3-layer gelu model with seed 7"),
        ({"seed_solu": -1}, "Seeds that ship"),
    ],
)
def test_impossible_choices_are_sentences(choice, message) -> None:
    with pytest.raises(UserError, match=message):
        asymmetry.AsymmetryParams(**choice)

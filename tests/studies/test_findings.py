"""Findings, tour and glossary: computed from claims, each claim once, each step's figure there."""

from __future__ import annotations

import re

import pytest

from repdiss_core.store.cache import ResultStore
from repdiss_core.studies import tour
from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.studies.asymmetry.claims import asymmetry_claims
from repdiss_core.studies.claims import Claim
from repdiss_core.studies.evidence import Effect, Evidence, Obstacle, Place
from repdiss_core.studies.findings import Finding, ModelSet, Row, findings, model_sets, tally
from repdiss_core.studies.paper import STUDIES
from repdiss_core.studies.rules import FAILS, HOLDS, MISSING, UNDECIDED
from repdiss_core.studies.words import finding, verdict_sentence
from repdiss_core.ui.findings_page import address, effect_words, table_rows, whose
from repdiss_core.ui.glossary import TERMS, terms_in
from repdiss_core.ui.views import View, cards_of


@pytest.fixture(scope="module")
def shipped() -> tuple[Finding, ...]:
    return findings(ResultStore.open(), "asymmetry")[0]


def test_every_claim_stands_once_with_the_verdict_that_the_claims_give(shipped) -> None:
    assert len({f.statement for f in shipped}) == len(shipped)
    told = {
        (row.models.label, row.claim.statement, row.claim.scope): row.claim.verdict
        for finding in shipped
        for row in finding.rows
    }
    for depth in asymmetry.DEPTHS:
        for claim in asymmetry_claims(ResultStore.open(), asymmetry.AsymmetryParams(depth=depth)):
            assert told.pop((f"{depth}-layer models", claim.statement, claim.scope)) == claim.verdict
    assert not told
    assert [f.ours for f in shipped] == sorted(f.ours for f in shipped), "the paper's first"


def test_an_effect_is_one_of_the_numbers_that_the_claim_tells(shipped) -> None:
    effects = [(row.claim.effect, finding(row.claim)) for judged in shipped for row in judged.rows if row.claim.effect]
    assert len(effects) > 10
    for effect, found in effects:
        layer = effect.where.removeprefix("layer ")
        numbers = f"layer {layer}: {effect.value:+.3f} [{effect.low:+.3f}, {effect.high:+.3f}]"
        assert numbers.replace("-", "−") in found
        assert effect.low <= effect.value <= effect.high


def test_the_effect_of_a_claim_at_every_layer_is_the_one_that_decides(shipped) -> None:
    for row in (row for judged in shipped for row in judged.rows if row.claim.effect):
        effect = row.claim.effect
        assert {HOLDS: effect.low > 0, FAILS: effect.high < 0, UNDECIDED: effect.low <= 0 <= effect.high}[
            row.claim.verdict
        ]


def test_an_empty_cache_judges_nothing(tmp_path) -> None:
    store = ResultStore(tmp_path / "local", tmp_path / "packs")
    for study in ("asymmetry", "scaling"):
        found, problems, waiting = findings(store, study)
        assert problems == () and any("the paper" in label for label in waiting), (
            "the paper's own models are named, if nothing of them is here"
        )
        assert found
        assert {row.claim.verdict for f in found for row in f.rows} <= {MISSING, UNDECIDED}
        assert not any(row.claim.effect for f in found for row in f.rows)
    assert tally(findings(store, "asymmetry")[0])[HOLDS] == 0


def _finding() -> Finding:
    models = ModelSet("asymmetry", "3-layer models", {"depth": "3"}, lambda store: ())
    effect = Effect(-0.5, -0.6, -0.4, "nats a token", Place("layer", 2))
    claims = [Claim("s", "asymmetry", "S", "models", "below", "fig1", Evidence((effect,)), card="fig1"),
              Claim("s", "asymmetry", "S", "activation", "below", "fig1",
                    obstacle=Obstacle("cannot-be-asked", "analysis", {"message": "too few"}), card="fig1")]  # fmt: skip
    return Finding("s", "S", False, tuple(Row(models, claim) for claim in claims))


def test_the_table_gives_one_link_to_verdicts_on_the_same_models() -> None:
    ((one,),) = [[claim["rows"] for claim in table_rows((_finding(),))]]
    assert [row["span"] for row in one] == [2, 0]
    assert (one[0]["effect"], one[0]["interval"]) == ("−0.500 nats a token", "[−0.600, −0.400]")
    assert (one[1]["effect"], one[1]["found"]) == ("", "too few")
    assert [(row["verdict"], row["rule"]) for row in one] == [
        ("holds", "below a threshold"),
        ("undecided", "cannot be asked here"),
    ]
    assert [whose(row) for row in _finding().rows] == ["3-layer models, one pair", "3-layer models, over seeds"]
    assert address(_finding().rows[0]) == "./Activation_asymmetry?depth=3&at=fig1"


def test_an_effect_without_interval_shows_none() -> None:
    assert effect_words(Effect(0.25, float("nan"), float("nan"), "radians")) == ("+0.250 radians", "")
    assert effect_words(None) == ("", "")


@pytest.mark.parametrize("study", STUDIES)
def test_every_set_of_models_opens_by_its_choices_and_has_the_claims_figures(study) -> None:
    for models in model_sets(study):
        cards = {card.card_id for card in cards_of(View.of(models.page, models.choices))}
        wanted = {
            "asymmetry": {"fig1"},
            "generalization": {"stitching", "cka", "distances"},
            "scaling": {"early", "odd", "trend", "heads"},
        }
        assert wanted[study] <= cards


@pytest.mark.parametrize("step", tour.STEPS, ids=lambda step: step.title)
def test_every_step_of_the_tour_has_its_figure(step) -> None:
    (card,) = cards_of(View.of(step.page, dict(step.query), step.card))
    assert card.card_id == step.card


def test_the_steps_of_section_3_tell_computed_numbers(shipped) -> None:
    facts = tour.Facts(ResultStore.open(), lambda study: shipped)
    for step in (s for s in tour.STEPS if s.study == "asymmetry"):
        assert re.search(r"\d\.\d\d", step.tell(facts)), step.title
    asymmetric = asymmetry_claims(ResultStore.open(), asymmetry.AsymmetryParams(depth=3))[0]
    assert verdict_sentence(asymmetric) in tour.STEPS[1].tell(facts)


def test_a_step_without_results_says_so(tmp_path) -> None:
    store = ResultStore(tmp_path / "local", tmp_path / "packs")
    facts = tour.Facts(store, lambda study: findings(store, study)[0])
    for step in (s for s in tour.STEPS if s.study != "generalization"):
        assert re.search(r"not (yet )?(computed|trained|here)|Not computed|undecided|members", step.tell(facts)), (
            step.title
        )


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_a_term_has_a_source_and_a_formula_whose_braces_close(term) -> None:
    assert term.source and term.means.endswith(".")
    assert term.formula.count("{") == term.formula.count("}") and term.formula.count(r"\left") == term.formula.count(
        r"\right"
    )


def test_terms_are_found_where_they_are_used() -> None:
    assert [t.name for t in terms_in(["The penalty of a stitch"])] == ["stitching, φ", "stitching penalty"]
    assert terms_in(["nothing of the kind"]) == ()
    assert "resid_post" in {t.name for t in terms_in(["unbiased CKA, resid_post"])}

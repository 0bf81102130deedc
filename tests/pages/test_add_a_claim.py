"""The recipe "to add a claim": one entry in a study's list, and it is judged and shown everywhere, with its rule."""

from __future__ import annotations

import json

import pytest
from shown import opened
from test_pages import words

from repdiss_core.__main__ import main
from repdiss_core.scripts.ship.report_claims import claims_table
from repdiss_core.studies.asymmetry import claims as asymmetry
from repdiss_core.studies.asymmetry.question import AsymmetryParams
from repdiss_core.studies.claims import Question
from repdiss_core.studies.evidence import Effect, Evidence, Place
from repdiss_core.studies.generalization import claims as generalization
from repdiss_core.studies.paper import STUDIES
from repdiss_core.studies.scaling import claims as scaling
from repdiss_core.ui import findings_page
from repdiss_core.ui.cards import claims_list
from repdiss_core.ui.parts.shared import result_store
from repdiss_core.ui.views import View, content, page_sections

LISTS = {"asymmetry": asymmetry, "generalization": generalization, "scaling": scaling}
FIGURES = {"asymmetry": "fig4", "generalization": "fig2", "scaling": "fig3"}
SCOPES = {"asymmetry": "models", "generalization": "population", "scaling": "family"}
STATEMENT = "Toy models are less alike than others."
FOUND = "At layer 2: −0.250 toys [−0.300, −0.200]."
RULE = "Rule “below a threshold”: Holds where the interval lies below 0, does not hold where it lies above"


@pytest.fixture(params=LISTS)
def study(request, monkeypatch):
    """The name of a study whose list has one entry more."""
    name = request.param
    effect = Effect(-0.25, -0.3, -0.2, "toys", Place("layer", 2))
    toy = Question(
        "toy", STATEMENT, SCOPES[name], "below", FIGURES[name], lambda models: Evidence((effect,)), ours=True
    )
    monkeypatch.setattr(LISTS[name], "CLAIMS", (*LISTS[name].CLAIMS, toy))
    forget()
    yield name
    forget()


def forget() -> None:
    """Verdicts are worked out once for each state of the results, and a list is no result."""
    for worked_out in (generalization.generalization_claims, scaling.scaling_claims):
        worked_out.cache_clear()
    claims_list._judged.cache_clear()
    findings_page._findings.cache_clear()


def test_a_claim_added_by_one_entry_is_shown_everywhere_with_verdict_and_rule(study, capsys) -> None:
    page = STUDIES[study].page
    test = opened(page)
    assert [e.message for e in test.exception] == []
    said = words(test).replace("\\", "")
    assert STATEMENT in said and FOUND in said and RULE in said

    (finding,) = (f for f in findings_page.stored_findings(study).findings if f.claim_id == "toy")
    (row, *_) = findings_page.table_rows((finding,))[0]["rows"]
    assert (row["verdict"], row["rule"], row["effect"], row["where"]) == (
        "holds", "below a threshold", "−0.250 toys", "layer 2",
    )  # fmt: skip
    assert any(sentence.startswith(RULE) for sentence in findings_page.rule_sentences((finding,)))

    view = View.of(page, {})
    shown = content(view)
    *_, section = page_sections(view, shown, "")
    assert section.table is not None
    (exported, *_) = (row for row in section.table.to_numpy() if row[0] == STATEMENT)
    assert tuple(exported[3:5]) == ("holds", FOUND) and exported[-1].startswith(RULE)

    claims = [claim for _, claim in shown.claims()]
    assert f"| {STATEMENT} (our question) | **holds** | below a threshold | {FOUND} |" in claims_table(
        claims, ("claim", "verdict", "rule", "found")
    )

    assert main(["list", "claims", "--json"]) == 0
    listed = [row for row in json.loads(capsys.readouterr().out) if row["id"] == "toy"]
    assert listed and {row["verdict"] for row in listed} == {"holds"} and listed[0]["rule"] == "below"
    assert listed[0]["effects"][0]["value"] == -0.25


def test_ids_are_unique_and_every_word_of_an_entry_is_known() -> None:
    """An entry that names a rule, scope, phrase or figure that does not exist fails here and not on a page."""
    from repdiss_core.studies.paper import FIGURES as ALL_FIGURES
    from repdiss_core.studies.phrases import PHRASES
    from repdiss_core.studies.phrases import SCOPES as ALL_SCOPES
    from repdiss_core.studies.rules import RULES

    for module in LISTS.values():
        ids = [(question.id, question.scope) for question in module.CLAIMS]
        assert len(set(ids)) == len(ids)
        for question in module.CLAIMS:
            assert question.rule in RULES and question.scope in ALL_SCOPES
            assert question.phrase in PHRASES and question.figure in ALL_FIGURES


def test_a_verdict_names_the_rule_that_gave_it_and_not_the_one_that_could_not() -> None:
    claims = asymmetry.asymmetry_claims(result_store(), AsymmetryParams(depth=4))
    rules = {(claim.scope, claim.judged_by.id) for claim in claims}
    assert rules == {("models", "every-layer"), ("activation", "cannot-be-asked")}, "four layers have two seeds"

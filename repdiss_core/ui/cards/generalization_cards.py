"""The pickers of the page Generalization, and what it says."""

from __future__ import annotations

import streamlit as st

from repdiss_core.studies.claims import Claim
from repdiss_core.studies.figure import Choice, View
from repdiss_core.studies.generalization import question as study
from repdiss_core.studies.generalization import stored
from repdiss_core.studies.generalization.claims import generalization_claims, headline
from repdiss_core.studies.generalization.question import Params
from repdiss_core.studies.generalization.stored import Loaded
from repdiss_core.ui.cards.model_strip import NONE
from repdiss_core.ui.parts.pickers import choose, controls, switch
from repdiss_core.ui.parts.shared import result_store

ROW_NAMES = {"tokens": "tokens, without padding", "padded": "all positions, padding included", "cls": "[CLS] alone"}
HOOK_NAMES = {"mlp_out": "before the residual addition", "resid_post": "after the residual addition"}


def pick() -> tuple[Params, str]:
    """The row of controls: the study's choices, and accuracy or penalty."""
    with controls():
        population_column, k_column, show_column, settings_column = st.columns(
            [1.7, 0.9, 1.3, 2.2], vertical_alignment="bottom"
        )
        with population_column:
            population = choose(
                "Population", list(study.POPULATIONS), "population", names=lambda name: study.POPULATIONS[name].label
            )
        with k_column:
            most = len(study.models_of(population)) // 2
            k = choose("Models a group", list(range(2, most + 1)), "k", min(6, most))
        with show_column:
            quantity = switch(
                "Show",
                ("accuracy", "penalty"),
                "show",
                help="The penalty is the top model’s own accuracy minus that of the stitch.",
            )
        with settings_column, st.popover(_summary(), icon=":material/tune:", width="stretch"):
            rank_by = choose(
                "Rank the models by",
                list(study.RANKING_SETS),
                "rank",
                names=study.SET_LABELS.__getitem__,
                help="Whose accuracy makes a model “generalizing” or “heuristic”.",
            )
            overlap = choose(
                "Measure on, beside in-distribution pairs",
                list(study.MEASURED_OVERLAPS),
                "measured",
                names=study.SET_LABELS.__getitem__,
                help="Measuring on the pairs that rank the models is circular.",
            )
            rows = choose(
                "Rows of the feature matrix",
                list(ROW_NAMES),
                "rows",
                names=ROW_NAMES.__getitem__,
                help="The paper pads and counts padding as rows, which raises CKA.",
            )
            hook = choose(
                "Features",
                list(HOOK_NAMES),
                "hook",
                names=HOOK_NAMES.__getitem__,
                help="The paper takes each block’s output before the residual addition.",
            )
    return Params(population, k, rank_by, overlap, rows, hook), quantity


def _summary() -> str:
    state = st.session_state
    words = [ROW_NAMES[state.get("rows", "tokens")], HOOK_NAMES[state.get("hook", "mlp_out")]]
    if state.get("rank", study.RANKING_SETS[0]) == state.get("measured", study.MEASURED_OVERLAPS[0]):
        words.append("ranked on what is measured")
    return " · ".join(words)


def loaded(params: Params) -> Loaded:
    """What is stored of a choice, read again when the local results have changed."""
    return stored.loaded(result_store(), params)


def first_choice() -> Choice:
    """What the page shows before anything is chosen."""
    return chosen(Params(), "accuracy")


def chosen(params: Params, quantity: str, f: str = NONE, g: str = NONE) -> Choice:
    """The choice of the page: two models are shown alone where both are chosen and differ."""
    return Choice((params,), View(quantity, models=() if NONE in (f, g) or f == g else (f, g)))


def whole_choice() -> Choice:
    """Every picker of the page."""
    params, quantity = pick()
    names = [NONE, *study.models_of(params.population)]
    return chosen(params, quantity, choose("First model", names, "model_a"), choose("Second model", names, "model_b"))


def claims(choice: Choice) -> tuple[tuple[str, Claim], ...]:
    """(population, claim) pairs."""
    params = choice.only
    return tuple((params.population, claim) for claim in generalization_claims(loaded(params)))


def said(choice: Choice) -> str:
    """The sentence at the top."""
    return headline(loaded(choice.only))


def say_what_is_compared(params: Params) -> None:
    """One line under the controls: what this population is, and a warning where the choice is circular."""
    spec = study.POPULATIONS[params.population]
    if spec.constructed:
        st.warning(
            "These two groups were **made** to differ by their training data. They show what the instruments can see; a gap here is no finding.",
            icon=":material/construction:",
        )
    if params.circular:
        st.warning(
            "The models are ranked on the very pairs that they are measured on. That flatters every number on the lexical-overlap side.",
            icon=":material/warning:",
        )

"""The pickers of the page Generalization, and what it says."""

from __future__ import annotations

import streamlit as st

from repdiss_core.base.option import Option
from repdiss_core.studies import options
from repdiss_core.studies.claims import Claim
from repdiss_core.studies.figure import FigureChoice, View
from repdiss_core.studies.generalization import question, stored
from repdiss_core.studies.generalization.claims import generalization_claims, headline
from repdiss_core.studies.generalization.question import PopulationParams
from repdiss_core.studies.generalization.stored import PopulationResults
from repdiss_core.ui.cards.model_strip import pair_options
from repdiss_core.ui.parts.pickers import choose, controls, switch
from repdiss_core.ui.parts.pickers import chosen as stands_at
from repdiss_core.ui.parts.shared import result_store


def pick() -> tuple[PopulationParams, str]:
    """The row of controls: the study's choices, and accuracy or penalty."""
    with controls():
        population_column, k_column, show_column, settings_column = st.columns(
            [1.7, 0.9, 1.3, 2.2], vertical_alignment="bottom"
        )
        with population_column:
            population = choose(options.POPULATION)
        with k_column:
            k = choose(group_sizes(population))
        with show_column:
            quantity = switch(options.SHOW_ACCURACY)
        with settings_column, st.popover(_summary(), icon=":material/tune:", width="stretch"):
            rank_by, overlap = choose(options.RANK_BY), choose(options.MEASURED)
            rows, hook = choose(options.ROWS), choose(options.HOOK)
    return PopulationParams(population, k, rank_by, overlap, rows, hook), quantity


def group_sizes(population: str) -> Option:
    """How many models a group may have, so that no model is in both."""
    most = len(question.models_of(population)) // 2
    return options.GROUP_SIZE.offering(range(2, most + 1), min(options.GROUP_SIZE.default, most))


def _summary() -> str:
    words = [option.label_of(stands_at(option)) for option in (options.ROWS, options.HOOK)]
    if stands_at(options.RANK_BY) == stands_at(options.MEASURED):
        words.append("ranked on what is measured")
    return " · ".join(words)


def loaded(params: PopulationParams) -> PopulationResults:
    """What is stored of a choice, read again when the local results have changed."""
    return stored.loaded(result_store(), params)


def first_choice() -> FigureChoice:
    """What the page shows before anything is chosen."""
    return chosen(PopulationParams(), options.SHOW_ACCURACY.default)


def chosen(
    params: PopulationParams, quantity: str, f: str = options.NO_MODEL, g: str = options.NO_MODEL
) -> FigureChoice:
    """The choice of the page: two models are shown alone where both are chosen and differ."""
    return FigureChoice((params,), View(quantity, models=() if options.NO_MODEL in (f, g) or f == g else (f, g)))


def whole_choice() -> FigureChoice:
    """Every picker of the page."""
    params, quantity = pick()
    first, second = pair_options(params.population)
    return chosen(params, quantity, choose(first), choose(second))


def claims(choice: FigureChoice) -> tuple[tuple[str, Claim], ...]:
    """(population, claim) pairs."""
    params = choice.only
    return tuple((params.population, claim) for claim in generalization_claims(loaded(params)))


def said(choice: FigureChoice) -> str:
    """The sentence at the top."""
    return headline(loaded(choice.only))


def say_what_is_compared(params: PopulationParams) -> None:
    """One line under the controls: what this population is, and a warning where the choice is circular."""
    spec = question.POPULATIONS[params.population]
    if spec.constructed:
        st.warning(
            (
                "These two groups were **made** to differ by their training data. "
                "They show what the instruments can see; a gap here is no finding."
            ),
            icon=":material/construction:",
        )
    if params.circular:
        st.warning(
            (
                "The models are ranked on the very pairs that they are measured on. "
                "That flatters every number on the lexical-overlap side."
            ),
            icon=":material/warning:",
        )

"""Difference mode of the page Compare models: a second result B beside the page's own A, and B − A."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from repdiss_core.studies import options
from repdiss_core.studies.figure import FigureChoice
from repdiss_core.studies.pair.question import Pair
from repdiss_core.ui.cards.pair_cards import model_names, pick, sentence
from repdiss_core.ui.cards.pair_link import choice_of, differing
from repdiss_core.ui.parts.pickers import choose, second_row, switch, type_in
from repdiss_core.ui.parts.shared import result_store
from repdiss_core.ui.parts.tables import markdown_table
from repdiss_core.ui.parts.text import as_text


def pick_both(choice: Pair) -> tuple[Pair, Pair]:
    """(A, B): A is what the page's lists say, B another pair or estimator; a pasted link takes the place of either.

    Raises:
        UserError: a link that this page cannot read.
    """
    with second_row():
        names = list(dict.fromkeys([*model_names(), choice.f, choice.g]))
        f_column, g_column, estimator_column = st.columns([1.3, 1.3, 2.2], vertical_alignment="bottom")
        with f_column:
            f = choose(options.MODEL_F_OF_B.offering(names, choice.f))
        with g_column:
            g = choose(options.MODEL_G_OF_B.offering(names, choice.g))
        estimator = options.LIKE_A
        if choice.measure == "cka":
            with estimator_column:
                estimator = choose(options.ESTIMATOR_OF_B)
        left, right = st.columns(2)
        with left:
            a_link = type_in(options.LINK_OF_A)
        with right:
            b_link = type_in(options.LINK_OF_B)
    a = choice_of(a_link) if a_link else choice
    if b_link:
        return a, choice_of(b_link)
    view = a.view if estimator == options.LIKE_A else replace(a.view, estimator=estimator)
    return a, replace(a, f=f, g=g, view=view)


def say_what_differs(*both: Pair) -> None:
    """A table of the settings in which A and B differ, and only those; nothing without them."""
    import pandas as pd

    if not both:
        return
    a, b = both
    rows = differing(a, b)
    if not rows:
        st.markdown("A and B have the same settings: their difference is 0.")
        return
    cells = [(name, as_text(of_a), as_text(of_b)) for name, of_a, of_b in rows]
    st.markdown(markdown_table(pd.DataFrame(cells, columns=["", "A", "B"]), "lll"))


def whole_choice() -> FigureChoice:
    """Every picker of the page."""
    return one_or_both(pick())


def one_or_both(pair: Pair) -> FigureChoice:
    """The lists' own pair, followed by A and B where their difference is asked for."""
    if switch(options.MODE) == "one":
        return FigureChoice((pair,))
    return FigureChoice((pair, *pick_both(pair)))


def said(choice: FigureChoice) -> str:
    """The sentence at the top, on the pair of the lists."""
    return sentence(result_store(), choice.params[0])

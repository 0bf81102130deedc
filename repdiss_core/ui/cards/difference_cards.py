"""Difference mode of the page Compare models: a second result B beside the page's own A, and B − A."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from repdiss_core.base.comparison import Request
from repdiss_core.models import model_spec
from repdiss_core.plots.map_scale import MapStyle
from repdiss_core.plots.theme import Look
from repdiss_core.store.cache import ResultStore
from repdiss_core.store.entries import origin_of
from repdiss_core.studies.drawn import Drawn
from repdiss_core.studies.pair.difference import Measured, compose_difference, measured_cka
from repdiss_core.studies.pair.question import pair_panels
from repdiss_core.studies.pair.stitch_map import load_map, map_form, pair_maps
from repdiss_core.studies.panels import load_stitch, request_for
from repdiss_core.ui.cards.asymmetry_cards import LINK
from repdiss_core.ui.cards.card import Card
from repdiss_core.ui.cards.pair_cards import TYPED_MODELS, Choice, model_names
from repdiss_core.ui.cards.pair_link import choice_of, differing
from repdiss_core.ui.parts.pickers import choose, second_row, type_in
from repdiss_core.ui.parts.settings import ESTIMATORS
from repdiss_core.ui.parts.text import as_text

MODES = ("one result", "difference B − A")
SAME_ESTIMATOR = "as in A"
HOW_DIFFERENCES_READ = (
    "A and B share one scale. The third map is B minus A: orange where B is higher, purple where it is lower, pale where they agree. "
    "Where both rest on the same batches, the interval is that of the paired difference: what a batch does to both goes out. Point at a cell for it."
)


def pick_both(choice: Choice) -> tuple[Choice, Choice]:
    """(A, B): A is what the page's lists say, B another pair or estimator; a pasted link takes the place of either.

    Raises:
        UserError: a link that this page cannot read.
    """
    with second_row():
        names = list(dict.fromkeys([*model_names(), choice.f, choice.g]))
        f_column, g_column, estimator_column = st.columns([1.3, 1.3, 2.2], vertical_alignment="bottom")
        with f_column:
            f = choose("Model f of B", names, "b_f", choice.f, typed=TYPED_MODELS)
        with g_column:
            g = choose("Model g of B", names, "b_g", choice.g, typed=TYPED_MODELS)
        estimator = SAME_ESTIMATOR
        if choice.measure == "cka":
            with estimator_column:
                options = [SAME_ESTIMATOR, *ESTIMATORS]
                estimator = choose("Estimator of B", options, "b_estimator", names=lambda e: ESTIMATORS.get(e, e))
        left, right = st.columns(2)
        with left:
            a_link = type_in("Or a link of this page as A", "a_link", "empty: the lists above")
        with right:
            b_link = type_in("Or a link of this page as B", "b_link", "empty: the lists of B")
    a = choice_of(a_link) if a_link else choice
    if b_link:
        return a, choice_of(b_link)
    view = a.view if estimator == SAME_ESTIMATOR else replace(a.view, estimator=estimator)
    return a, replace(a, f=f, g=g, view=view)


def say_what_differs(a: Choice, b: Choice) -> None:
    """A table of the settings that differ, and only those."""
    rows = differing(a, b)
    if not rows:
        st.markdown("A and B have the same settings: their difference is 0.")
        return
    st.markdown(
        "\n".join(
            ["| | A | B |", "|:--|:--|:--|", *(f"| {name} | {as_text(x)} | {as_text(y)} |" for name, x, y in rows)]
        )
    )


def difference_card(a: Choice, b: Choice, style: MapStyle, relative: bool) -> Card:
    """A, B and B − A."""

    def draw(store: ResultStore, look: Look, state: str) -> Drawn:
        return compose_difference(measured(store, a), measured(store, b), look, style, relative, state)

    shows = (a, b, style, relative)
    return Card(
        "difference",
        "Two results and their difference",
        "",
        _request(a, b),
        draw,
        HOW_DIFFERENCES_READ,
        shows=shows,
        link=LINK,
    )


def measured(store: ResultStore, choice: Choice) -> Measured:
    """The map between the two models of a choice, with its sample."""
    depths = model_spec(choice.f).n_layers, model_spec(choice.g).n_layers
    if choice.measure == "cka":
        panel = pair_panels(choice.f, choice.g, choice.view, choice.setting)[-1]
        return measured_cka(store, panel, depths, choice.view.reduction, choice.view.n_batches)
    one = pair_maps(choice.f, choice.g, choice.setting, choice.stitch, choice.measure)[-1]
    matrix, entries = load_map(store, one, choice.quantity)
    whole = bool(np.isfinite(matrix.values).all())
    sample = None
    if whole:
        results = [[load_stitch(store, c)[0] for c in row] for row in one.comparisons]
        sample = np.array(
            [[r.penalty if choice.quantity == "penalty" else r.loss for r in row] for row in results]
        ).transpose(2, 0, 1)
    return Measured(
        choice.quantity,
        choice.f,
        choice.g,
        *depths,
        matrix if entries else None,
        sample,
        "sequence",
        one.comparisons[0][0].data,
        choice.measure.replace("_", " "),
        map_form(one, matrix, choice.quantity),
        whole,
        origin_of([e.origin for e in entries]),
        max((e.stored_at for e in entries), default=None),
    )


def _request(a: Choice, b: Choice) -> Request:
    comparisons = []
    for choice in (a, b):
        if choice.measure == "cka":
            comparisons.append(pair_panels(choice.f, choice.g, choice.view, choice.setting)[-1].comparison)
        else:
            comparisons += [
                c
                for row in pair_maps(choice.f, choice.g, choice.setting, choice.stitch, choice.measure)[-1].comparisons
                for c in row
            ]
    return request_for(comparisons, max(a.view.n_batches, b.view.n_batches))

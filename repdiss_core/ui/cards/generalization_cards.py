"""The pickers and the cards of the page Generalization."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import streamlit as st

from repdiss_core.base.comparison import Comparison
from repdiss_core.plots.theme import Look
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.drawn import Drawn
from repdiss_core.studies.generalization import fig2_fig7_curves as curves
from repdiss_core.studies.generalization import fig8_distances as distances
from repdiss_core.studies.generalization import question as study
from repdiss_core.studies.generalization.question import Params
from repdiss_core.studies.generalization.stored import Loaded, load
from repdiss_core.studies.panels import request_for
from repdiss_core.studies.paper import STUDIES
from repdiss_core.ui.cards.card import Card
from repdiss_core.ui.cards.figure_card import figure_card
from repdiss_core.ui.parts.pickers import choose, controls, switch
from repdiss_core.ui.parts.shared import result_store, stored_version

QUESTION = STUDIES["generalization"].question
ROW_NAMES = {"tokens": "tokens, without padding", "padded": "all positions, padding included", "cls": "[CLS] alone"}
HOOK_NAMES = {"mlp_out": "before the residual addition", "resid_post": "after the residual addition"}
HOW_STITCHING_READS = (
    "A stitched model runs the first layers of one classifier and the others of another, with nothing trained in between. The horizontal axis says which "
    "part of the layers comes from the bottom model; “generalizing → heuristic” has a generalizing model below. Bands are the paper’s intervals over "
    "pairs. Since pairs share models, they are too narrow; the p-values above the curves come from splitting the *models* at random instead, corrected for "
    "the number of cuts, and are written only where they are below .05. The last cut exchanges only the head and is drawn apart."
)
HOW_CKA_READS = (
    "Each curve is the mean CKA of block l of one model with block l of another, over pairs of one kind. If generalizing and heuristic models part late, the "
    "grey curve falls away from the two others on the right. p-values as above, corrected for the number of blocks."
)
HOW_DISTANCES_READ = (
    "One point a pair of models: the root of the sum over blocks of arccos(CKA)². Boxes show quartiles. If the two groups are clusters, the grey points lie "
    "above the others."
)
HOW_MAPS_READ = (
    "Every model of the population against every other; dark is far apart. The tree joins the nearest first (average linkage) and orders the map. The strip "
    "under it is each model’s accuracy on lexical overlap: were the models clustered by how they generalize, it would fall into two blocks."
)
HOW_POINTS_READ = "Points that lie close are models whose features are alike. Colour is accuracy on lexical overlap; circles are the generalizing group, squares the heuristic one, small diamonds the models between."


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
    return _loaded(params, stored_version())


@st.cache_resource(max_entries=24, show_spinner=False)
def _loaded(params: Params, _state: tuple[int, ...]) -> Loaded:
    return load(result_store(), params)


@lru_cache(maxsize=64)
def cards(params: Params, quantity: str) -> tuple[Card, ...]:
    """The study's figures, in-distribution and lexical-overlap panels side by side."""
    sets = params.sets
    cka_request = request_for((c for name in sets for c in study.cka_pairs(params, name).values()), params.chunks)
    models = study.group_models(params)
    stitch_request = request_for(
        (c for name in sets for c in study.stitched_pairs(params, name, models).values()), params.chunks
    )
    found = _draw(params)
    return (
        Card("stitching", "Accuracy after identity stitching, by cut" if quantity == "accuracy" else "Accuracy lost by identity stitching, by cut", "Fig 2 left, Fig 7", stitch_request,
             found(lambda data, look, state: curves.compose_stitching(data, look, sets, quantity, state)), HOW_STITCHING_READS, shows=(params, quantity)),
        Card("cka", "CKA by layer", "Fig 2 right", cka_request, found(lambda data, look, state: curves.compose_cka(data, look, sets, state)), HOW_CKA_READS, shows=params),
        Card("distances", "Distances between models", "Fig 8", cka_request, found(lambda data, look, state: distances.compose_distances(data, look, sets, state)), HOW_DISTANCES_READ, shows=params),
        Card("map", "The map of distances and its tree", "", cka_request, found(lambda data, look, state: distances.compose_map(data, look, sets, state)), HOW_MAPS_READ, shows=params),
        Card("points", "The models in the plane", "", cka_request, found(lambda data, look, state: distances.compose_points(data, look, sets, state)), HOW_POINTS_READ, shows=params),
    )  # fmt: skip


def one_of(*choices: Card) -> None:
    """A tab for each card; the open one alone is drawn, and the address remembers it."""
    for tab, card in zip(
        st.tabs([card.title for card in choices], key="maps", bind="query-params"), choices, strict=True
    ):
        if tab.open:
            with tab:
                figure_card(card)


def _draw(
    params: Params,
) -> Callable[[Callable[[Loaded, Look, str], Drawn]], Callable[[ResultStore, Look, str], Drawn]]:
    """Turns a composer of loaded results into what a card calls."""
    return lambda compose: lambda store, look, state: compose(loaded(params), look, state)


@lru_cache(maxsize=64)
def pair_cards(params: Params, f: str, g: str) -> tuple[Card, ...]:
    """Two chosen models layer by layer: stitched into each other, and their CKA."""
    from repdiss_core.studies.population import load_accuracy, load_cka

    stitched = {name: study.stitched_pairs(params, name, (f, g)) for name in params.sets}
    cka = {name: study.cka_pairs(params, name, (f, g)) for name in params.sets}
    explain = "The two models that are chosen above, alone: one pair, so that there is no interval."
    return (
        Card("pair-stitching", f"{f} and {g} stitched into each other", "", _request(stitched, params),
             lambda store, look, state: curves.compose_pair_stitching({n: load_accuracy(store, pairs) for n, pairs in stitched.items()}, f, g, look, state), explain, shows=(params, f, g)),
        Card("pair-cka", f"CKA of {f} and {g}", "", _request(cka, params),
             lambda store, look, state: curves.compose_pair_cka({n: load_cka(store, pairs, params.chunks) for n, pairs in cka.items()}, f, g, look, state), explain, shows=(params, f, g)),
    )  # fmt: skip


def _request(pairs: dict[str, dict[tuple[str, str], Comparison]], params: Params):
    return request_for((c for found in pairs.values() for c in found.values()), params.chunks)


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

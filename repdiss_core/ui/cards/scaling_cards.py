"""The pickers and the cards of the page Scaling families."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import streamlit as st

from repdiss_core.models import model_spec
from repdiss_core.plots.map_scale import USUAL_STYLE, MapStyle
from repdiss_core.plots.theme import Look
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.drawn import Drawn
from repdiss_core.studies.panels import request_for
from repdiss_core.studies.paper import STUDIES, figure_parts, figure_spec
from repdiss_core.studies.scaling import fig3_fig9_fig10_maps as maps
from repdiss_core.studies.scaling import question as study
from repdiss_core.studies.scaling import training, trends
from repdiss_core.studies.scaling.question import FAMILIES, Params
from repdiss_core.studies.scaling.stored import Loaded, load
from repdiss_core.ui.cards.asymmetry_cards import HOW_CKA_READS, LINK
from repdiss_core.ui.cards.card import Card
from repdiss_core.ui.parts.chart import Click
from repdiss_core.ui.parts.chosen_cell import put
from repdiss_core.ui.parts.pickers import choose, controls, show_unknown, switch
from repdiss_core.ui.parts.settings import AXES, cka_settings, map_style
from repdiss_core.ui.parts.shared import result_store, stored_version

QUESTION = STUDIES["scaling"].question
VIEWS = ("models", "all layers")
HOW_OVERVIEW_READS = (
    "Each cell is the mean of the map of two models: how alike all their layers are. On the diagonal stands a model with itself, over pairs of different layers. "
    "An odd member shows as a row and a column darker than their neighbours. Click on a cell to see the two models layer by layer below."
)
HOW_ALL_READS = (
    "Every layer of every member against every other, members from small to large, layers from first to last; white lines part the members. "
    "Drag over a part to zoom, undo it with the house above the map, and click on a cell to choose its two models and layers below."
)
HOW_BLOCKS_READ = (
    HOW_CKA_READS
    + " White frames are blocks: contiguous layers that are more alike than layers of their distance are on average, by an exact "
    "segmentation. A map without frames has no blocks, or too few layers (under 6) to tell."
)
HOW_TRENDS_READ = (
    "One point a member: the mean CKA of its different layers. The dotted line is fitted to the regular shapes. The paper reads a growth with scale off its maps; "
    "larger models also have a lower loss, so the right panel shows the other reading."
)
HOW_EARLY_READS = (
    "How alike the first third of the layers of each shape is to the first third of the others, and the last third to the last third. If early layers are shared "
    "across scale and late ones are not, the blue line lies above."
)
HOW_ODD_READS = (
    "For each shape, the similarity of all pairs of *other* shapes is fitted by their sizes, and this predicts how alike the shape should be to them. Drawn is what it "
    "is beyond that prediction. Bars are how far seeds and prediction reach; the yardstick is how much members of one shape and different seeds differ."
)
HOW_TWINS_READ = (
    "Two shapes that differ in nothing but the size of their heads. Each is compared with the largest member: how well its layer can be found there at all. To the right "
    "the loss falls, so that the two are compared at equal loss where the lines lie above one another, and at equal tokens at their ends."
)
HOW_TRAINING_READS = (
    "How alike each layer is, over training, to what it will be at the end. A layer that settles early reaches 1 early."
)


@dataclass(frozen=True)
class Choice:
    """What the dropdowns say."""

    params: Params
    f: str
    g: str
    relative: bool
    style: MapStyle = USUAL_STYLE


def pick() -> Choice:
    """The row of controls."""
    with controls():
        family_column, f_column, g_column, axes_column, settings_column = st.columns(
            [1.3, 1.0, 1.0, 1.55, 2.0], vertical_alignment="bottom"
        )
        with family_column:
            family = choose("Family", list(FAMILIES), "family", names=lambda name: FAMILIES[name].label)
        names = list(study.members(family))
        with f_column:
            f = choose("Model f (rows)", names, "f", names[-1], names=study.short_name)
        with g_column:
            g = choose("Model g (columns)", names, "g", names[0], names=study.short_name)
        with axes_column:
            axes = switch(
                "Axes", AXES, "axes", "Relative depth lets models of different depth be laid over each other."
            )
        with settings_column:
            setting = study.preset_of(family)
            view, _ = cka_settings(setting=setting)
    show_unknown()
    view = replace(view, dtype=setting.dtype)
    return Choice(Params(family, view, setting), f, g, axes == AXES[1], map_style()[0])


def first_cards() -> tuple[Card, ...]:
    """The cards in the page's order, before anything is chosen."""
    params = Params()
    names = study.members(params.family)
    choice = Choice(params, names[-1], names[0], relative=False)
    figures = (figure_card_of(figure_id, params, choice.relative) for figure_id in ("fig3", "fig9", "fig10"))
    return (
        overview_card(params, VIEWS[0]),
        pair_card(choice),
        *figures,
        *analysis_cards(params),
        *training_cards(params),
    )


def loaded(params: Params) -> Loaded:
    """What is stored of a choice, read once until something is stored anew."""
    return _loaded(params, stored_version())


@lru_cache(maxsize=8)
def _loaded(params: Params, _at: tuple[int, ...]) -> Loaded:
    return load(result_store(), params)


@lru_cache(maxsize=16)
def overview_card(params: Params, view: str) -> Card:
    """The family at a glance, or all its layers."""
    if view == VIEWS[1]:
        return _family_card(
            "family", "Every layer of every member", params, maps.compose_all_layers, HOW_ALL_READS, view, True
        )
    return _family_card(
        "family", "The family: mean CKA of two models", params, maps.compose_overview, HOW_OVERVIEW_READS, view, True
    )


@lru_cache(maxsize=64)
def pair_card(choice: Choice) -> Card:
    """Within f, within g, and between."""
    params, f, g = choice.params, choice.f, choice.g
    pairs = dict.fromkeys(((f, f), (g, g), (f, g)))
    return Card(
        "pair",
        f"CKA of {study.short_name(f)} and {study.short_name(g)}" if f != g else f"CKA within {study.short_name(f)}",
        "",
        request_for((study.pair_panel(params, *pair).comparison for pair in pairs), params.cka.n_batches),
        lambda store, look, state: maps.compose_pair(
            store, loaded(params), f, g, look, choice.relative, state, style=choice.style
        ),
        HOW_BLOCKS_READ,
        shows=choice,
        link=LINK,
    )


@lru_cache(maxsize=64)
def figure_card_of(figure_id: str, params: Params, relative: bool, style: MapStyle = USUAL_STYLE) -> Card:
    """Figure 3, 9 or 10."""
    spec = figure_spec(figure_id)
    parts = figure_parts(figure_id, params)
    return Card(
        figure_id,
        spec.title,
        spec.label,
        request_for((c for part in parts for c in part.comparisons), params.cka.n_batches),
        lambda store, look, state: maps.compose_figure(store, loaded(params), figure_id, look, relative, state, style),
        HOW_BLOCKS_READ,
        (*spec.departures, *params.spec.departures),
        (params, relative, style),
        LINK,
    )


@lru_cache(maxsize=16)
def analysis_cards(params: Params) -> tuple[Card, ...]:
    """The trend, early and late layers, and the odd member."""
    return (
        _family_card("odd", "Which member is odd?", params, trends.compose_odd, HOW_ODD_READS),
        _family_card("early", "Early and late layers across scale", params, trends.compose_early_late, HOW_EARLY_READS),
        _family_card(
            "trend", "Similarity within a model, by size and by loss", params, trends.compose_trends, HOW_TRENDS_READ
        ),
    )


@lru_cache(maxsize=16)
def training_cards(params: Params) -> tuple[Card, ...]:
    """The experiment on the head dimension, and similarity over training."""
    return (
        _family_card("heads", "Is it the head dimension?", params, training.compose_twins, HOW_TWINS_READ),
        _family_card("training", "Similarity over training", params, training.compose_training, HOW_TRAINING_READS),
    )


def _family_card(
    card_id: str,
    title: str,
    params: Params,
    compose: Callable[[Loaded, Look, str], Drawn],
    explain: str,
    view: str = "",
    picks: bool = False,
) -> Card:
    """A card that rests on the whole family.

    Args:
        view: what of it is shown, one of `VIEWS`.
        picks: whether a click on a cell chooses its two models.
    """

    def draw(_store: ResultStore, look: Look, state: str) -> Drawn:
        return compose(loaded(params), look, state)

    panels = study.all_panels(params)
    return Card(
        card_id,
        title,
        "",
        request_for((p.comparison for p in panels), params.cka.n_batches),
        draw,
        explain,
        shows=(params, view),
        pick=partial(take_pair, params, view) if picks else None,
    )


def take_pair(params: Params, view: str, click: Click) -> None:
    """Choose the two models of the clicked cell, and in the map of all layers their two layers too."""
    if click.row is None:
        return
    if view == VIEWS[1]:
        (f, row), (g, column) = (owner_of(params.family, at) for at in (click.row, click.column))
        put("pair", (1 if f == g else 3, row, column))
    else:
        names = study.members(params.family)
        f, g = names[click.row], names[click.column]
        put("pair", None)
    st.session_state["f"], st.session_state["g"] = f, g


def owner_of(family: str, at: int) -> tuple[str, int]:
    """(member, its layer), both counted from 0, that stands at a place in the map of all layers."""
    for name in study.members(family):
        depth = model_spec(name).n_layers
        if at < depth:
            return name, at
        at -= depth
    raise IndexError(f"the map of {family} has no place {at} further on")

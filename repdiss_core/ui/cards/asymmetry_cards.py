"""The pickers and the cards of the page Activation asymmetry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import streamlit as st

from repdiss_core.plots.map_scale import USUAL_STYLE, MapStyle
from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.studies.asymmetry.question import Params
from repdiss_core.studies.drawn import compose_curves, compose_heatmaps, compose_learning
from repdiss_core.studies.panels import request_for
from repdiss_core.studies.paper import STUDIES, FigurePart, figure_parts, figure_spec
from repdiss_core.studies.presets import PRESETS
from repdiss_core.ui.cards.card import Card
from repdiss_core.ui.parts.pickers import choose, chosen, controls, show_unknown, switch
from repdiss_core.ui.parts.settings import cka_settings, map_style

QUESTION = STUDIES["asymmetry"].question
LINK = "layers"
HEATMAP_HEIGHT, CURVE_HEIGHT, LEARNING_HEIGHT = 356, 410, 340
DEPTHS = {"3 and 4 layers": (3, 4), "3 layers": (3,), "4 layers": (4,)}
HOW_STITCHING_READS = (
    "A stitch runs model f up to layer *l*, then one trained layer (LayerNorm and an affine map), then model g from layer *l* on. "
    "“SoLU → GeLU” has SoLU below and GeLU on top. The colour is that of the bottom model; a dashed line changes the activation function. "
    "Thin grey lines are controls: the same activation function, another seed. Dotted lines are the models’ own losses. Bars are 95 % intervals. "
    "The penalty is the loss of the stitch minus that of its top model alone."
)
HOW_CKA_READS = (
    "Each cell compares the residual stream after one block with that after another: 1 is the same up to rotation and scale, "
    "0 is unrelated. All maps share one scale. CKA is estimated without bias, so unrelated layers scatter around 0 and "
    "values below 0, drawn in grey, are to be expected. Point at a cell for its interval."
)
HOW_LEARNING_READS = (
    "The training loss of each stitching layer by step, one panel a layer; colours as in Figure 1. Faint: every step; bold: the running "
    "mean over a twentieth of them. A curve that still falls at its end says the stitch is not done."
)


@dataclass(frozen=True)
class Choice:
    """What the dropdowns say: the parameters of each depth shown, loss or penalty, and how maps are drawn."""

    params: tuple[Params, ...]
    quantity: str
    log_steps: bool = False
    style: MapStyle = USUAL_STYLE
    relative: bool = False


def pick() -> Choice:
    """The row of controls."""
    with controls():
        models, depth, gelu, solu, quantity, settings = st.columns(
            [1.6, 1.3, 0.85, 0.85, 1.27, 2.05], vertical_alignment="bottom"
        )
        with models:
            setting = PRESETS[
                choose("Models and data", list(asymmetry.SETTINGS), "models", names=asymmetry.SETTINGS.__getitem__)
            ]
        with depth:
            depths = DEPTHS[choose("Depth", list(DEPTHS), "depth")]
        with gelu:
            seed_gelu = choose("GeLU model", _seeds("gelu", depths, setting.models), "gelu", names=_seed_name)
        with solu:
            seed_solu = choose("SoLU model", _seeds("solu", depths, setting.models), "solu", names=_seed_name)
        with quantity:
            shown = switch("Show", ("loss", "penalty"), "show")
        with settings:
            view, stitch = cka_settings(stitching=True, setting=setting, axes=True)
    show_unknown()
    params = tuple(Params(d, seed_gelu, seed_solu, stitch, view, setting) for d in depths)
    return Choice(params, shown, chosen("steps", "linear") == "logarithmic", *map_style())


def first_cards() -> list[Card]:
    """What the page shows before anything is chosen."""
    choice = Choice(tuple(Params(depth=depth) for depth in asymmetry.DEPTHS), "loss")
    return [
        stitching_card(choice),
        *map(cka_card, choice.params),
        *(learning_card(params, choice.log_steps) for params in choice.params),
    ]


@lru_cache(maxsize=64)
def stitching_card(choice: Choice) -> Card:
    """Figure 1 for the chosen depths."""
    parts = tuple(_part("fig1", params) for params in choice.params)
    return Card(
        "fig1",
        f"Stitching {choice.quantity} by layer",
        "Fig 1",
        request_for((c for part in parts for c in part.comparisons), choice.params[0].cka.n_batches),
        lambda store, look, state: compose_curves(
            store, parts, look, choice.params[0].preset, choice.quantity, state, CURVE_HEIGHT
        ),
        HOW_STITCHING_READS,
        figure_spec("fig1").departures,
        choice,
    )


@lru_cache(maxsize=64)
def cka_card(params: Params, style: MapStyle = USUAL_STYLE, relative: bool = False) -> Card:
    """Figure 4 (3 layers) or 5 (4 layers)."""
    figure_id = "fig4" if params.depth == 3 else "fig5"
    (part,) = figure_parts(figure_id, params)
    return Card(
        figure_id,
        f"CKA of {params.depth}-layer models",
        figure_spec(figure_id).label,
        request_for(part.comparisons, params.cka.n_batches),
        lambda store, look, state: compose_heatmaps(
            store,
            part,
            look,
            params.preset,
            params.cka.reduction,
            params.cka.n_batches,
            state,
            HEATMAP_HEIGHT,
            relative,
            style,
        ),
        HOW_CKA_READS,
        figure_spec(figure_id).departures,
        (params, style, relative),
        LINK,
    )


@lru_cache(maxsize=64)
def learning_card(params: Params, log_steps: bool) -> Card:
    """One depth of Figure 6."""
    part = _part("fig6", params)
    return Card(
        f"fig6-{params.depth}",
        f"Learning curves, {params.depth}-layer models",
        "Fig 6",
        request_for(part.comparisons, params.cka.n_batches),
        lambda store, look, state: compose_learning(
            store, part, look, params.preset, log_steps, state, LEARNING_HEIGHT
        ),
        HOW_LEARNING_READS,
        shows=(params, log_steps),
    )


def _part(figure_id: str, params: Params) -> FigurePart:
    """The part of a two-depth figure that belongs to the depth of `params`."""
    position = asymmetry.DEPTHS.index(params.depth)
    return figure_parts(figure_id, params)[position]


def _seeds(activation: str, depths: tuple[int, ...], models: str) -> list[int]:
    """Seeds that there are at every depth shown."""
    shared = set.intersection(*(set(asymmetry.seeds(activation, depth, models)) for depth in depths))
    return sorted(shared) or [0]


def _seed_name(seed: int) -> str:
    return f"seed {seed}"

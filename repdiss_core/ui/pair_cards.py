"""The pickers and the card of the page Compare models."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from repdiss_core.cache import ResultStore
from repdiss_core.compose import compose_curves, compose_heatmaps
from repdiss_core.data import DATASETS
from repdiss_core.measures import MEASURES
from repdiss_core.models import MODELS, model_spec
from repdiss_core.panels import load_curve, load_matrix, request_for
from repdiss_core.paper import FigurePart
from repdiss_core.presets import Preset
from repdiss_core.studies.common import CkaView, bundled_preset
from repdiss_core.studies.pair import pair_curves, pair_panels
from repdiss_core.ui.asymmetry_cards import CURVE_HEIGHT, HEATMAP_HEIGHT, HOW_CKA_READS, HOW_STITCHING_READS, LINK
from repdiss_core.ui.cka_curve import compose_cka_by_layer
from repdiss_core.ui.figure_card import Card
from repdiss_core.ui.pickers import choose, controls, show_unknown, switch
from repdiss_core.ui.settings import cka_settings
from repdiss_core.ui.stitch_map import compose_stitch_maps, pair_maps
from repdiss_core.ui.text import count

MEASURE_NAMES = {"cka": "CKA", "stitching": "stitching", "identity_stitching": "identity stitching"}
SAME, EVERY = "each with its own number", "every pair"
HOW_MAPS_READ = (
    "Each cell is a stitch: the row’s model up to its layer, then the column’s model from its layer on. "
    "The number is the loss, or the penalty against the column’s model alone, in nats a token. Lower is better."
)


@dataclass(frozen=True)
class Choice:
    """What the dropdowns say."""

    f: str
    g: str
    measure: str
    layers: str
    quantity: str
    view: CkaView
    stitch: str
    setting: Preset


def pick() -> Choice:
    """The two rows of controls."""
    names = list(MODELS)
    with controls():
        left, right, data_column, measure_column = st.columns([1.3, 1.3, 1, 1.2], vertical_alignment="bottom")
        with left:
            f = choose("Model f (rows, bottom of a stitch)", names, "f", _first("gelu"))
        with right:
            g = choose("Model g (columns, top of a stitch)", names, "g", _first("solu"))
        with data_column:
            data = choose("Data", list(DATASETS), "data")
        with measure_column:
            measure = choose("Measure", [m for m in MEASURE_NAMES if m in MEASURES], "measure", names=MEASURE_NAMES.__getitem__)
        layers_column, quantity_column, settings_column = st.columns([1.3, 1.3, 2.2], vertical_alignment="bottom")
        with layers_column:
            layers = choose("Layers", [EVERY, SAME], "layers", EVERY if measure == "cka" else SAME)
        with quantity_column:
            quantity = "CKA" if measure == "cka" else switch("Show", ("loss", "penalty"), "show")
        with settings_column:
            view, stitch = (
                cka_settings(cka=measure == "cka", stitching=measure == "stitching") if measure != "identity_stitching" else (CkaView(), "quick")
            )
    show_unknown()
    return Choice(f, g, measure, layers, quantity, view, stitch, replace(bundled_preset(), data=data))


def card(choice: Choice) -> Card:
    """The figure of the chosen measure."""
    if choice.measure == "cka" and choice.layers == SAME:
        return _cka_by_layer(choice)
    if choice.measure == "cka":
        part = FigurePart("", panels=pair_panels(choice.f, choice.g, choice.view, choice.setting))
        return Card(
            "pair",
            f"CKA of {choice.f} and {choice.g}" if choice.f != choice.g else f"CKA within {choice.f}",
            "",
            request_for(part.comparisons, choice.view.n_batches),
            lambda store, look, state: compose_heatmaps(
                store, part, look, choice.setting, choice.view.reduction, choice.view.n_batches, state, HEATMAP_HEIGHT
            ),
            HOW_CKA_READS,
            link=LINK,
        )
    title = f"{MEASURE_NAMES[choice.measure].capitalize()} {choice.quantity}"
    if choice.layers == SAME:
        part = FigurePart(f"{choice.f} and {choice.g}", curves=pair_curves(choice.f, choice.g, choice.setting, choice.stitch, choice.measure))
        return Card(
            "pair",
            f"{title} by layer",
            "",
            request_for(part.comparisons, choice.view.n_batches),
            lambda store, look, state: compose_curves(store, (part,), look, choice.setting, choice.quantity, state, CURVE_HEIGHT),
            HOW_STITCHING_READS,
        )
    maps = pair_maps(choice.f, choice.g, choice.setting, choice.stitch, choice.measure)
    return Card(
        "pair",
        f"{title}, every pair of layers",
        "",
        request_for((c for one in maps for row in one.comparisons for c in row), choice.view.n_batches),
        lambda store, look, state: compose_stitch_maps(store, maps, look, choice.setting, choice.quantity, state),
        HOW_MAPS_READ,
        link=LINK,
    )


def _cka_by_layer(choice: Choice) -> Card:
    panel = pair_panels(choice.f, choice.g, choice.view, choice.setting)[-1]
    return Card(
        "pair",
        f"CKA of {choice.f} and {choice.g} by layer",
        "",
        request_for([panel.comparison], choice.view.n_batches),
        lambda store, look, state: compose_cka_by_layer(store, panel, look, choice.setting, choice.view, state, CURVE_HEIGHT),
        HOW_CKA_READS,
    )


def sentence(store: ResultStore, choice: Choice) -> str:
    """One computed sentence with its interval: the CKA of the last layers, or the cheapest stitch."""
    if choice.measure != "cka":
        return _stitch_sentence(store, choice)
    between = pair_panels(choice.f, choice.g, choice.view, choice.setting)[-1]
    matrix = load_matrix(store, between, choice.view.reduction, choice.view.n_batches).matrix
    if matrix is None:
        return f"CKA of {choice.f} and {choice.g} is not computed at this setting yet."
    first, where = (
        (0, f"Within {choice.f}, the first and the last layer")
        if choice.f == choice.g
        else (-1, f"After their last blocks, {choice.f} and {choice.g}")
    )
    low, high = matrix.interval[:, first, -1]
    return f"{where} have a CKA of {matrix.values[first, -1]:.2f} [{low:.2f}, {high:.2f}] over {matrix.n_batches} batches."


def _stitch_sentence(store: ResultStore, choice: Choice) -> str:
    view = load_curve(store, pair_curves(choice.f, choice.g, choice.setting, choice.stitch, choice.measure)[0], "penalty")
    if view.curve is None:
        return f"{choice.f} stitched into {choice.g} is not computed at this setting yet."
    at = view.curve.values.argmin()
    low, high = view.curve.interval[:, at]
    return (
        f"{choice.f} stitched into {choice.g} costs least after layer {view.curve.layer[at]}: "
        f"{view.curve.values[at]:.3f} [{low:.3f}, {high:.3f}] nats a token above {choice.g} alone."
    )


def facts(choice: Choice) -> None:
    """What is known of the two models, side by side."""
    specs = [model_spec(name) for name in dict.fromkeys((choice.f, choice.g))]
    rows = (
        ("layers", lambda s: s.n_layers),
        ("d_model", lambda s: s.d_model),
        ("heads × d_head", lambda s: f"{s.n_heads} × {s.d_head}"),
        ("activation", lambda s: s.activation),
        ("seed", lambda s: s.seed),
        ("parameters", lambda s: count(s.n_parameters)),
        ("tokens seen in training", lambda s: count(s.tokens_seen)),
        ("own validation loss, nats a token", lambda s: f"{s.validation_loss:.3f}"),
    )
    head = "| | " + " | ".join(s.name for s in specs) + " |\n|:--|" + "--:|" * len(specs)
    st.header("The models", anchor="models")
    st.markdown(head + "".join(f"\n| {name} | " + " | ".join(str(value(s)) for s in specs) + " |" for name, value in rows))


def _first(activation: str) -> str | None:
    return next((name for name, spec in MODELS.items() if spec.activation.startswith(activation)), None)

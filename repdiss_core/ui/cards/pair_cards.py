"""The pickers and the card of the page Compare models."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from repdiss_core import hub
from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import readonly
from repdiss_core.data import DATASETS, TYPED
from repdiss_core.measures import MEASURES
from repdiss_core.models import MODELS, ModelSpec, model_spec, paper_models, typed
from repdiss_core.plots.map_scale import USUAL_STYLE, MapStyle
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.common import CkaView, bundled_preset
from repdiss_core.studies.drawn import compose_curves, compose_heatmaps
from repdiss_core.studies.pair.cka_curve import compose_cka_by_layer
from repdiss_core.studies.pair.question import pair_curves, pair_panels
from repdiss_core.studies.pair.stitch_map import compose_stitch_maps, pair_maps
from repdiss_core.studies.panels import load_curve, load_matrix, request_for
from repdiss_core.studies.paper import FigurePart
from repdiss_core.studies.presets import Preset, preset
from repdiss_core.ui.cards.asymmetry_cards import CURVE_HEIGHT, HEATMAP_HEIGHT, HOW_CKA_READS, HOW_STITCHING_READS, LINK
from repdiss_core.ui.cards.card import Card
from repdiss_core.ui.parts.hub_notes import ask_the_hub, fact_rows
from repdiss_core.ui.parts.pickers import choose, controls, show_unknown, switch
from repdiss_core.ui.parts.settings import cka_settings, map_style
from repdiss_core.ui.parts.text import count

MEASURE_NAMES = {"cka": "CKA", "stitching": "stitching", "identity_stitching": "identity stitching"}
TYPED_MODELS = (*TYPED, "pythia-", "gelu-", "solu-")
TYPED_HELP = "Beside these: a step of a training (pythia-1b-deduped@step1000), any model of a supported architecture (hub:org/name@revision), a folder (path:…)."
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
    pins: int = 0
    style: MapStyle = USUAL_STYLE
    relative: bool = False


def pick() -> Choice:
    """The two rows of controls."""
    names = model_names()
    with controls():
        left, right, data_column, measure_column = st.columns([1.3, 1.3, 1, 1.2], vertical_alignment="bottom")
        with left:
            f = choose(
                "Model f (rows, bottom of a stitch)", names, "f", first_of("gelu"), help=TYPED_HELP, typed=TYPED_MODELS
            )
        with right:
            g = choose("Model g (columns, top of a stitch)", names, "g", first_of("solu"), typed=TYPED_MODELS)
        with data_column:
            data = choose("Data", data_sets(f), "data", help="Or type hub:org/name:column, or path:file.", typed=TYPED)
        with measure_column:
            measure = choose(
                "Measure", [m for m in MEASURE_NAMES if m in MEASURES], "measure", names=MEASURE_NAMES.__getitem__
            )
        layers_column, quantity_column, settings_column = st.columns([1.3, 1.3, 2.2], vertical_alignment="bottom")
        with layers_column:
            layers = choose("Layers", [EVERY, SAME], "layers", EVERY if measure == "cka" else SAME)
        with quantity_column:
            quantity = "CKA" if measure == "cka" else switch("Show", ("loss", "penalty"), "show")
        with settings_column:
            setting = setting_of(f)
            view, stitch = CkaView(n_batches=setting.cka_batches), "quick"
            if measure != "identity_stitching":
                view, stitch = cka_settings(
                    cka=measure == "cka", stitching=measure == "stitching", setting=setting, axes=True
                )
    show_unknown()
    return Choice(f, g, measure, layers, quantity, view, stitch, replace(setting, data=data), hub.stamp(), *map_style())


def model_names() -> list[str]:
    """The models that the lists offer."""
    return [*MODELS, *paper_models.language_models()]


def data_sets(f: str) -> list[str]:
    """The data that a model can read."""
    return [name for name, one in DATASETS.items() if one.text is not None or not _spec(f).tokenizer_repo]


def setting_of(name: str) -> Preset:
    """How much data the figures of a model use at first: the paper's models are large."""
    return preset("paper-quick") if _spec(name).tokenizer_repo else bundled_preset()


def _spec(name: str) -> ModelSpec:
    """The model, or a button where it was typed and is not known yet."""
    if name.startswith(TYPED) and readonly():
        raise UserError("This is a read-only demo: models of your own are compared on your own machine.")
    if name.startswith("hub:") and not typed.is_known(name):
        ask_the_hub(name)
    return model_spec(name)


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
                store,
                part,
                look,
                choice.setting,
                choice.view.reduction,
                choice.view.n_batches,
                state,
                HEATMAP_HEIGHT,
                choice.relative,
                choice.style,
            ),
            HOW_CKA_READS,
            shows=choice,
            link=LINK,
        )
    title = f"{MEASURE_NAMES[choice.measure].capitalize()} {choice.quantity}"
    if choice.layers == SAME:
        part = FigurePart(
            f"{choice.f} and {choice.g}",
            curves=pair_curves(choice.f, choice.g, choice.setting, choice.stitch, choice.measure),
        )
        return Card(
            "pair",
            f"{title} by layer",
            "",
            request_for(part.comparisons, choice.view.n_batches),
            lambda store, look, state: compose_curves(
                store, (part,), look, choice.setting, choice.quantity, state, CURVE_HEIGHT
            ),
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
        shows=choice,
        link=LINK,
    )


def _cka_by_layer(choice: Choice) -> Card:
    panel = pair_panels(choice.f, choice.g, choice.view, choice.setting)[-1]
    return Card(
        "pair",
        f"CKA of {choice.f} and {choice.g} by layer",
        "",
        request_for([panel.comparison], choice.view.n_batches),
        lambda store, look, state: compose_cka_by_layer(
            store, panel, look, choice.setting, choice.view, state, CURVE_HEIGHT
        ),
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
    return (
        f"{where} have a CKA of {matrix.values[first, -1]:.2f} [{low:.2f}, {high:.2f}] over {matrix.n_batches} batches."
    )


def _stitch_sentence(store: ResultStore, choice: Choice) -> str:
    view = load_curve(
        store, pair_curves(choice.f, choice.g, choice.setting, choice.stitch, choice.measure)[0], "penalty"
    )
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
    )
    head = "| | " + " | ".join(s.name for s in specs) + " |\n|:--|" + "--:|" * len(specs)
    st.header("The models", anchor="models")
    lines = [(name, [str(value(s)) for s in specs]) for name, value in rows]
    lines += [(rows[0][0], [value for _, value in rows]) for rows in zip(*(fact_rows(s) for s in specs), strict=True)]
    st.markdown(head + "".join(f"\n| {name} | " + " | ".join(values) + " |" for name, values in lines))


def first_of(activation: str) -> str | None:
    return next((name for name, spec in MODELS.items() if spec.activation.startswith(activation)), None)

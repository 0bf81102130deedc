"""The pickers of the page Compare models, and what it says."""

from __future__ import annotations

import streamlit as st

from repdiss_core import hub
from repdiss_core.base.errors import UserError
from repdiss_core.base.option import Option
from repdiss_core.base.paths import readonly
from repdiss_core.data import DATASETS, TYPED
from repdiss_core.measures import measure_spec
from repdiss_core.models import MODELS, ModelSpec, model_spec, paper_models, typed
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies import options
from repdiss_core.studies.common import CkaView, bundled_preset
from repdiss_core.studies.pair.located import located
from repdiss_core.studies.pair.question import Pair, pair_curves, pair_panels
from repdiss_core.studies.panels import load_curve, load_matrix
from repdiss_core.studies.paper import PAIR
from repdiss_core.studies.presets import Preset, preset
from repdiss_core.studies.rows import LARGE_SET, default_data, on_data
from repdiss_core.ui.parts.hub_notes import ask_the_hub, fact_rows
from repdiss_core.ui.parts.pickers import choose, controls, show_unknown, switch
from repdiss_core.ui.parts.settings import cka_settings, map_style
from repdiss_core.ui.parts.tables import markdown_table
from repdiss_core.ui.parts.text import as_text, count

UNTRAINED = "random:"  # begins the name of a model's untrained twin


def pick() -> Pair:
    """The two rows of controls."""
    f_option, g_option = model_options()
    with controls():
        left, right, data_column, measure_column = st.columns([1.3, 1.3, 1, 1.2], vertical_alignment="bottom")
        with left:
            f = choose(f_option)
        with right:
            g = choose(g_option)
        with data_column:
            data = choose(options.DATA.offering(data_sets(f)))
        with measure_column:
            measure = choose(options.MEASURE)
            spec = measure_spec(measure)
        layers_column, quantity_column, settings_column = st.columns([1.3, 1.3, 2.2], vertical_alignment="bottom")
        with layers_column:
            layers = choose(options.LAYERS.starting_at("every" if spec.of_features else "same"))
        with quantity_column:
            quantity = spec.short if spec.of_features else switch(options.SHOW)
        with settings_column:
            setting = setting_of(f)
            view, stitch = CkaView(n_batches=setting.cka_batches), options.STITCH.default
            if measure != "identity_stitching":
                view, stitch = cka_settings(
                    spec, stitching=measure == "stitching", setting=setting, axes=True, rows=True, chance=True
                )
    show_unknown()
    return Pair(f, g, measure, layers, quantity, view, stitch, on_data(setting, data), hub.stamp(), *map_style())


def model_options() -> tuple[Option, Option]:
    """The two lists of models: rows begin with a GeLU model, columns with a SoLU model."""
    names = model_names()
    return options.MODEL_F.offering(names, first_of("gelu")), options.MODEL_G.offering(names, first_of("solu"))


def model_names() -> list[str]:
    """The models that the lists offer."""
    return [*MODELS, *paper_models.language_models()]


def data_sets(f: str) -> list[str]:
    """The data that a model can read."""
    spec = _spec(f)
    if not spec.tokenizer_repo:
        return list(DATASETS)
    first = LARGE_SET if spec.repo else default_data(f)  # a model of the hub has a network to fetch the text by
    return [first, *(name for name in DATASETS if name != first)]


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


def sentence(store: ResultStore, choice: Pair) -> str:
    """One computed sentence with its interval: the CKA of the last layers, or the cheapest stitch."""
    spec = measure_spec(choice.measure)
    if not spec.of_features:
        return _stitch_sentence(store, choice)
    between = pair_panels(choice.f, choice.g, choice.view, choice.setting)[-1].measured
    matrix = load_matrix(store, between, choice.view.reduction, choice.view.n_batches).matrix
    if matrix is None:
        return f"{spec.short} of {choice.f} and {choice.g} is not computed at this setting yet."
    first, where = (
        (0, f"Within {choice.f}, the first and the last layer")
        if choice.f == choice.g
        else (-1, f"After their last blocks, {choice.f} and {choice.g}")
    )
    low, high = matrix.interval[:, first, -1]
    last = f"{where} have {_one(spec.short)} of {matrix.values[first, -1]:.2f} [{low:.2f}, {high:.2f}]"
    where_apart = located(store, between, choice.view.reduction, choice.view.n_batches)
    return " ".join(filter(None, (where_apart, f"{last} over {matrix.n_batches} batches.")))


def _one(short: str) -> str:
    """The measure as an object of a sentence."""
    return "a CKA" if short == "CKA" else f"a {short} value"


def _stitch_sentence(store: ResultStore, choice: Pair) -> str:
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


def twin_links(choice: Pair) -> None:
    """Links to the difference from the map with an untrained twin of either model in its place: what its architecture
    reaches without training. Nothing where there is no map or no twin."""
    if readonly() or not measure_spec(choice.measure).of_features:
        return
    known = {option.id: option for option in options.OPTIONS["pair"]}
    asked = {name: text for name, text in st.query_params.items() if name in known and known[name].accepts(text)}
    asked |= {options.MODE.id: "difference", options.MODEL_F_OF_B.id: choice.f, options.MODEL_G_OF_B.id: choice.g}
    with st.container(horizontal=True, gap="small", key="twins"):
        for name, option in {choice.f: options.MODEL_F_OF_B, choice.g: options.MODEL_G_OF_B}.items():
            if not name.startswith(UNTRAINED):
                st.page_link(
                    PAIR.page,
                    label=f"Beside an untrained twin of {as_text(name)}",
                    icon=":material/casino:",
                    query_params={**asked, option.id: f"{UNTRAINED}{name}"},
                    width="content",
                )


def facts(choice: Pair) -> None:
    """What is known of the two models, side by side."""
    import pandas as pd

    specs = [model_spec(name) for name in dict.fromkeys((choice.f, choice.g))]
    rows = (
        ("layers", lambda s: s.n_layers),
        ("d_model", lambda s: s.d_model),
        ("heads × d_head", lambda s: f"{s.n_heads} × {s.d_head}"),
        ("activation", lambda s: s.activation),
        ("seed", lambda s: s.seed),
        ("parameters", lambda s: count(s.n_parameters)),
    )
    st.header("The models", anchor="models")
    cells = [(name, *(str(value(s)) for s in specs)) for name, value in rows]
    cells += [(of_fact[0][0], *(value for _, value in of_fact)) for of_fact in zip(*map(fact_rows, specs), strict=True)]
    frame = pd.DataFrame(cells, columns=["", *(s.name for s in specs)])
    st.markdown(markdown_table(frame, "l" + "r" * len(specs)))


def first_of(activation: str) -> str | None:
    return next((name for name, spec in MODELS.items() if spec.activation.startswith(activation)), None)

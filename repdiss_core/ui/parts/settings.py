"""The popover of rarely changed settings; closed, its label says what is set."""

from __future__ import annotations

import streamlit as st

from repdiss_core.measures import MEASURES, MeasureSpec
from repdiss_core.plots.map_scale import MapStyle
from repdiss_core.studies import options
from repdiss_core.studies.common import CkaView, view_fields
from repdiss_core.studies.measure_options import own_options
from repdiss_core.studies.presets import Preset
from repdiss_core.studies.rows import TOKEN
from repdiss_core.ui.parts.pickers import choose, chosen

CKA = MEASURES["cka"]


def cka_settings(
    measure: MeasureSpec = CKA,
    stitching: bool = False,
    setting: Preset | None = None,
    axes: bool = False,
    rows: bool = False,
    chance: bool = False,
) -> tuple[CkaView, str]:
    """The popover; returns how features are compared and the name of the stitching preset.

    `map_style` tells how maps are drawn.

    Args:
        measure: whose own options are offered.
        setting: whose number of batches and stitch are chosen at first.
        axes, rows: whether the popover also has the choice of the maps' axes, and of what two models are compared at:
            rows, first layer, special tokens.
        chance: whether it also has the chance level.
    """
    batches, training = options.BATCHES, options.STITCH
    if setting is not None:
        batches, training = batches.starting_at(setting.cka_batches), training.starting_at(setting.stitch)
    cka, maps = measure.name == "cka", measure.of_features
    summary = _summary(measure, stitching, chosen(batches), training.label_of(chosen(training)), rows)
    if chance and chosen(options.CHANCE) != options.CHANCE.default:
        summary += " · chance level" if chosen(options.CHANCE) == "level" else " · chance-corrected"
    with st.popover(summary, icon=":material/tune:", width="stretch", help="Settings"):
        view, stitch = CkaView(), training.default
        if maps:
            st.markdown(f"**{measure.short}**")
            own = view_fields(measure, choose)
            view = CkaView(
                estimator=choose(options.ESTIMATOR) if cka else options.ESTIMATOR.default,
                reduction=choose(options.REDUCTION) if cka else options.REDUCTION.default,
                flatten=choose(options.FLATTEN),
                resid_mean=choose(options.RESID_MEAN),
                n_batches=choose(batches),
                massive=choose(options.MASSIVE),
                rows=choose(options.PAIR_ROWS) if rows else TOKEN,
                chance=choose(options.CHANCE) if chance else options.CHANCE.default,
                embedding=choose(options.EMBEDDING) if rows else options.EMBEDDING.default,
                special=choose(options.SPECIAL) if rows else options.SPECIAL.default,
                **own,
            )
            st.markdown("**Maps**")
            for option in (options.RANGE, options.NUMBERS, options.AXES) if axes else (options.RANGE, options.NUMBERS):
                choose(option)
        if stitching:
            st.markdown("**Stitching**")
            stitch = choose(training)
            choose(options.STEPS)
    return view, stitch


def map_style() -> tuple[MapStyle, bool]:
    """How maps are drawn, and whether their axes run over relative depth, as the popover that was drawn before says."""
    style = MapStyle(chosen(options.RANGE) == "values", chosen(options.NUMBERS) == "shown")
    return style, chosen(options.AXES) == "relative"


def _summary(measure: MeasureSpec, stitching: bool, batches: int, stitch: str, rows: bool) -> str:
    """What is set: the label stands before the lists are drawn."""
    words = []
    if measure.of_features:
        first = (options.ESTIMATOR, options.REDUCTION) if measure.name == "cka" else own_options(measure)
        words += [option.label_of(chosen(option)) for option in first]
        of_pairs = (options.PAIR_ROWS,) if rows else ()
        for option in (options.FLATTEN, options.RESID_MEAN, options.MASSIVE, *of_pairs):
            value = chosen(option)
            words += [option.label_of(value)] if value != option.default else []
        for option in (options.EMBEDDING, options.SPECIAL) if rows else ():
            value = chosen(option)
            words += [f"{option.label.lower()}: {option.label_of(value)}"] if value != option.default else []
        words += ["colours over the values"] if chosen(options.RANGE) == "values" else []
        words.append(f"{batches} batches")
    if stitching:
        words.append(stitch.split(":")[0] + " stitch")
    return " · ".join(words)

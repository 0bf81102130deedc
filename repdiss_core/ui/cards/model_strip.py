"""The strip of all models' accuracies; a click on it, or two dropdowns,
choose the pair that is shown layer by layer."""

from __future__ import annotations

from functools import partial

import streamlit as st

from repdiss_core.base.option import Option
from repdiss_core.plots.accuracy_strip import ModelAccuracy, accuracy_strip
from repdiss_core.plots.theme import chart_config, spec_of
from repdiss_core.studies import options
from repdiss_core.studies.generalization import question
from repdiss_core.studies.generalization.stored import PopulationResults
from repdiss_core.ui.parts.chart import Click, chart
from repdiss_core.ui.parts.pickers import choose
from repdiss_core.ui.parts.shared import current_look
from repdiss_core.ui.parts.text import as_text

CHART = "chart-strip"


def model_strip(loaded: PopulationResults) -> tuple[str, str]:
    """Draw the strip; returns the two chosen models, `options.NO_MODEL` where one is not chosen."""
    params, groups = loaded.params, loaded.groups
    names = list(question.models_of(params.population))
    first, second = pair_options(params.population)
    in_distribution, overlap = (question.accuracies(params.population, name) for name in params.sets)
    with st.container(border=True, key="card-strip", gap="small"):
        st.subheader("Every model’s accuracy", anchor="strip")
        strip = st.container()
        left, right = st.columns(2)
        with left:
            f = choose(first)
        with right:
            g = choose(second)
        models = [
            ModelAccuracy(
                n,
                in_distribution[n],
                overlap[n],
                "top" if n in groups.top else "bottom" if n in groups.bottom else "other",
                n in (f, g),
            )
            for n in names
        ]
        with strip:
            figure = spec_of(accuracy_strip(models, current_look()))
            chart(
                figure,
                key=CHART,
                alt=_spoken(models),
                config=chart_config("repdiss-models"),
                on_click=partial(_take, names),
            )
        st.caption(as_text(_caption(loaded, in_distribution, overlap)))
    return f, g


def pair_options(population: str) -> tuple[Option, Option]:
    """The two lists of a population's models, each with "none chosen" first."""
    values = (options.NO_MODEL, *question.models_of(population))
    first, second = options.MODEL_A, options.MODEL_B
    return first.offering(values, labels=first.labels), second.offering(values, labels=second.labels)


def _take(names: list[str], click: Click) -> None:
    """A clicked model takes a place that is free, else the first one, which moves to the second."""
    state = st.session_state
    first, second = state.get("model_a", options.NO_MODEL), state.get("model_b", options.NO_MODEL)
    clicked = click.labels[0] if click.labels else options.NO_MODEL
    if clicked in names and clicked not in (first, second):
        state["model_a"], state["model_b"] = placed(clicked, first, second)


def placed(clicked: str, first: str, second: str) -> tuple[str, str]:
    """The two chosen models after a click on a third one."""
    if first == options.NO_MODEL:
        return clicked, second
    return (first, clicked) if second == options.NO_MODEL else (clicked, first)


def _caption(loaded: PopulationResults, in_distribution: dict[str, float], overlap: dict[str, float]) -> str:
    inside, outside = in_distribution.values(), overlap.values()
    return (
        f"{len(overlap)} models · in distribution {min(inside):.3f} to {max(inside):.3f}, "
        f"lexical overlap {min(outside):.2f} to {max(outside):.2f} "
        f"(right is: not entailed) · green: the {loaded.groups.k} generalizing, pink: "
        f"the {loaded.groups.k} heuristic, ranked on {question.SET_LABELS[loaded.params.rank_by]} · "
        "click two models to compare them below"
    )


def _spoken(models: list[ModelAccuracy]) -> str:
    best, worst = max(models, key=lambda m: m.overlap), min(models, key=lambda m: m.overlap)
    return (
        f"Accuracy of {len(models)} models in distribution and on lexical overlap, "
        f"from {worst.name} ({worst.overlap:.2f}) to {best.name} ({best.overlap:.2f})."
    )

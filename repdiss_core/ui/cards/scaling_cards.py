"""The pickers of the page Scaling families, what it says, and what a click on the family's map chooses."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from repdiss_core.base.option import Option
from repdiss_core.models import model_spec
from repdiss_core.studies import options
from repdiss_core.studies.claims import Claim
from repdiss_core.studies.figure import FigureChoice, View, of_view
from repdiss_core.studies.scaling import question, real_models, stored
from repdiss_core.studies.scaling.claims import headline, scaling_claims
from repdiss_core.studies.scaling.question import FamilyParams
from repdiss_core.studies.scaling.stored import FamilyResults
from repdiss_core.ui.parts.chart import Click
from repdiss_core.ui.parts.chosen_cell import put
from repdiss_core.ui.parts.pickers import choose, controls, show_unknown, switch
from repdiss_core.ui.parts.settings import cka_settings, map_style
from repdiss_core.ui.parts.shared import result_store


def pick() -> FigureChoice:
    """The row of controls."""
    with controls():
        family_column, f_column, g_column, axes_column, settings_column = st.columns(
            [1.3, 1.0, 1.0, 1.55, 2.0], vertical_alignment="bottom"
        )
        with family_column:
            family = choose(options.FAMILY)
        f_option, g_option = member_options(family)
        with f_column:
            f = choose(f_option)
        with g_column:
            g = choose(g_option)
        with axes_column:
            axes = switch(options.AXES)
        with settings_column:
            setting = question.preset_of(family)
            view, _ = cka_settings(setting=setting)
    show_unknown()
    view = replace(view, dtype=setting.dtype)
    params = FamilyParams(family, view, setting)
    return FigureChoice((params,), View(relative=axes == "relative", style=map_style()[0], models=(f, g)))


def member_options(family: str) -> tuple[Option, Option]:
    """The two lists of a family's members: rows begin with the largest, columns with the smallest."""
    names = question.members(family)
    labels = {name: question.short_name(name) for name in names}
    return options.MEMBER_F.offering(names, names[-1], labels), options.MEMBER_G.offering(names, names[0], labels)


def first_choice() -> FigureChoice:
    """What the page shows before anything is chosen."""
    params = FamilyParams()
    names = question.members(params.family)
    return FigureChoice((params,), View(models=(names[-1], names[0])))


def with_whole(choice: FigureChoice) -> FigureChoice:
    """The choice with what the family's map shows: a cell for two models, or every layer."""
    return of_view(choice, every_layer=switch(options.WHOLE) == "layers")


def whole_choice() -> FigureChoice:
    """Every picker of the page."""
    return with_whole(pick())


def loaded(params: FamilyParams) -> FamilyResults:
    """What is stored of a choice, read once until something is stored anew."""
    return stored.loaded(result_store(), params)


def claims(choice: FigureChoice) -> tuple[tuple[str, Claim], ...]:
    """(family, claim) pairs, and those of the real models."""
    params = choice.only
    real = ((real_models.LABEL, claim) for claim in real_models.real_claims(result_store()))
    return (*((params.family, claim) for claim in scaling_claims(loaded(params))), *real)


def said(choice: FigureChoice) -> str:
    """The sentence at the top."""
    return headline(loaded(choice.only))


def click_on_family(choice: FigureChoice, click: Click) -> None:
    """Choose the two models of a cell of the family's map."""
    take_pair(choice.only, options.WHOLE.values[choice.view.every_layer], click)


def take_pair(params: FamilyParams, view: str, click: Click) -> None:
    """Choose the two models of the clicked cell, and in the map of all layers their two layers too."""
    if click.row is None:
        return
    if view == "layers":
        (f, row), (g, column) = (owner_of(params.family, at) for at in (click.row, click.column))
        put("pair", (1 if f == g else 3, row, column))
    else:
        names = question.members(params.family)
        f, g = names[click.row], names[click.column]
        put("pair", None)
    st.session_state["f"], st.session_state["g"] = f, g


def owner_of(family: str, at: int) -> tuple[str, int]:
    """(member, its layer), both counted from 0, that stands at a place in the map of all layers."""
    for name in question.members(family):
        depth = model_spec(name).n_layers
        if at < depth:
            return name, at
        at -= depth
    raise IndexError(f"the map of {family} has no place {at} further on")

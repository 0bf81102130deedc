"""The pickers of the page Activation asymmetry, and what it says."""

from __future__ import annotations

import streamlit as st

from repdiss_core.base.option import Option
from repdiss_core.studies import options
from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.studies.asymmetry.claims import WAITING
from repdiss_core.studies.asymmetry.question import AsymmetryParams
from repdiss_core.studies.claims import Claim
from repdiss_core.studies.figure import FigureChoice, View
from repdiss_core.studies.presets import PRESETS
from repdiss_core.studies.words import headline
from repdiss_core.ui.cards.claims_list import stored_claims
from repdiss_core.ui.parts.pickers import choose, chosen, controls, show_unknown, switch
from repdiss_core.ui.parts.settings import cka_settings, map_style


def pick() -> FigureChoice:
    """The row of controls; the choice has parameters for each depth shown."""
    with controls():
        models, depth, gelu, solu, quantity, settings = st.columns(
            [1.6, 1.3, 0.85, 0.85, 1.27, 2.05], vertical_alignment="bottom"
        )
        with models:
            setting = PRESETS[choose(options.SETTING)]
        with depth:
            depths = choose(options.DEPTH)
        with gelu:
            seed_gelu = choose(seed_option(options.SEED_GELU, "gelu", depths, setting.models))
        with solu:
            seed_solu = choose(seed_option(options.SEED_SOLU, "solu", depths, setting.models))
        with quantity:
            shown = switch(options.SHOW)
        with settings:
            view, stitch = cka_settings(stitching=True, setting=setting, axes=True)
    show_unknown()
    params = tuple(AsymmetryParams(d, seed_gelu, seed_solu, stitch, view, setting) for d in depths)
    style, relative = map_style()
    return FigureChoice(params, View(shown, chosen(options.STEPS) == "logarithmic", relative, style))


def first_choice() -> FigureChoice:
    """What the page shows before anything is chosen."""
    return FigureChoice(asymmetry.at_depths(), View(options.SHOW.default))


def claims(choice: FigureChoice) -> tuple[tuple[str, Claim], ...]:
    """(models, claim) by depth."""
    return tuple((f"{params.depth}-layer models", claim) for params in choice.params for claim in stored_claims(params))


def said(choice: FigureChoice) -> str:
    """The sentence at the top, on the first depth."""
    return headline(stored_claims(choice.params[0]), WAITING)


def seed_option(option: Option, activation: str, depths: tuple[int, ...], models: str) -> Option:
    """The seeds that there are at every depth shown."""
    shared = set.intersection(*(set(asymmetry.seeds(activation, depth, models)) for depth in depths))
    seeds = sorted(shared) or [0]
    return option.offering(seeds, option.default, {seed: f"seed {seed}" for seed in seeds})

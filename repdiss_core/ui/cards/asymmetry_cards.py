"""The pickers of the page Activation asymmetry, and what it says."""

from __future__ import annotations

import streamlit as st

from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.studies.asymmetry.claims import WAITING
from repdiss_core.studies.asymmetry.question import Params
from repdiss_core.studies.claims import Claim
from repdiss_core.studies.figure import Choice, View
from repdiss_core.studies.presets import PRESETS
from repdiss_core.studies.words import headline
from repdiss_core.ui.cards.claims_list import stored_claims
from repdiss_core.ui.parts.pickers import choose, chosen, controls, show_unknown, switch
from repdiss_core.ui.parts.settings import cka_settings, map_style

DEPTHS = {"3 and 4 layers": (3, 4), "3 layers": (3,), "4 layers": (4,)}


def pick() -> Choice:
    """The row of controls; the choice has parameters for each depth shown."""
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
    style, relative = map_style()
    return Choice(params, View(shown, chosen("steps", "linear") == "logarithmic", relative, style))


def first_choice() -> Choice:
    """What the page shows before anything is chosen."""
    return Choice(asymmetry.at_depths(), View("loss"))


def claims(choice: Choice) -> tuple[tuple[str, Claim], ...]:
    """(models, claim) by depth."""
    return tuple((f"{params.depth}-layer models", claim) for params in choice.params for claim in stored_claims(params))


def said(choice: Choice) -> str:
    """The sentence at the top, on the first depth."""
    return headline(stored_claims(choice.params[0]), WAITING)


def _seeds(activation: str, depths: tuple[int, ...], models: str) -> list[int]:
    """Seeds that there are at every depth shown."""
    shared = set.intersection(*(set(asymmetry.seeds(activation, depth, models)) for depth in depths))
    return sorted(shared) or [0]


def _seed_name(seed: int) -> str:
    return f"seed {seed}"

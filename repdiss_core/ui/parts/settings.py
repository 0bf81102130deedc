"""The popover of rarely changed settings; closed, its label says what is set."""

from __future__ import annotations

import streamlit as st

from repdiss_core.measures.massive import MULTIPLE
from repdiss_core.plots.map_scale import MapStyle
from repdiss_core.studies.common import CkaView
from repdiss_core.studies.drawn import FLATTEN_LABELS, REDUCTION_LABELS
from repdiss_core.studies.presets import STITCH_PRESETS, Preset
from repdiss_core.ui.parts.pickers import choose, chosen

BATCHES = (10, 20, 50, 100, 200, 1000)
DEFAULT_BATCHES = 100
ESTIMATORS = {"unbiased": "unbiased", "biased": "biased", "sequence_aware": "sequence-aware"}
RESID_MEANS = {"removed": "mean removed", "kept": "mean kept"}
MASSIVES = {"kept": "massive tokens kept", "dropped": "without massive tokens", "normalised": "rows of length 1"}
RANGES = ("0 to 1", "range of the values")
NUMBERS = ("shown", "hidden")
AXES = ("layers", "relative depth")
STITCHES = {name: preset.label for name, preset in STITCH_PRESETS.items() if name != "tiny"}


def cka_settings(
    cka: bool = True, stitching: bool = False, setting: Preset | None = None, axes: bool = False
) -> tuple[CkaView, str]:
    """The popover; returns how CKA is read and the name of the stitching preset. `map_style` tells how maps are drawn.

    Args:
        setting: whose number of batches and stitch are chosen at first.
        axes: whether the popover also has the choice of the maps' axes.
    """
    batches, first = (DEFAULT_BATCHES, "quick") if setting is None else (setting.cka_batches, setting.stitch)
    with st.popover(_summary(cka, stitching, batches, first), icon=":material/tune:", width="stretch", help="Settings"):
        view, stitch = CkaView(), first
        if cka:
            view = _cka(batches)
            _maps(axes)
        if stitching:
            st.markdown("**Stitching**")
            help = "How phi starts and how long it is trained."
            stitch = choose(
                "Training of the stitching layer", list(STITCHES), "stitch", first, STITCHES.__getitem__, help
            )
            choose("Steps in the learning curves", ["linear", "logarithmic"], "steps")
    return view, stitch


def _cka(batches: int) -> CkaView:
    st.markdown("**CKA**")
    return CkaView(
        estimator=_named(
            "Estimator",
            ESTIMATORS,
            "estimator",
            "Unbiased is the paper’s. Sequence-aware does not count tokens of one sequence as independent.",
        ),
        reduction=_named(
            "Over batches",
            REDUCTION_LABELS,
            "reduction",
            "Mean of ratios is the paper’s; ratio of means is that of Nguyen et al. (2021).",
        ),
        flatten=_named(
            "Rows of the feature matrix",
            FLATTEN_LABELS,
            "flatten",
            "Tokens are the paper’s; its footnote 6 leaves sequences open.",
        ),
        resid_mean=_named(
            "Mean over d_model",
            RESID_MEANS,
            "mean",
            "Whether each token’s mean over features is removed, as the paper’s library did.",
        ),
        n_batches=choose(
            "Batches", BATCHES, "batches", batches, help="More batches extend a result that is there already."
        ),
        massive=_named(
            "Massive tokens",
            MASSIVES,
            "massive",
            (
                f"Tokens longer than {MULTIPLE:g} times the median of a layer. "
                "Two of them that two models share can drive CKA to 1 alone."
            ),
        ),
    )


def _maps(axes: bool) -> None:
    st.markdown("**Maps**")
    choose(
        "Range of the colours",
        RANGES,
        "range",
        help="0 to 1 lets maps be compared; the range of a row’s values shows small differences.",
    )
    choose("Numbers in the cells", NUMBERS, "numbers", help="They are left out where cells are small.")
    if axes:
        choose("Axes", AXES, "axes", help="Relative depth lets models of different depth be laid over each other.")


def map_style() -> tuple[MapStyle, bool]:
    """How maps are drawn, and whether their axes run over relative depth, as the popover that was drawn before says."""
    style = MapStyle(chosen("range", RANGES[0]) == RANGES[1], chosen("numbers", NUMBERS[0]) != NUMBERS[1])
    return style, chosen("axes", AXES[0]) == AXES[1]


def _named(label: str, names: dict[str, str], key: str, help: str) -> str:
    return choose(label, list(names), key, names=names.__getitem__, help=help)


def _summary(cka: bool, stitching: bool, batches: int, first: str) -> str:
    """What is set, from the widgets' present values: the label stands before its widgets are drawn."""
    state = st.session_state
    words = []
    if cka:
        words += [
            ESTIMATORS[state.get("estimator", "unbiased")],
            REDUCTION_LABELS[state.get("reduction", "mean_of_ratios")],
        ]
        words += [FLATTEN_LABELS["sample"]] if state.get("flatten") == "sample" else []
        words += [RESID_MEANS["kept"]] if state.get("mean") == "kept" else []
        words += [MASSIVES[state["massive"]]] if state.get("massive", "kept") != "kept" else []
        words += ["colours over the values"] if state.get("range") == RANGES[1] else []
        words.append(f"{state.get('batches', batches)} batches")
    if stitching:
        words.append(STITCHES[state.get("stitch", first)].split(":")[0] + " stitch")
    return " · ".join(words)

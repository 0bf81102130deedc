"""Options that the registry of measures declares: the measures, the settings of each, and the chance level of all."""

from __future__ import annotations

from dataclasses import replace

from repdiss_core.base.crossed import WINDOW
from repdiss_core.base.option import Choice, Option, choices_of
from repdiss_core.measures import MEASURES, MeasureSpec

CHANCE = Option(
    "chance",
    "Chance level",
    choices_of({"off": "off", "level": "shown", "corrected": "chance-corrected values"}),
    help=(
        "What two models reach without a shared text, with permutation tests. "
        f"Crosses batches within windows of {WINDOW}; no further forward pass. "
        "Permutations leave some batches matched, so that the level is lower over more batches."
    ),
    flag_help="Add the chance level: what is reached without a shared text, with permutation tests.",
)


def pair_measures() -> tuple[Choice, ...]:
    """The measures of any two models, which Compare models and `compare` offer."""
    return tuple(Choice(name, spec.short) for name, spec in MEASURES.items() if spec.for_any_pair)


def of_measure(name: str) -> dict[str, Option]:
    """The settings of a measure by id, as its spec declares them."""
    return {option.id: option for option in MEASURES[name].options}


def own_options(spec: MeasureSpec) -> tuple[Option, ...]:
    """The measure's own settings, as addresses and pickers have them: "rsa-correlation"; CKA's stand by themselves."""
    if spec.name == "cka":
        return spec.options
    return tuple(replace(option, id=f"{spec.name}-{option.id}") for option in spec.options)

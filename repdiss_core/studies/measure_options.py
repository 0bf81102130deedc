"""Options that the registry of measures declares: which measures there are, and the settings of each."""

from __future__ import annotations

from repdiss_core.base.option import Choice, Option
from repdiss_core.measures import MEASURES
from repdiss_core.measures.spec import Pass


def pair_measures() -> tuple[Choice, ...]:
    """The measures of any two models that Compare models and `compare` can show: CKA and stitches."""
    shown = {name: spec for name, spec in MEASURES.items() if name == "cka" or spec.runs is Pass.STITCH}
    return tuple(Choice(name, spec.short) for name, spec in shown.items() if spec.for_any_pair)


def of_measure(name: str) -> dict[str, Option]:
    """The settings of a measure by id, as its spec declares them."""
    return {
        o.id: Option(o.id, o.label, tuple(Choice(str(v), label, v) for v, label in o.choices), o.default, o.help)
        for o in MEASURES[name].options
    }

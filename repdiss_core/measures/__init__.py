"""The measures by name: facts without torch; what computes them is imported when it is asked for.

To add a measure, write one file here and one line in `MEASURES`; the contract test checks what the line declares, and
the engine, pages and command line obey it. `measures.protocol` says what the file holds.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from repdiss_core.base import crossed
from repdiss_core.base.comparison import Comparison
from repdiss_core.base.errors import unknown_name
from repdiss_core.base.results import BatchHsic, Stored
from repdiss_core.measures.declared import CKA, IDENTITY_STITCHING, STITCHED_ACCURACY, STITCHING, TOKEN_ALIGNMENT
from repdiss_core.measures.declared_features import (
    CKNNA,
    JACCARD_KNN,
    LINEAR_PREDICTIVITY,
    MUTUAL_KNN,
    PROCRUSTES,
    PWCCA,
    RSA,
    SVCCA,
)
from repdiss_core.measures.spec import INVARIANCES, MeasureOption, MeasureSpec, Pass

MEASURES: dict[str, MeasureSpec] = {
    spec.name: spec
    for spec in (
        CKA,
        STITCHING,
        IDENTITY_STITCHING,
        STITCHED_ACCURACY,
        RSA,
        MUTUAL_KNN,
        JACCARD_KNN,
        CKNNA,
        PROCRUSTES,
        SVCCA,
        PWCCA,
        LINEAR_PREDICTIVITY,
        TOKEN_ALIGNMENT,
    )
}

_EXPORTS = {
    "hsic1": "repdiss_core.measures.hsic:hsic1",
    "cka_matrix": "repdiss_core.measures.matrix:cka_matrix",
    "cka_distance": "repdiss_core.measures.distance:cka_distance",
    "distance_matrix": "repdiss_core.measures.distance:distance_matrix",
}
__all__ = [
    "INVARIANCES",
    "MEASURES",
    "MeasureOption",
    "MeasureSpec",
    "Pass",
    "measure_spec",
    "result_type",
    "spec_of",
    *_EXPORTS,
]


def measure_spec(name: str) -> MeasureSpec:
    """The measure of that name.

    Raises:
        UserError: there is none, with the nearest ones.
    """
    if name not in MEASURES:
        raise unknown_name("measure", name, list(MEASURES), "python -m repdiss_core list measures")
    return MEASURES[name]


def spec_of(comparison: Comparison) -> MeasureSpec:
    """The measure of a comparison."""
    return measure_spec(comparison.measure)


def result_type(comparison: Comparison) -> type[Stored]:
    """The type of a comparison's stored result.

    Raises:
        UserError: the measure has no such layer pairs.
    """
    spec = spec_of(comparison)
    if type(comparison.layer_pairs) not in spec.stored:
        spec.check(comparison)
    stored = spec.stored[type(comparison.layer_pairs)]
    if comparison.setting(crossed.SETTING) is None:
        return stored
    return crossed.CrossedHsic if stored is BatchHsic else crossed.CrossedValues


def __getattr__(name: str) -> Any:
    """Hand out the public functions when they are first asked for, so that importing this package imports no torch."""
    if name in _EXPORTS:
        module, _, function = _EXPORTS[name].partition(":")
        return getattr(import_module(module), function)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

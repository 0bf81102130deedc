"""The measures by name: facts without torch, and the functions that compute them, imported when they are asked for.

To add a measure, write one file here and one line in `MEASURES`; the contract test checks what the line declares.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

INVARIANCES = ("rotation", "isotropic_scale", "shift", "invertible_linear")


@dataclass(frozen=True)
class MeasureSpec:
    """What is declared of a measure of how alike (or unlike) two models are.

    Args:
        name: as in `Comparison.measure`.
        label: for people.
        needs: "features" (flattened activations of each batch) or "models" (blocks, sequences, targets).
        function: "module:function" that computes it.
        version: part of every cache key; raised when values change.
        invariant_to: the changes of one model's features, out of `INVARIANCES`, that leave the value as it was.
        symmetric: whether exchanging f and g leaves the value as it was.
        range: lowest and highest possible value.
        self_value: the value for equal features (or a model with itself), None where training decides it.
        direction: whether a larger value says "similar" or "different".
        unit: of the value.
        estimators: the choices of `estimator`, the default first.
    """

    name: str
    label: str
    needs: str
    function: str
    version: int
    invariant_to: tuple[str, ...]
    symmetric: bool
    range: tuple[float, float]
    self_value: float | None
    direction: str
    unit: str
    estimators: tuple[str, ...] = ()

    def load(self) -> Any:
        """The function that computes the measure."""
        return _load(self.function)


MEASURES: dict[str, MeasureSpec] = {
    spec.name: spec
    for spec in (
        MeasureSpec(
            "cka", "centered kernel alignment (linear, unbiased)", "features", "repdiss_core.measures.matrix:cka_matrix", 1,
            ("rotation", "isotropic_scale", "shift"), True, (-1.0, 1.0), 1.0, "similar", "", ("unbiased", "biased", "sequence_aware"),
        ),
        MeasureSpec(
            "stitching", "stitching penalty (LayerNorm + affine phi, trained)", "models", "repdiss_core.measures.stitching:StitchingLayer", 1,
            (), False, (-float("inf"), float("inf")), None, "different", "nats a token",
        ),
        MeasureSpec(
            "identity_stitching", "identity stitching penalty (phi = id)", "models", "repdiss_core.measures.stitching:sequence_losses", 1,
            (), False, (-float("inf"), float("inf")), 0.0, "different", "nats a token",
        ),
        MeasureSpec(
            "stitched_accuracy", "accuracy after identity stitching (classifiers, every cut)", "models",
            "repdiss_core.engine.accuracy_pass:stitched_logits", 1, (), False, (0.0, 1.0), None, "similar", "fraction right",
        ),
    )
}  # fmt: skip

_EXPORTS = {
    "hsic1": "repdiss_core.measures.hsic:hsic1",
    "cka_matrix": "repdiss_core.measures.matrix:cka_matrix",
    "cka_distance": "repdiss_core.measures.distance:cka_distance",
    "distance_matrix": "repdiss_core.measures.distance:distance_matrix",
}
__all__ = ["INVARIANCES", "MEASURES", "MeasureSpec", *_EXPORTS]


def __getattr__(name: str) -> Any:
    """Hand out the public functions when they are first asked for, so that importing this package imports no torch."""
    if name in _EXPORTS:
        return _load(_EXPORTS[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _load(path: str) -> Any:
    module, _, function = path.partition(":")
    return getattr(import_module(module), function)

"""The measures by name: facts without torch, and the functions that compute them, imported when they are asked for.

To add a measure, write one file here and one line in `MEASURES`; the contract test checks what the line declares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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


_CKA = MeasureSpec(
    name="cka",
    label="centered kernel alignment (linear, unbiased)",
    needs="features",
    function="repdiss_core.measures.matrix:cka_matrix",
    version=1,
    invariant_to=("rotation", "isotropic_scale", "shift"),
    symmetric=True,
    range=(-1.0, 1.0),
    self_value=1.0,
    direction="similar",
    unit="",
    estimators=("unbiased", "biased", "sequence_aware"),
)
_STITCHING = MeasureSpec(
    name="stitching",
    label="stitching penalty (LayerNorm + affine phi, trained)",
    needs="models",
    function="repdiss_core.measures.stitching:StitchingLayer",
    version=1,
    invariant_to=(),
    symmetric=False,
    range=(-float("inf"), float("inf")),
    self_value=None,
    direction="different",
    unit="nats a token",
)
_IDENTITY_STITCHING = replace(
    _STITCHING,
    name="identity_stitching",
    label="identity stitching penalty (phi = id)",
    function="repdiss_core.measures.stitching:sequence_losses",
    self_value=0.0,
)
_STITCHED_ACCURACY = MeasureSpec(
    name="stitched_accuracy",
    label="accuracy after identity stitching (classifiers, every cut)",
    needs="models",
    function="repdiss_core.engine.accuracy_pass:stitched_logits",
    version=1,
    invariant_to=(),
    symmetric=False,
    range=(0.0, 1.0),
    self_value=None,
    direction="similar",
    unit="fraction right",
)
_TOKEN_ALIGNMENT = MeasureSpec(
    name="token_alignment",
    label="alignment of single tokens (rows of the U-centred Gram matrices)",
    needs="features",
    function="repdiss_core.measures.token_alignment:token_alignment",
    version=1,
    invariant_to=("rotation", "isotropic_scale", "shift"),
    symmetric=True,
    range=(-1.0, 1.0),
    self_value=1.0,
    direction="similar",
    unit="",
)
MEASURES: dict[str, MeasureSpec] = {
    spec.name: spec for spec in (_CKA, _STITCHING, _IDENTITY_STITCHING, _STITCHED_ACCURACY, _TOKEN_ALIGNMENT)
}

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

"""What each pass of the engine asks of a measure's file. A measure is pure functions and a line in `MEASURES`.

A measure of features is written in three functions, called in this order:

    prepared = prepare(layers, context)      once for each model and batch, whatever the number of pairs
    values = cross(prepared_f, prepared_g)   once for each pair of models and batch
    map = spec.reduction.reduce(...)         as often as one likes, from what is stored

`layers` is a `measures.shared.LayerPreparations`: the features of each layer, and what several measures need of them
(centred rows, Gram matrices, neighbour lists), made once a batch when it is first asked for. `context` holds the ids of
the sequences that rows belong to, and the measure's options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from repdiss_core.base.comparison import Comparison, DataId
    from repdiss_core.measures.shared import BatchContext, LayerPreparations
    from repdiss_core.measures.stitch_settings import StitchSettings


class Prepared(Protocol):
    """One model on one batch, ready for `cross`.

    Attributes:
        n_tokens: rows of the features.
        notes: which layers have no value, and why.
    """

    n_tokens: int
    notes: tuple[str, ...]

    @property
    def n_layers(self) -> int:
        """How many layers were prepared."""


class BatchMeasure(Protocol):
    """Pass "features of each batch"."""

    def prepare(self, layers: LayerPreparations, context: BatchContext) -> Any:
        """One model's layers on one batch, as a `Prepared`."""

    def cross(self, f: Any, g: Any) -> np.ndarray:
        """(L_f, L_g) or (L_f, L_g, p) float64 values of every pair of layers; NaN where a layer has none."""


class SameLayerMeasure(BatchMeasure, Protocol):
    """Measures that are also computed for equal layers alone, for populations of models."""

    def cross_same(self, f: Any, g: Any) -> np.ndarray:
        """(L,) values of layer l of f with layer l of g."""


class PooledMeasure(Protocol):
    """Pass "features of fitting batches, scored on others"; the key holds `fit_batches`."""

    def prepare(self, layers: LayerPreparations, context: BatchContext) -> Any:
        """One model's layers on one batch, as a `Prepared`."""

    def accumulate(self, statistics: Any, f: Any, g: Any) -> Any:
        """Sufficient statistics with one more fitting batch; None is the empty beginning."""

    def fit(self, statistics: Any, context: BatchContext) -> Any:
        """What is fitted, once after the last fitting batch."""

    def score(self, fitted: Any, f: Any, g: Any) -> np.ndarray:
        """(L_f, L_g) or (L_f, L_g, p) float64 values on a batch that the fit has not seen."""


class StitchMeasure(Protocol):
    """Pass "one model's blocks on another's"."""

    def settings(self, comparison: Comparison) -> StitchSettings | None:
        """How the map between the models is trained; None where nothing is."""

    def training_data(self, comparison: Comparison) -> DataId:
        """The stream that it is trained on."""

    def new_fit(self, d_f: int, d_g: int, device: Any) -> Any:
        """The closed form: `add(x, y)` takes in tokens, `phi()` gives the map."""

    def new_map(self, d_f: int, d_g: int) -> Any:
        """A map from (…, d_f) to (…, d_g) before training."""

    def losses(self, model: Any, h: Any, batch: Any) -> Any:
        """(b,) loss of each sequence behind the model's head, from its last residuals h (b, t, d)."""

    def gradient(self, model: Any, h: Any, batch: Any) -> tuple[float, Any]:
        """The mean loss of a batch and its gradient with respect to h."""


class AccuracyMeasure(Protocol):
    """Pass "answers of stitched classifiers"."""

    def check(self, models: Any) -> None:
        """Raise a `UserError` unless the models can be stitched."""

    def judge(self, scoring: str, labels: tuple[str, ...]) -> Any:
        """(predictions, labels) -> which are right."""

    def cut_logits(self, f_residuals: Any, g: Any, batch: Any) -> list[Any]:
        """[(b, n_labels)] g's logits at every cut, from f's residuals at those cuts."""


class TokenMeasure(Protocol):
    """Pass "single tokens of one batch": a function."""

    def __call__(self, features_f: Any, features_g: Any) -> Any:
        """An object with an (n,) array for each array of the stored type beside `tokens`."""

"""The features of one batch: each model runs once, and is prepared once for all comparisons that read it alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core.base.comparison import Comparison, ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.engine.activations import ActivationCache, batch_key, residual_streams
from repdiss_core.measures.massive import MULTIPLE, MassiveRows, check_choice, find_massive, normalised

if TYPE_CHECKING:
    from torch import Tensor

    from repdiss_core.data.batches import TokenBatch
    from repdiss_core.measures.cka import Prepared

ModelLoader = Callable[[ModelId, str], Any]


class BatchFeatures:
    """One batch of the group's stream, through whatever models are asked for.

    Without massive tokens to drop, M models are prepared M times, however many pairs. Where tokens are dropped, those of both
    models of a pair are, so that a model is prepared once for each distinct set of rows that its pairs leave.

    Args:
        index: of the batch in its stream.
        load: (model, resid_mean) -> ResidualModel.
    """

    def __init__(self, batch: TokenBatch, index: int, load: ModelLoader, activations: ActivationCache) -> None:
        self.batch, self.index, self.load, self.activations = batch, index, load, activations
        self._layers: dict[tuple, list[Tensor]] = {}
        self._prepared: dict[tuple, Prepared] = {}
        self._massive: dict[tuple, MassiveRows] = {}

    def sides(self, comparison: Comparison) -> tuple[tuple[Prepared, Prepared], dict[str, np.ndarray]]:
        """((f, g) prepared to be multiplied, what is known of massive tokens as in `BatchHsic.massive`)."""
        treatment = str(comparison.setting("massive", "kept"))
        check_choice(treatment, str(comparison.setting("flatten", "token")))
        if treatment != "dropped":
            f, g = (self._side(model, comparison, treatment, None) for model in (comparison.f, comparison.g))
            return (f, g), {}
        found = [self._massive_rows(model, comparison) for model in (comparison.f, comparison.g)]
        drop = found[0].is_massive | found[1].is_massive
        f, g = (self._side(model, comparison, treatment, drop) for model in (comparison.f, comparison.g))
        ids = np.asarray(self.batch.tokens).reshape(-1)
        ids = ids if self.batch.mask is None else ids[np.asarray(self.batch.mask).reshape(-1)]
        known = {f"peak_{side}": one.peak for side, one in zip("fg", found, strict=True)}
        return (f, g), known | {f"tokens_{side}": one.tokens(ids) for side, one in zip("fg", found, strict=True)}

    def layers(self, model: ModelId, comparison: Comparison) -> list[Tensor]:
        """[(n, d)] features of each layer of a model, a row a token."""
        return self._features(model, comparison, "token")

    def _side(self, model: ModelId, comparison: Comparison, treatment: str, drop: np.ndarray | None) -> Prepared:
        from repdiss_core.measures.cka import prepare

        estimator, mode = str(comparison.setting("estimator", "unbiased")), str(comparison.setting("flatten", "token"))
        rows = b"" if drop is None or not drop.any() else drop.tobytes()
        kept_whole = treatment == "dropped" and not rows
        wanted = (model, comparison.resid_mean, estimator, mode, "kept" if kept_whole else treatment, rows)
        if wanted not in self._prepared:
            try:
                layers = self._features(model, comparison, mode)
                ids = sequence_ids(self.batch, mode) if estimator == "sequence_aware" else None
                if rows and drop is not None:
                    layers, ids = [x[~drop] for x in layers], None if ids is None else ids[~drop]
                elif treatment == "normalised":
                    layers = [normalised(x) for x in layers]
                self._prepared[wanted] = prepare(layers, estimator=estimator, sequence_ids=ids)
            except UserError as error:
                raise UserError(f"{model.name}, batch {self.index + 1}: {error}") from error
        return self._prepared[wanted]

    def _massive_rows(self, model: ModelId, comparison: Comparison) -> MassiveRows:
        multiple = float(comparison.setting("massive_multiple", MULTIPLE))
        wanted = (model, comparison.resid_mean, multiple)
        if wanted not in self._massive:
            self._massive[wanted] = find_massive(self._features(model, comparison, "token"), multiple)
        return self._massive[wanted]

    def _features(self, model: ModelId, comparison: Comparison, mode: str) -> list[Tensor]:
        from repdiss_core.measures.cka import flatten

        wanted = (model, comparison.resid_mean)
        if wanted not in self._layers:
            key = batch_key(
                model, comparison.data, comparison.hook, comparison.resid_mean, comparison.dtype, self.index
            )
            self._layers[wanted] = residual_streams(
                lambda: self.load(model, comparison.resid_mean), self.batch, key, self.activations
            )
        return [flatten(h, mode, self.batch.mask) for h in self._layers[wanted]]


def sequence_ids(batch: TokenBatch, mode: str) -> np.ndarray:
    """(n,) which sequence each row of the flattened features belongs to."""
    b, t = batch.tokens.shape
    if mode == "sample":
        return np.arange(b)
    ids = np.repeat(np.arange(b), t)
    return ids if batch.mask is None else ids[batch.mask.reshape(-1)]

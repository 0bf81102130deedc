"""The features of one batch: each model runs once, and is prepared once for all comparisons that read it alike.

Several measures share the forward passes, and what they have in common: `measures.shared.LayerPreparations`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core.base.comparison import Comparison, ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.engine.activations import ActivationCache, batch_key, residual_streams
from repdiss_core.measures import spec_of
from repdiss_core.measures.massive import MULTIPLE, MassiveRows, check_choice, find_massive, normalised, shares
from repdiss_core.models.protocol import ResidualModel

if TYPE_CHECKING:
    from torch import Tensor

    from repdiss_core.data.batches import TokenBatch
    from repdiss_core.measures.shared import LayerPreparations

ModelLoader = Callable[[ModelId, str], ResidualModel]
CARRIED = ("peak", "tokens", "rows", "count", "share")


class BatchFeatures:
    """One batch of the group's stream, through whatever models are asked for.

    Without massive tokens to drop, M models are prepared M times a measure, however many pairs. Where tokens are
    dropped, those of both models of a pair are, so that a model is prepared once for each distinct set of rows that its
    pairs leave.

    Args:
        index: of the batch in its stream.
        load: (model, resid_mean) -> ResidualModel.
    """

    def __init__(self, batch: TokenBatch, index: int, load: ModelLoader, activations: ActivationCache) -> None:
        self.batch, self.index, self.load, self.activations = batch, index, load, activations
        self._layers: dict[tuple, list[Tensor]] = {}
        self._shared: dict[tuple, LayerPreparations] = {}
        self._prepared: dict[tuple, Any] = {}
        self._massive: dict[tuple, MassiveRows] = {}
        self._carried: dict[tuple, np.ndarray] = {}

    def sides(self, comparison: Comparison) -> tuple[tuple[Any, Any], dict[str, np.ndarray]]:
        """((f, g) prepared for the comparison's measure, what is known of massive tokens as in `BatchHsic.massive`)."""
        treatment = str(comparison.setting("massive", "kept"))
        check_choice(treatment, str(comparison.setting("flatten", "token")))
        if treatment != "dropped":
            f, g = (self._side(model, comparison, treatment, None) for model in (comparison.f, comparison.g))
            return (f, g), self._deciding(comparison, (f, g)) if treatment == "kept" else {}
        massive = [self._massive_rows(model, comparison) for model in (comparison.f, comparison.g)]
        drop = massive[0].is_massive | massive[1].is_massive
        f, g = (self._side(model, comparison, treatment, drop) for model in (comparison.f, comparison.g))
        ids = np.asarray(self.batch.tokens).reshape(-1)[self._places()]
        peaks = {f"peak_{side}": rows.peak for side, rows in zip("fg", massive, strict=True)}
        return (f, g), peaks | {f"tokens_{side}": rows.tokens(ids) for side, rows in zip("fg", massive, strict=True)}

    def _deciding(self, comparison: Comparison, sides: tuple[Any, Any]) -> dict[str, np.ndarray]:
        """What massive rows carry of both sides, as in `BatchHsic.massive`; {} where neither has any, or rows are no
        tokens."""
        if str(comparison.setting("flatten", "token")) != "token":
            return {}
        models = (comparison.f, comparison.g)
        massive = [self._massive_rows(model, comparison) for model in models]
        if not any(rows.is_massive.any() for rows in massive):
            return {}
        places = self._places()
        ids = np.asarray(self.batch.tokens).reshape(-1)[places]
        carried: dict[str, np.ndarray] = {}
        for letter, model, rows, side in zip("fg", models, massive, sides, strict=True):
            share = self._shares(model, comparison, side)
            found = (rows.peak, rows.tokens(ids), rows.tokens(places), rows.in_layer.sum(axis=1), share)
            carried |= dict(zip((f"{name}_{letter}" for name in CARRIED), found, strict=True))
        return carried

    def _shares(self, model: ModelId, comparison: Comparison, side: Any) -> np.ndarray:
        """(L,) what massive rows carry of one model's self terms; computed once, whatever the number of pairs."""
        term = spec_of(comparison).self_term
        wanted = (model, comparison.resid_mean, term, getattr(side, "estimator", ""))
        if wanted not in self._carried:
            layers, rows = self._features(model, comparison, "token"), self._massive_rows(model, comparison)
            self._carried[wanted] = shares(layers, rows, term, side) if term else np.zeros(len(layers))
        return self._carried[wanted]

    def _places(self) -> np.ndarray:
        """(n,) the place of each row in the batch, sequence after sequence."""
        counted = self.batch.counted
        return np.arange(self.batch.tokens.size) if counted is None else np.flatnonzero(np.asarray(counted))

    def layers(self, model: ModelId, comparison: Comparison) -> list[Tensor]:
        """[(n, d)] features of each layer of a model, a row a token."""
        return self._features(model, comparison, "token")

    def _side(self, model: ModelId, comparison: Comparison, treatment: str, drop: np.ndarray | None) -> Any:
        """One model prepared for a measure with its options; made once, whatever the number of pairs."""
        from repdiss_core.measures.shared import BatchContext

        spec = spec_of(comparison)
        mode, options = str(comparison.setting("flatten", "token")), spec.chosen(comparison)
        whole = drop is None or not drop.any()
        rows = (
            model,
            comparison.resid_mean,
            mode,
            "kept" if treatment == "dropped" and whole else treatment,
            b"" if drop is None or whole else drop.tobytes(),
        )
        wanted = (spec.name, tuple(sorted(options.items())), *rows)
        if wanted not in self._prepared:
            try:
                shared = self._shared_of(rows, model, comparison, None if whole else drop)
                self._prepared[wanted] = spec.load().prepare(shared, BatchContext(shared.sequence_ids, options))
            except UserError as error:
                raise UserError(f"{model.name}, batch {self.index + 1}: {error}") from error
        return self._prepared[wanted]

    def _shared_of(
        self, rows: tuple, model: ModelId, comparison: Comparison, drop: np.ndarray | None
    ) -> LayerPreparations:
        """The features of some rows, and what several measures need of them."""
        from repdiss_core.measures.shared import LayerPreparations

        _, _, mode, treatment, _ = rows
        if rows not in self._shared:
            layers, ids = self._features(model, comparison, mode), sequence_ids(self.batch, mode)
            if drop is not None:
                layers, ids = [x[~drop] for x in layers], ids[~drop]
            elif treatment == "normalised":
                layers = [normalised(x) for x in layers]
            self._shared[rows] = LayerPreparations(layers, ids)
        return self._shared[rows]

    def _massive_rows(self, model: ModelId, comparison: Comparison) -> MassiveRows:
        multiple = float(comparison.setting("massive_multiple", MULTIPLE))
        wanted = (model, comparison.resid_mean, multiple)
        if wanted not in self._massive:
            self._massive[wanted] = find_massive(self._features(model, comparison, "token"), multiple)
        return self._massive[wanted]

    def _features(self, model: ModelId, comparison: Comparison, mode: str) -> list[Tensor]:
        from repdiss_core.measures.flatten import flatten

        wanted = (model, comparison.resid_mean)
        if wanted not in self._layers:
            key = batch_key(
                model, comparison.data, comparison.hook, comparison.resid_mean, comparison.dtype, self.index
            )
            self._layers[wanted] = residual_streams(
                lambda: self.load(model, comparison.resid_mean), self.batch, key, self.activations
            )
        return [flatten(h, mode, self.batch.counted) for h in self._layers[wanted]]


def sequence_ids(batch: TokenBatch, mode: str) -> np.ndarray:
    """(n,) which sequence each row of the flattened features belongs to."""
    b, t = batch.tokens.shape
    if mode == "sample":
        return np.arange(b)
    ids = np.repeat(np.arange(b), t)
    return ids if batch.counted is None else ids[batch.counted.reshape(-1)]

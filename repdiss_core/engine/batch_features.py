"""The features of one batch: each model runs once, and is prepared once for all comparisons that read it alike.

Several measures share the forward passes, and what they have in common: `measures.shared.LayerPreparations`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core.base.comparison import Comparison, ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.data.row_batches import TextBatch
from repdiss_core.engine.activations import EMBEDDING, ActivationCache, batch_key, embedding_stream, residual_streams
from repdiss_core.engine.text_rows import TEXT_ROWS, TextRows, check_rows
from repdiss_core.measures import spec_of
from repdiss_core.measures.massive import MULTIPLE, MassiveRows, check_choice, find_massive, normalised, shares
from repdiss_core.measures.spec import counted_from, first_layer
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
        batch: tokens that all models read, or texts that each cuts by its own tokenizer.
        index: of the batch in its stream.
        load: (model, resid_mean) -> ResidualModel.
    """

    def __init__(
        self, batch: TokenBatch | TextBatch, index: int, load: ModelLoader, activations: ActivationCache
    ) -> None:
        self.batch, self.index, self.load, self.activations = batch, index, load, activations
        self._texts = TextRows(batch, index) if isinstance(batch, TextBatch) else None
        self._layers: dict[tuple, list[Tensor]] = {}
        self._shared: dict[tuple, LayerPreparations] = {}
        self._prepared: dict[tuple, Any] = {}
        self._massive: dict[tuple, MassiveRows] = {}
        self._carried: dict[tuple, np.ndarray] = {}

    def sides(self, comparison: Comparison) -> tuple[tuple[Any, Any], dict[str, np.ndarray]]:
        """((f, g) prepared for the comparison's measure, what is known of massive tokens as in `BatchHsic.massive`)."""
        treatment = str(comparison.setting("massive", "kept"))
        check_choice(treatment, str(comparison.setting("flatten", "token")))
        check_rows(comparison, self._texts is not None)
        if treatment != "dropped":
            f, g = (self._side(model, comparison, treatment, None) for model in (comparison.f, comparison.g))
            return (f, g), self._deciding(comparison, (f, g)) if treatment == "kept" else {}
        massive = [self._massive_rows(model, comparison) for model in (comparison.f, comparison.g)]
        drop = massive[0].is_massive | massive[1].is_massive
        f, g = (self._side(model, comparison, treatment, drop) for model in (comparison.f, comparison.g))
        peaks = {f"peak_{side}": rows.peak for side, rows in zip("fg", massive, strict=True)}
        named = zip("fg", massive, (comparison.f, comparison.g), strict=True)
        return (f, g), peaks | {f"tokens_{side}": rows.tokens(self._ids(m, comparison)) for side, rows, m in named}

    def _deciding(self, comparison: Comparison, sides: tuple[Any, Any]) -> dict[str, np.ndarray]:
        """What massive rows carry of both sides, as in `BatchHsic.massive`; {} where neither has any, or rows are
        sequences or texts."""
        of_texts = str(comparison.setting("rows", "token")) in TEXT_ROWS
        if of_texts or str(comparison.setting("flatten", "token")) != "token":
            return {}
        models = (comparison.f, comparison.g)
        massive = [self._massive_rows(model, comparison) for model in models]
        if not any(rows.is_massive.any() for rows in massive):
            return {}
        places = self._places(comparison)
        carried: dict[str, np.ndarray] = {}
        for letter, model, rows, side in zip("fg", models, massive, sides, strict=True):
            share = self._shares(model, comparison, side)
            ids = self._ids(model, comparison)
            found = (rows.peak, rows.tokens(ids), rows.tokens(places), rows.in_layer.sum(axis=1), share)
            carried |= dict(zip((f"{name}_{letter}" for name in CARRIED), found, strict=True))
        return carried

    def _shares(self, model: ModelId, comparison: Comparison, side: Any) -> np.ndarray:
        """(L,) what massive rows carry of one model's self terms; computed once, whatever the number of pairs."""
        term = spec_of(comparison).self_term
        wanted = (model, self._row_set(comparison), term, getattr(side, "estimator", ""))
        if wanted not in self._carried:
            layers, rows = self._features(model, comparison, "token"), self._massive_rows(model, comparison)
            self._carried[wanted] = shares(layers, rows, term, side) if term else np.zeros(len(layers))
        return self._carried[wanted]

    def _places(self, comparison: Comparison) -> np.ndarray:
        """(n,) the place of each row in the batch, sequence after sequence: the number of its token, or of its word."""
        if self._texts is not None:
            return np.flatnonzero(self._texts.shared(comparison))
        counted = self.tokens.counted
        return np.arange(self.tokens.tokens.size) if counted is None else np.flatnonzero(np.asarray(counted))

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
            self._row_set(comparison),
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
                said = counted_from(first_layer(comparison), str(error))
                raise UserError(f"{model.name}, batch {self.index + 1}: {said}") from error
        return self._prepared[wanted]

    def _shared_of(
        self, rows: tuple, model: ModelId, comparison: Comparison, drop: np.ndarray | None
    ) -> LayerPreparations:
        """The features of some rows, and what several measures need of them."""
        from repdiss_core.measures.shared import LayerPreparations

        *_, mode, treatment, _ = rows
        if rows not in self._shared:
            layers, ids = self._features(model, comparison, mode), self._sequence_ids(comparison, mode)
            if drop is not None:
                layers, ids = [x[~drop] for x in layers], ids[~drop]
            elif treatment == "normalised":
                layers = [normalised(x) for x in layers]
            self._shared[rows] = LayerPreparations(layers, ids)
        return self._shared[rows]

    def _massive_rows(self, model: ModelId, comparison: Comparison) -> MassiveRows:
        multiple = float(comparison.setting("massive_multiple", MULTIPLE))
        wanted = (model, self._row_set(comparison), multiple)
        if wanted not in self._massive:
            self._massive[wanted] = find_massive(self._features(model, comparison, "token"), multiple)
        return self._massive[wanted]

    def _features(self, model: ModelId, comparison: Comparison, mode: str) -> list[Tensor]:
        from repdiss_core.measures.flatten import flatten

        if self._texts is not None:
            return self._texts.features(self.streams(model, comparison), model, comparison)
        return [flatten(h, mode, self.tokens.counted) for h in self.streams(model, comparison)]

    def streams(self, model: ModelId, comparison: Comparison) -> list[Tensor]:
        """[(b, t, d)] of each layer of a model, layer 0 before them where the comparison has it."""
        hooks = (EMBEDDING, comparison.hook)[first_layer(comparison) :]
        return [h for hook in hooks for h in self._streams_at(hook, model, comparison)]

    def _streams_at(self, hook: str, model: ModelId, comparison: Comparison) -> list[Tensor]:
        """The residual streams after each block, or what the first one reads (`EMBEDDING`)."""
        mean = comparison.resid_mean
        wanted = (model, mean, hook)
        if wanted not in self._layers:
            c, cut = comparison, "" if self._texts is None else self._texts.fingerprint(model)
            key = batch_key(model, c.data, hook, mean, c.dtype, self.index, cut)
            batch = self.tokens if self._texts is None else self._texts.aligned(model).batch
            read = functools.partial(embedding_stream, resid_mean=mean) if hook == EMBEDDING else residual_streams
            self._layers[wanted] = read(lambda: self.load(model, mean), batch, key, self.activations)
        return self._layers[wanted]

    @property
    def tokens(self) -> TokenBatch:
        """The tokens that all models read.

        Raises:
            UserError: the batch holds texts, which each model cuts by itself.
        """
        if isinstance(self.batch, TextBatch):
            raise UserError(
                "Single tokens cannot be laid beside each other where rows are words or texts. Compare at tokens."
            )
        return self.batch

    def _row_set(self, comparison: Comparison) -> tuple[str, int, bytes]:
        """What tells apart which features of a model two comparisons of one stream read, and which rows."""
        rows = b""
        if self._texts is not None:
            rows = str(comparison.setting("rows")).encode() + self._texts.shared(comparison).tobytes()
        return comparison.resid_mean, first_layer(comparison), rows

    def _ids(self, model: ModelId, comparison: Comparison) -> np.ndarray:
        """(n,) the token of each row."""
        if self._texts is not None:
            return self._texts.ids(model, comparison)
        return np.asarray(self.tokens.tokens).reshape(-1)[self._places(comparison)]

    def _sequence_ids(self, comparison: Comparison, mode: str) -> np.ndarray:
        if self._texts is None:
            return sequence_ids(self.tokens, mode)
        return self._texts.batch.sequence_ids[self._texts.shared(comparison)]


def sequence_ids(batch: TokenBatch, mode: str) -> np.ndarray:
    """(n,) which sequence each row of the flattened features belongs to."""
    b, t = batch.tokens.shape
    if mode == "sample":
        return np.arange(b)
    ids = np.repeat(np.arange(b), t)
    return ids if batch.counted is None else ids[batch.counted.reshape(-1)]

"""All pairs of a population at equal layers in one pass: each model runs once a batch,
only same-layer products are formed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core.base.comparison import Comparison, ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.data.batches import TokenBatch, TokenStream
from repdiss_core.engine.accuracy_pass import single_threaded
from repdiss_core.engine.feature_pass import notes_of
from repdiss_core.engine.join import Join, rows_type
from repdiss_core.engine.stopping import Progress, ShouldStop, Stopped
from repdiss_core.measures import spec_of
from repdiss_core.models.protocol import ResidualModel

if TYPE_CHECKING:
    from torch import Tensor


class SameLayerPass:
    """Values of equal layers of every pair, batch by batch.

    Args:
        comparisons: of one measure, stream, hook and setting.
        join: takes the values of each batch; what it holds already is not measured again.
        load: (model, resid_mean) -> model.

    Raises:
        UserError: the stream is too short, or the models differ in depth.
    """

    def __init__(
        self,
        comparisons: Sequence[Comparison],
        n_batches: int,
        join: Join,
        load: Callable[[ModelId, str], ResidualModel],
        stream: TokenStream,
    ) -> None:
        from repdiss_core.measures.products import Workspace

        self.comparisons, self.n_batches, self.join, self.stream = tuple(comparisons), n_batches, join, stream
        first = self.comparisons[0]
        if stream.n_batches < n_batches:
            raise UserError(
                f"{first.data.name}/{first.data.split} holds {stream.n_batches} chunks of feature rows; "
                f"{n_batches} were asked for. Ask for at most {stream.n_batches}."
            )
        self.spec, self.measure, self.hook = spec_of(first), spec_of(first).load(), first.hook
        self.models = {m: load(m, first.resid_mean) for m in sorted({m for c in self.comparisons for m in (c.f, c.g)})}
        self.workspaces = {m: Workspace() for m in self.models}
        check_one_depth(self.models.values())

    def run(self, progress: Progress, should_stop: ShouldStop) -> None:
        """Measure every missing batch.

        Raises:
            Stopped: after storing what was finished.
        """
        first = min(map(self.join.count, self.comparisons))
        for index in range(first, self.n_batches):
            if should_stop():
                self.join.flush()
                raise Stopped
            self._measure(index, [c for c in self.comparisons if self.join.count(c) <= index])
            self.join.flush(due=True)
            progress(
                (index + 1 - first) / max(1, self.n_batches - first),
                f"{len(self.models)} models, chunk {index + 1} of {self.n_batches}",
            )
        self.join.flush()

    def _measure(self, index: int, comparisons: list[Comparison]) -> None:
        import torch

        from repdiss_core.measures.gram import full_float32

        batch = self.stream.batch(index)
        wanted = [m for m in self.models if any(m in (c.f, c.g) for c in comparisons)]
        device = torch.device(str(getattr(self.models[wanted[0]], "device", "cpu")))
        # Models and pairs are many and small: each has one thread. The outer setting holds while inner ones come and
        # go.
        with full_float32(device), single_threaded() as n_threads, ThreadPoolExecutor(n_threads) as pool:
            prepared = dict(zip(wanted, pool.map(lambda m: self._prepare(m, batch), wanted), strict=True))
            values = list(pool.map(lambda c: self.measure.cross_same(prepared[c.f], prepared[c.g]), comparisons))
        for c, value in zip(comparisons, values, strict=True):
            sides = prepared[c.f], prepared[c.g]
            self.join.add(c, rows_type(c).of_batch(value, *sides, notes_of(c, sides)))

    def _prepare(self, model: ModelId, batch: TokenBatch) -> Any:
        from repdiss_core.measures.shared import BatchContext, LayerPreparations

        workspace = self.workspaces[model]
        workspace.reset()
        layers = LayerPreparations(feature_rows(self.models[model], batch, self.hook))
        return self.measure.prepare(layers, BatchContext(None, self.spec.chosen(self.comparisons[0]), workspace))


def check_one_depth(models: Iterable[ResidualModel]) -> None:
    """Raise a `UserError` where models differ in depth."""
    depths = {m.n_layers: m.name for m in models}
    if len(depths) > 1:
        differing = " and ".join(f"{name} {n}" for n, name in sorted(depths.items()))
        raise UserError(
            f"The distance of equation (2) pairs layer l with layer l, but the models differ in depth ({differing} "
            "layers). Choose models of one depth."
        )


def feature_rows(model: ResidualModel, batch: TokenBatch, hook: str) -> list[Tensor]:
    """[(n, d)] features of layer 1 … L at the positions that the batch chooses."""
    import torch

    layers = model.features(batch, hook) if hasattr(model, "features") else model.residuals(batch)
    rows = batch.rows if batch.rows is not None else batch.mask
    if rows is None:
        return [h.reshape(-1, h.shape[-1]) for h in layers]
    chosen = torch.from_numpy(np.ascontiguousarray(rows))
    return [h[chosen] for h in layers]

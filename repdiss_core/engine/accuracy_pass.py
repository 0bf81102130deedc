"""Accuracy after identity stitching at every cut, for ordered pairs of a population of classifiers.

Cut c of (f, g) runs f's embeddings and blocks 1 … c, then g's blocks c+1 … L and g's head. Cut 0 takes only the
embeddings from f; cut L exchanges only the head. f runs once for all cuts and all g; of g only the upper blocks run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core.base.comparison import Comparison, ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.base.results import CutAccuracies
from repdiss_core.data.batches import TokenBatch, TokenStream
from repdiss_core.measures import spec_of
from repdiss_core.measures.protocol import AccuracyMeasure
from repdiss_core.models.protocol import ResidualModel

if TYPE_CHECKING:
    from torch import Tensor

ITEMS_AT_ONCE = 125

Keep = Callable[[Comparison, CutAccuracies], None]
Judge = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (predictions, labels) -> which are right


@dataclass(frozen=True, eq=False)
class Items:
    """The sequences that are classified: (n, t) tokens and mask, (n,) labels."""

    tokens: np.ndarray
    mask: np.ndarray
    labels: np.ndarray

    def batches(self) -> list[tuple[np.ndarray, TokenBatch]]:
        """(which items, their batch without common padding), items of like length together;
        fixed by the items alone."""
        order = np.argsort(self.mask.sum(axis=1), kind="stable")
        parts = []
        for start in range(0, len(order), ITEMS_AT_ONCE):
            chosen = order[start : start + ITEMS_AT_ONCE]
            width = int(self.mask[chosen].sum(axis=1).max())
            mask = np.ascontiguousarray(self.mask[chosen, :width])
            parts.append(
                (chosen, TokenBatch(np.ascontiguousarray(self.tokens[chosen, :width]), mask, self.labels[chosen]))
            )
        return parts


def run_accuracies(
    comparisons: Sequence[Comparison],
    load: Callable[[ModelId], Any],
    stream: TokenStream,
    keep: Keep,
    progress: Callable[[float, str], None] = lambda fraction, message: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Measure ordered pairs that share data and settings; results are kept as each bottom model is finished.

    Args:
        comparisons: of one measure of answers, at every cut, with the settings `items` and `scoring`.
        load: gives the classifier of a model's id.
        stream: of the comparisons' data, with labels.
        keep: called for every pair with its result, all arrays uint8.
        should_stop: asked between bottom models and batches; what is finished has been kept then.

    Raises:
        UserError: models that cannot be exchanged block by block, no labels, unknown settings, too few items.
    """
    if not comparisons:
        raise UserError("There is no pair of models to stitch; name at least one.")
    first = comparisons[0]
    items = read_items(stream, int(first.setting("items")))
    models = {m: load(m) for m in sorted({m for c in comparisons for m in (c.f, c.g)})}
    measure = spec_of(first).load()
    measure.check(list(models.values()))
    judge = measure.judge(str(first.setting("scoring")), next(iter(models.values())).labels)
    by_bottom: dict[ModelId, list[Comparison]] = {}
    for comparison in sorted(comparisons, key=lambda c: (c.f, c.g)):
        by_bottom.setdefault(comparison.f, []).append(comparison)
    parts = items.batches()
    own = {m: _own(models[m], parts, items, judge) for m in models}
    for number, (bottom, wanted) in enumerate(by_bottom.items()):
        progress(
            number / len(by_bottom),
            f"stitching {bottom.name} under {len(wanted)} models ({number + 1} of {len(by_bottom)})",
        )
        found = _bottom(measure, models, bottom, [c.g for c in wanted], parts, items, judge, should_stop)
        if found is None:
            return
        for comparison in wanted:
            keep(comparison, CutAccuracies(found[comparison.g], own[comparison.f], own[comparison.g]))
    progress(1.0, "stitched all pairs")


def read_items(stream: TokenStream, n_items: int) -> Items:
    """The first `n_items` items of a stream of whole sequences.

    Raises:
        UserError: the set has no labels, or fewer items.
    """
    batches: list[TokenBatch] = []
    while sum(len(b.tokens) for b in batches) < n_items and len(batches) < stream.n_batches:
        batches.append(stream.batch(len(batches)))
    name = f"{stream.data_id.name}/{stream.data_id.split}"
    labels = [b.labels for b in batches if b.labels is not None]
    if len(labels) < len(batches):
        raise UserError(
            f"{name} has no labels, so that no accuracy can be measured on it. "
            "Choose a labelled set, such as nli/in_distribution."
        )
    found = sum(len(b.tokens) for b in batches)
    if found < n_items or n_items < 1:
        raise UserError(f"{name} holds {found} items; {n_items} were asked for. Ask for 1 to {found}.")
    masks = [np.ones_like(b.tokens, dtype=bool) if b.mask is None else b.mask for b in batches]
    columns = ([b.tokens for b in batches], masks, labels)
    return Items(*(np.concatenate(column)[:n_items] for column in columns))


def _residuals(model: ResidualModel, batch: TokenBatch) -> list[Tensor]:
    """[(b, t, d)] raw residuals at cuts 0 … L."""
    h = model.embed(batch)
    found = [h]
    for layer in range(model.n_layers):
        h = model.blocks(h, layer, layer + 1, batch)
        found.append(h)
    return found


def _own(model: ResidualModel, parts: list[tuple[np.ndarray, TokenBatch]], items: Items, judge: Judge) -> np.ndarray:
    """(n_items,) uint8: what the model gets right by itself."""
    import torch

    right = np.zeros(len(items.labels), dtype=np.uint8)
    with torch.no_grad():
        for chosen, batch in parts:
            logits = model.head(model.blocks(model.embed(batch), 0, model.n_layers, batch), batch)
            right[chosen] = judge(logits.argmax(-1).cpu().numpy(), items.labels[chosen])
    return right


def _bottom(
    measure: AccuracyMeasure,
    models: dict[ModelId, ResidualModel],
    bottom: ModelId,
    tops: list[ModelId],
    parts: list[tuple[np.ndarray, TokenBatch]],
    items: Items,
    judge: Judge,
    should_stop: Callable[[], bool],
) -> dict[ModelId, np.ndarray] | None:
    """{g: (L+1, n_items) uint8} for one f; None where asked to stop.

    Each g has a thread of its own: its products are small.
    """
    import torch

    found = {g: np.zeros((models[g].n_layers + 1, len(items.labels)), dtype=np.uint8) for g in tops}

    def under(g: ModelId, residuals: list[Tensor], chosen: np.ndarray, batch: TokenBatch) -> None:
        with torch.no_grad():
            for cut, values in enumerate(measure.cut_logits(residuals, models[g], batch)):
                found[g][cut, chosen] = judge(values.argmax(-1).cpu().numpy(), items.labels[chosen])

    with single_threaded() as n_threads, ThreadPoolExecutor(n_threads) as pool:
        for chosen, batch in parts:
            if should_stop():
                return None
            with torch.no_grad():
                residuals = _residuals(models[bottom], batch)
            for done in [pool.submit(under, g, residuals, chosen, batch) for g in tops]:
                done.result()
    return found


@contextmanager
def single_threaded() -> Iterator[int]:
    """Inside, torch's products use one thread each; yields how many threads there are to share."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield n_threads
    finally:
        torch.set_num_threads(n_threads)

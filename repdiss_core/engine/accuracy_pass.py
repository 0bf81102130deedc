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
from repdiss_core.data.batches import TokenBatch

if TYPE_CHECKING:
    from torch import Tensor

MEASURE = "stitched_accuracy"
SCORINGS = ("exact", "entailment_or_not")
ITEMS_AT_ONCE = 125

Keep = Callable[[Comparison, dict[str, np.ndarray], dict[str, Any]], None]


@dataclass(frozen=True, eq=False)
class Items:
    """The sequences that are classified: (n, t) tokens and mask, (n,) labels."""

    tokens: np.ndarray
    mask: np.ndarray
    labels: np.ndarray

    def batches(self) -> list[tuple[np.ndarray, TokenBatch]]:
        """(which items, their batch without common padding), items of like length together; fixed by the items alone."""
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
    stream: Any,
    keep: Keep,
    progress: Callable[[float, str], None] = lambda fraction, message: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Measure ordered pairs that share data and settings; results are kept as each bottom model is finished.

    Args:
        comparisons: measure "stitched_accuracy", layer_pairs "cuts", settings `items` and `scoring`.
        load: gives the classifier of a model's id.
        stream: of the comparisons' data, with labels.
        keep: called for every pair with the arrays `correct` (L+1, n_items), `own_f` and `own_g` (n_items,), all uint8.
        should_stop: asked between bottom models and batches; what is finished has been kept then.

    Raises:
        UserError: models that cannot be exchanged block by block, no labels, unknown settings, too few items.
    """
    if not comparisons:
        raise UserError("There is no pair of models to stitch; name at least one.")
    first = comparisons[0]
    items = read_items(stream, int(first.setting("items")))
    models = {m: load(m) for m in sorted({m for c in comparisons for m in (c.f, c.g)})}
    check_exchangeable(list(models.values()))
    judge = _judge(str(first.setting("scoring")), next(iter(models.values())).labels)
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
        found = _bottom(models, bottom, [c.g for c in wanted], parts, items, judge, should_stop)
        if found is None:
            return
        for comparison in wanted:
            arrays = {"correct": found[comparison.g], "own_f": own[comparison.f], "own_g": own[comparison.g]}
            keep(comparison, arrays, {"n_items": len(items.labels), "n_cuts": len(found[comparison.g])})
    progress(1.0, "stitched all pairs")


def stitched_logits(f_residuals: Sequence[Tensor], g: Any, batch: TokenBatch) -> list[Tensor]:
    """[(b, n_labels)] g's logits at every cut 0 … L, from f's residuals [(b, t, d)] at those cuts.

    All cuts below block l pass through it together, as one batch of that many times the sequences; of the last block only
    the token that the head reads is computed.
    """
    import torch

    n_layers, h = len(f_residuals) - 1, f_residuals[0]
    for layer in range(1, n_layers):
        h = torch.cat([g.blocks(h, layer - 1, layer, _repeated(batch, layer)), f_residuals[layer]])
    below = g.read_out(h, _repeated(batch, n_layers)).split(len(f_residuals[0]))
    return [*below, g.head(f_residuals[n_layers], batch)]


def read_items(stream: Any, n_items: int) -> Items:
    """The first `n_items` items of a stream of whole sequences.

    Raises:
        UserError: the set has no labels, or fewer items.
    """
    batches: list[TokenBatch] = []
    while sum(len(b.tokens) for b in batches) < n_items and len(batches) < stream.n_batches:
        batches.append(stream.batch(len(batches)))
    name = f"{stream.data_id.name}/{stream.data_id.split}"
    if any(b.labels is None for b in batches):
        raise UserError(
            f"{name} has no labels, so that no accuracy can be measured on it. Choose a labelled set, such as nli/in_distribution."
        )
    found = sum(len(b.tokens) for b in batches)
    if found < n_items or n_items < 1:
        raise UserError(f"{name} holds {found} items; {n_items} were asked for. Ask for 1 to {found}.")
    masks = [np.ones_like(b.tokens, dtype=bool) if b.mask is None else b.mask for b in batches]
    columns = ([b.tokens for b in batches], masks, [b.labels for b in batches])
    return Items(*(np.concatenate(column)[:n_items] for column in columns))


def check_exchangeable(models: Sequence[Any]) -> None:
    """Raise a `UserError` unless the models' blocks can be exchanged and their labels mean the same."""
    first = models[0]
    for other in models[1:]:
        if (first.n_layers, first.d_model) != (other.n_layers, other.d_model):
            raise UserError(
                f"Identity stitching exchanges blocks of equal shape, but {first.name} has {first.n_layers} layers of width {first.d_model} and "
                f"{other.name} {other.n_layers} of width {other.d_model}. Choose models of one depth and width."
            )
        if set(first.labels) != set(other.labels):
            raise UserError(
                f"{first.name} tells {', '.join(first.labels)} apart and {other.name} {', '.join(other.labels)}: their accuracies cannot be "
                "compared. Choose classifiers of one label set."
            )
        if first.labels != other.labels:
            raise UserError(
                f"{first.name} and {other.name} have the same labels in another order ({', '.join(first.labels)}; {', '.join(other.labels)}): "
                "a stitched model would be scored wrongly. Reorder the labels when loading one of them."
            )


def _judge(scoring: str, labels: tuple[str, ...]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """(predictions, labels) -> which are right; HANS counts neutral and contradiction as one answer."""
    if scoring not in SCORINGS:
        raise UserError(f"There is no scoring {scoring!r}; choose {' or '.join(SCORINGS)}.")
    if scoring == "exact":
        return lambda predicted, wanted: predicted == wanted
    if "entailment" not in labels:
        raise UserError(
            f"Scoring entailment_or_not needs a label named entailment; these models have {', '.join(labels)}. Choose exact."
        )
    entailment = labels.index("entailment")
    return lambda predicted, wanted: (predicted == entailment) == (wanted == entailment)


def _residuals(model: Any, batch: TokenBatch) -> list[Tensor]:
    """[(b, t, d)] raw residuals at cuts 0 … L."""
    h = model.embed(batch)
    found = [h]
    for layer in range(model.n_layers):
        h = model.blocks(h, layer, layer + 1, batch)
        found.append(h)
    return found


def _own(model: Any, parts: list[tuple[np.ndarray, TokenBatch]], items: Items, judge: Any) -> np.ndarray:
    """(n_items,) uint8: what the model gets right by itself."""
    import torch

    right = np.zeros(len(items.labels), dtype=np.uint8)
    with torch.no_grad():
        for chosen, batch in parts:
            logits = model.head(model.blocks(model.embed(batch), 0, model.n_layers, batch), batch)
            right[chosen] = judge(logits.argmax(-1).cpu().numpy(), batch.labels)
    return right


def _bottom(
    models: dict[ModelId, Any],
    bottom: ModelId,
    tops: list[ModelId],
    parts: Any,
    items: Items,
    judge: Any,
    should_stop: Callable[[], bool],
) -> dict[ModelId, np.ndarray] | None:
    """{g: (L+1, n_items) uint8} for one f; None where asked to stop. Each g has a thread of its own: its products are small."""
    import torch

    found = {g: np.zeros((models[g].n_layers + 1, len(items.labels)), dtype=np.uint8) for g in tops}

    def under(g: ModelId, residuals: list[Tensor], chosen: np.ndarray, batch: TokenBatch) -> None:
        with torch.no_grad():
            for cut, values in enumerate(stitched_logits(residuals, models[g], batch)):
                found[g][cut, chosen] = judge(values.argmax(-1).cpu().numpy(), batch.labels)

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


def _repeated(batch: TokenBatch, times: int) -> TokenBatch:
    """The batch, stacked on itself."""
    if times == 1:
        return batch
    mask = None if batch.mask is None else np.tile(batch.mask, (times, 1))
    return TokenBatch(np.tile(batch.tokens, (times, 1)), mask)

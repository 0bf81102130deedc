"""A group of models that may not fit into memory together: all at once, else in halves, at last one model after the other.

In the last case one model runs ahead by as many batches as the disk budget of activations holds, then the other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

from repdiss_core.base.comparison import ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.engine.activations import LARGEST_SHARE, ActivationCache, batch_key, residual_streams
from repdiss_core.engine.feature_pass import FeaturePass, Progress, Stopped, stored_hsic
from repdiss_core.engine.plan import FeatureGroup
from repdiss_core.store.cache import ResultStore


class ModelHost(Protocol):
    """What holds the models while a group runs: `engine.run.Engine`, as far as it is needed here."""

    store: ResultStore
    activations: ActivationCache
    report: Callable[[str], None]

    @property
    def devices(self) -> tuple[str, ...]:
        """Where models run."""

    def load(self, model: ModelId, resid_mean: str, dtype: str = "float32") -> Any:
        """The model, loaded once."""

    def forget_models(self) -> None:
        """Drop all models."""

    def provenance(self) -> dict[str, Any]:
        """Versions, device and date."""


def run_features(
    engine: ModelHost,
    group: FeatureGroup,
    n_batches: int,
    stream: Any,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> None:
    """Measure a group; what does not fit is told in the log, and the numbers are the same.

    Raises:
        Stopped: after storing what was finished.
        UserError: a model that does not fit even alone, or no room on the disk for the features of one batch.
    """
    from repdiss_core.engine.device import is_out_of_memory

    load = functools.partial(engine.load, dtype=group.comparisons[0].dtype)
    try:
        FeaturePass(group, n_batches, engine.store, engine.activations, load, stream, engine.provenance()).run(
            progress, should_stop
        )
        return
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    engine.forget_models()  # outside of the except clause: the exception's frames hold tensors
    names, device = ", ".join(m.name for m in group.models), engine.devices[0]
    told = f"{len(group.models)} models ({names}) do not fit into the memory of {device} together"
    if len(group.comparisons) > 1:
        engine.report(f"{told}; half of the pairs are computed after the other.")
        ordered = sorted(group.comparisons, key=lambda c: (c.f, c.g))
        for part in (ordered[: len(ordered) // 2], ordered[len(ordered) // 2 :]):
            run_features(engine, FeatureGroup(group.data, tuple(part)), n_batches, stream, progress, should_stop)
            engine.forget_models()
        return
    if len(group.models) == 1:
        raise UserError(
            f"{names} does not fit into the memory of {device} even alone. Use a larger one, or dtype bfloat16."
        )
    engine.report(f"{told}; one runs after the other, and the first one's features wait on the disk.")
    try:
        _one_after_another(group, n_batches, engine, stream, progress, should_stop)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"One of {names} does not fit into the memory of {device} even alone. Use a larger one, or dtype bfloat16."
        ) from error


def _one_after_another(
    group: FeatureGroup,
    n_batches: int,
    engine: ModelHost,
    stream: Any,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> None:
    """Measure the one comparison of a group of two models.

    Raises:
        Stopped: after storing what was finished.
        UserError: the disk budget does not hold a few batches of the first model.
    """
    (comparison,) = group.comparisons
    store, activations = engine.store, engine.activations
    kept = stored_hsic(store, comparison)
    done = kept.n_batches if kept is not None else 0
    while done < n_batches:
        ahead = _run_ahead(group, done, n_batches, activations, engine, stream, should_stop)
        engine.forget_models()

        def load(model: Any, resid_mean: str) -> Any:
            return engine.load(model, resid_mean, comparison.dtype)

        def part(fraction: float, message: str, start: int = done, stop: int = ahead) -> None:
            progress((start + (stop - start) * fraction) / n_batches, message)

        FeaturePass(group, ahead, store, activations, load, stream, engine.provenance()).run(part, should_stop)
        engine.forget_models()
        done = ahead


def _run_ahead(
    group: FeatureGroup,
    done: int,
    n_batches: int,
    activations: ActivationCache,
    engine: ModelHost,
    stream: Any,
    should_stop: Callable[[], bool],
) -> int:
    """Put the first model's features of the next batches on the disk; returns the number of the batch after them."""
    (comparison,) = group.comparisons
    model = comparison.f
    size, index = 0, done
    while index < n_batches and (index == done or (index - done + 1) * size <= activations.budget_bytes // 2):
        if should_stop():
            raise Stopped
        key = batch_key(model, comparison.data, comparison.hook, comparison.resid_mean, comparison.dtype, index)
        layers = residual_streams(
            lambda: engine.load(model, comparison.resid_mean, comparison.dtype), stream.batch(index), key, activations
        )
        size = sum(h.numel() * 4 for h in layers)
        if not activations.takes(size):
            raise UserError(
                f"{model.name} and {comparison.g.name} do not fit into memory together, and one batch of features takes {size / 2**30:.2f} GiB: "
                f"set REPDISS_ACTIVATIONS_GB to at least {LARGEST_SHARE * size / 2**30:.0f}, or use a larger device."
            )
        index += 1
    return index

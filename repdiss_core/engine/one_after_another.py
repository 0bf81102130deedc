"""Two models that do not fit into memory together: one runs ahead by as many batches as the disk budget holds, then the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from repdiss_core.activations import LARGEST_SHARE, ActivationCache, batch_key, residual_streams
from repdiss_core.cache import ResultStore
from repdiss_core.engine.feature_pass import FeaturePass, Progress, Stopped, stored_hsic
from repdiss_core.engine.plan import FeatureGroup
from repdiss_core.errors import UserError

if TYPE_CHECKING:
    from repdiss_core.engine.run import Engine


def one_after_another(
    group: FeatureGroup, n_batches: int, store: ResultStore, activations: ActivationCache, engine: Engine, stream: Any,
    progress: Progress, should_stop: Callable[[], bool],
) -> None:  # fmt: skip
    """Measure the one comparison of a group of two models.

    Raises:
        Stopped: after storing what was finished.
        UserError: the disk budget does not hold a few batches of the first model.
    """
    (comparison,) = group.comparisons
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
    group: FeatureGroup, done: int, n_batches: int, activations: ActivationCache, engine: Engine, stream: Any, should_stop: Callable[[], bool]
) -> int:
    """Put the first model's features of the next batches on the disk; returns the number of the batch after them."""
    (comparison,) = group.comparisons
    model = comparison.f
    size, index = 0, done
    while index < n_batches and (index == done or (index - done + 1) * size <= activations.budget_bytes // 2):
        if should_stop():
            raise Stopped
        key = batch_key(model, comparison.data, comparison.hook, comparison.resid_mean, comparison.dtype, index)
        layers = residual_streams(lambda: engine.load(model, comparison.resid_mean, comparison.dtype), stream.batch(index), key, activations)
        size = sum(h.numel() * 4 for h in layers)
        if not activations.takes(size):
            raise UserError(
                f"{model.name} and {comparison.g.name} do not fit into memory together, and one batch of features takes {size / 2**30:.2f} GiB: "
                f"set REPDISS_ACTIVATIONS_GB to at least {LARGEST_SHARE * size / 2**30:.0f}, or use a larger device."
            )
        index += 1
    return index

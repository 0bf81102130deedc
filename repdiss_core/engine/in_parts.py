"""A group of models that may not fit into memory together: all at once, else in halves,
at last one model after the other.

In the last case one model runs ahead by as many batches as the disk budget of activations holds, then the other.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from repdiss_core.base.comparison import Comparison, ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.data.row_batches import FeatureStream
from repdiss_core.engine.activations import LARGEST_SHARE
from repdiss_core.engine.batch_features import BatchFeatures
from repdiss_core.engine.crossed_windows import first_needed
from repdiss_core.engine.feature_pass import FeaturePass
from repdiss_core.engine.host import Host
from repdiss_core.engine.join import Join
from repdiss_core.engine.stopping import Progress, ShouldStop, Stopped
from repdiss_core.models.protocol import ResidualModel


def run_features(
    host: Host,
    comparisons: Sequence[Comparison],
    n_batches: int,
    join: Join,
    progress: Progress,
    should_stop: ShouldStop,
    kind: type[FeaturePass] = FeaturePass,
) -> None:
    """Measure comparisons of one stream; what does not fit is told in the log, and the numbers are the same.

    Raises:
        Stopped: after storing what was finished.
        UserError: a model that does not fit even alone, or no room on the disk for the features of one batch.
    """
    from repdiss_core.engine.device import is_out_of_memory

    load = functools.partial(host.load, dtype=comparisons[0].dtype)
    stream = host.stream(comparisons[0].data)
    try:
        kind(comparisons, n_batches, join, host.activations, load, stream).run(progress, should_stop)
        return
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    host.forget_models()  # outside of the except clause: the exception's frames hold tensors
    models = sorted({m for c in comparisons for m in (c.f, c.g)})
    names, device = ", ".join(m.name for m in models), host.devices[0]
    refused = f"{len(models)} models ({names}) do not fit into the memory of {device} together"
    if len(comparisons) > 1:
        host.report(f"{refused}; half of the pairs are computed after the other.")
        ordered = sorted(comparisons, key=lambda c: (c.f, c.g))
        for part in (ordered[: len(ordered) // 2], ordered[len(ordered) // 2 :]):
            run_features(host, part, n_batches, join, progress, should_stop, kind)
            host.forget_models()
        return
    if len(models) == 1 or kind is not FeaturePass:
        raise UserError(
            f"{names} does not fit into the memory of {device} even alone. Use a larger one, or dtype bfloat16."
            if len(models) == 1
            else f"{refused}, and this measure needs them at once. Choose a larger device, or dtype bfloat16."
        )
    host.report(f"{refused}; one runs after the other, and the first one's features wait on the disk.")
    try:
        _one_after_another(host, comparisons[0], n_batches, join, progress, should_stop)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"One of {names} does not fit into the memory of {device} even alone. Use a larger one, or dtype bfloat16."
        ) from error


def _one_after_another(
    host: Host, comparison: Comparison, n_batches: int, join: Join, progress: Progress, should_stop: ShouldStop
) -> None:
    """Measure one comparison of two models.

    Raises:
        Stopped: after storing what was finished.
        UserError: the disk budget does not hold a few batches of the first model.
    """
    done, stream = join.count(comparison), host.stream(comparison.data)
    while done < n_batches:
        ahead = _run_ahead(host, comparison, done, n_batches, stream, should_stop)
        host.forget_models()

        def load(model: ModelId, resid_mean: str) -> ResidualModel:
            return host.load(model, resid_mean, comparison.dtype)

        def part(fraction: float, message: str, start: int = done, stop: int = ahead) -> None:
            progress((start + (stop - start) * fraction) / n_batches, message)

        FeaturePass([comparison], ahead, join, host.activations, load, stream).run(part, should_stop)
        host.forget_models()
        done = ahead


def _run_ahead(
    host: Host, comparison: Comparison, done: int, n_batches: int, stream: FeatureStream, should_stop: ShouldStop
) -> int:
    """Put the first model's features of the next batches on the disk; returns the number of the batch after them."""
    model, activations = comparison.f, host.activations

    def load(model: ModelId, resid_mean: str) -> ResidualModel:
        return host.load(model, resid_mean, comparison.dtype)

    first = first_needed(comparison, done, n_batches)
    size, index = 0, first
    while index < n_batches and (index <= done or (index - first + 1) * size <= activations.budget_bytes // 2):
        if should_stop():
            raise Stopped
        layers = BatchFeatures(stream.batch(index), index, load, activations).streams(model, comparison)
        size = sum(h.numel() * 4 for h in layers)
        if not activations.takes(size):
            raise UserError(
                f"{model.name} and {comparison.g.name} do not fit into memory together, "
                "and one batch of features takes "
                f"{size / 2**30:.2f} GiB: set REPDISS_ACTIVATIONS_GB to at least {LARGEST_SHARE * size / 2**30:.0f}, "
                "or use a larger device."
            )
        index += 1
    return index

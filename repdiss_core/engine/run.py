"""Computes a request: plans it, takes the lock of every key, re-checks the cache, and runs one pass a group."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from repdiss_core import __version__
from repdiss_core.base.comparison import Comparison, DataId, ModelId, Request
from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import local_root
from repdiss_core.base.results import StitchResult
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.checkpoint import CheckpointDir
from repdiss_core.engine.feature_pass import Progress, Stopped, stored_hsic
from repdiss_core.engine.in_parts import run_features
from repdiss_core.engine.plan import TOKENS, FeatureGroup, Group, PopulationGroup, StitchGroup, TokenGroup, plan
from repdiss_core.engine.population_pass import run_population, stored_same_layers
from repdiss_core.engine.token_pass import run_tokens
from repdiss_core.store.cache import ResultStore
from repdiss_core.store.disk import disk_error

CHECK_EVERY_S = 1.0


class Engine:
    """Loads models and streams once for a whole request.

    Args:
        store: where results go.
        activations: the disk cache of residual streams.
        report: told of things worth a line in the log, such as a damaged checkpoint.
    """

    def __init__(
        self,
        store: ResultStore,
        activations: ActivationCache | None = None,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.store = store
        self.activations = activations or ActivationCache()
        self.report = report
        self.checkpoints = CheckpointDir(local_root() / "checkpoints", report)
        self._models: dict[tuple[str, str, str], Any] = {}
        self._streams: dict[DataId, Any] = {}
        self._taken: dict[str, int] = {}  # bytes of weights on each device
        self._devices: tuple[str, ...] | None = None

    def run(self, request: Request, progress: Progress, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Compute what the cache lacks of a request.

        Raises:
            Stopped: asked to stop; what was finished is stored.
            UserError: the request cannot be computed, with the reason.
        """
        self._run_groups(request, progress, should_stop)
        if self._lost(request):  # damage that shows only once the database has been closed
            self.report(
                "What is stored cannot be read back. A damaged database is set aside, and what is lost is computed anew."
            )
            self.store.verify()
            self._run_groups(request, progress, should_stop)
            if self._lost(request):
                raise UserError(
                    "What was computed cannot be read back from the cache. Check the disk, or set REPDISS_CACHE to a folder on another one."
                )
        progress(1.0, "done")
        for line in self.activations.problems + self.store.problems:
            self.report(line)

    def _run_groups(self, request: Request, progress: Progress, should_stop: Callable[[], bool]) -> None:
        """Compute what is missing."""
        groups = plan(request)
        weights = [_weight(group, request.n_batches) for group in groups]
        total, done = sum(weights), 0.0
        for group, weight in zip(groups, weights, strict=True):
            start = done / total

            def within(fraction: float, message: str, start: float = start, share: float = weight / total) -> None:
                progress(start + share * fraction, message)

            if self._missing(
                group, request.n_batches
            ):  # a cache that holds all may be one that cannot be written: no lock then
                with self._locked(group.comparisons, within, start, should_stop):
                    missing = self._missing(
                        group, request.n_batches
                    )  # looked at anew: another process may have been faster
                    if missing:
                        self._run_in_memory(
                            type(group)(**_replaced(group, missing)), request.n_batches, within, should_stop
                        )
            done += weight

    def _lost(self, request: Request) -> bool:
        """Whether something of the request is not there for a process that opens the cache now."""
        self.store.close()
        return any(not self.is_complete(c, request.n_batches) for c in request.comparisons)

    def _missing(self, group: Group, n_batches: int) -> list[Comparison]:
        return [c for c in group.comparisons if not self.is_complete(c, n_batches)]

    def is_complete(self, comparison: Comparison, n_batches: int) -> bool:
        """Whether the local cache holds all of a comparison."""
        if comparison.layer_pairs == "cuts" or comparison.measure == TOKENS:
            return self.store.get_local(comparison.key) is not None
        if comparison.layer_pairs == "same":
            measured = stored_same_layers(self.store, comparison)
            return measured is not None and measured.n_batches >= n_batches
        if ":" not in comparison.layer_pairs:
            kept = stored_hsic(self.store, comparison)
            return kept is not None and kept.n_batches >= n_batches
        entry = self.store.get_local(comparison.key)
        return entry is not None and StitchResult.from_arrays(entry.arrays, entry.meta).complete

    def load(self, model: ModelId, resid_mean: str, dtype: str = "float32", alone: bool = False) -> Any:
        """The model, loaded once; its weights must be those that the comparison names.

        Args:
            alone: put it on the first device, beside the one that it is stitched to; otherwise several GPUs share the models.
        """
        from repdiss_core.engine.device import check_room, roomiest
        from repdiss_core.models import load_model, model_spec
        from repdiss_core.models.paper_models import memory_bytes

        if model_spec(model.name).weights != model.weights:
            raise UserError(
                f"{model.name} has other weights here ({model_spec(model.name).weights[:12]}) than the comparison names ({model.weights[:12]}). "
                "Open the page anew, or run the command again without the old key."
            )
        key = (model.name, resid_mean, dtype)
        if key not in self._models:
            spec, device = model_spec(model.name), "cpu"
            if spec.takes_a_device:
                device = self.devices[0] if alone else roomiest(self.devices, self._taken)
                check_room(spec.name, memory_bytes(spec, dtype), device)
                self._taken[device] = self._taken.get(device, 0) + memory_bytes(spec, dtype)
            self._models[key] = load_model(model.name, resid_mean, dtype, device)
        return self._models[key]

    @property
    def devices(self) -> tuple[str, ...]:
        """Where models of the hub run; found out once one is needed."""
        if self._devices is None:
            from repdiss_core.engine.device import devices, keep_rate

            self._devices = devices()
            self.activations.home = self._devices[0]
            keep_rate(self._devices[0])
        return self._devices

    def stream(self, data: DataId) -> Any:
        """The token stream of that identity; its content must be what the comparison names."""
        from repdiss_core.data import open_stream

        if data not in self._streams:
            stream = open_stream(data.name, data.split, data.sequences_per_batch, data.tokens_per_sequence, data.seed)
            if stream.data_id.content != data.content:
                raise UserError(
                    f"The tokens of {data.name}/{data.split} differ here ({stream.data_id.content[:12]}) from those that the comparison names "
                    f"({data.content[:12]}): other package versions are installed. Open the page anew to compute with the text at hand."
                )
            self._streams[data] = stream
        return self._streams[data]

    def _run_in_memory(self, group: Group, n_batches: int, progress: Progress, should_stop: Callable[[], bool]) -> None:
        """`_run_group`, and a sentence where the models of a group that cannot be cut do not fit into memory."""
        try:
            self._run_group(group, n_batches, progress, should_stop)
        except Exception as error:
            from repdiss_core.engine.device import is_out_of_memory

            if not is_out_of_memory(error):
                raise
            self.forget_models()
            names = sorted({m.name for c in group.comparisons for m in (c.f, c.g)})
            named = ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
            raise UserError(
                f"{len(names)} models ({named}) do not fit into the memory of {', '.join(self.devices)} together, "
                "and this measure needs them at once. Choose fewer or smaller models, or a larger device."
            ) from error

    def _run_group(self, group: Group, n_batches: int, progress: Progress, should_stop: Callable[[], bool]) -> None:
        progress(0.0, "loading models and data")
        if isinstance(group, FeatureGroup):
            stream = self.stream(group.data)
            run_features(self, group, n_batches, stream, progress, should_stop)
        elif isinstance(group, TokenGroup):
            load = functools.partial(self.load, dtype=group.comparisons[0].dtype)
            run_tokens(group, self.store, self.activations, load, self.stream(group.data), provenance(), progress)
        elif isinstance(group, PopulationGroup):
            load = functools.partial(self.load, alone=True)
            run_population(
                group, n_batches, self.store, load, self.stream(group.data), provenance(), progress, should_stop
            )
        else:
            self._run_stitches(group, progress, should_stop)

    def forget_models(self) -> None:
        """Drop all models, so that others find room."""
        from repdiss_core.engine.device import release

        self._models.clear()
        self._taken.clear()
        release()

    def provenance(self) -> dict[str, Any]:
        """Versions, device and date that go into every result."""
        from repdiss_core.engine.device import name_of

        on_gpu = [device for device in self.devices if self._taken.get(device) and device != "cpu"]
        return provenance() | ({"device": ", ".join(name_of(device) for device in on_gpu)} if on_gpu else {})

    def _run_stitches(self, group: StitchGroup, progress: Progress, should_stop: Callable[[], bool]) -> None:
        from repdiss_core.engine.stitch_pass import run_identity_stitches, run_stitches
        from repdiss_core.measures.stitch_settings import phi_data_of
        from repdiss_core.models import model_spec

        first = group.comparisons[0]
        f, g = (self.load(m, first.resid_mean, alone=True) for m in (first.f, first.g))
        n_eval = int(first.setting("eval_batches", 1))
        made = self.provenance()

        def keep(comparison: Comparison, result: StitchResult) -> None:
            arrays, meta = result.to_arrays()
            meta["provenance"] = {**meta.get("provenance", {}), **made}
            self.store.put(comparison.key, arrays, {**meta, "comparison": comparison.to_dict()})

        tokenizers = (model_spec(first.f.name).tokenizer, model_spec(first.g.name).tokenizer)
        common = (n_eval, keep, self.checkpoints, progress, should_stop, tokenizers)
        if group.measure == "identity_stitching":
            run_identity_stitches(group.comparisons, f, g, self.stream(first.data), *common)
        else:
            run_stitches(group.comparisons, f, g, self.stream(first.data), self.stream(phi_data_of(first)), *common)
        if should_stop():
            raise Stopped

    @contextlib.contextmanager
    def _locked(
        self, comparisons: tuple[Comparison, ...], progress: Progress, start: float, should_stop: Callable[[], bool]
    ) -> Iterator[None]:
        """Hold the lock of every key, taken in sorted order so that two jobs never wait for each other in a ring."""
        import filelock

        with contextlib.ExitStack() as held:
            for key in sorted(c.key for c in comparisons):
                lock = self.store.lock(key)
                while True:
                    try:
                        lock.acquire(timeout=CHECK_EVERY_S)
                        break
                    except filelock.Timeout:
                        progress(0.0, "another job computes a part of this; waiting for its result")
                        if should_stop():
                            raise Stopped from None
                    except OSError as error:
                        raise disk_error(error, self.store.directory) from error
                held.callback(lock.release)
            yield


def provenance() -> dict[str, Any]:
    """Versions, device and date that go into every result."""
    import torch

    return {
        "versions": dict(_versions()),
        "device": "cpu",
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@functools.lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    names = ("torch", "transformer-lens", "transformers", "numpy", "safetensors")
    ours = (("repdiss", __version__), ("python", platform.python_version()))
    return (*ours, *((name, importlib.metadata.version(name)) for name in names))


def use_all_cores() -> None:
    """Give this process every core; the number is fixed, since it can change the last bits, and recorded in every result."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)


def _weight(group: Group, n_batches: int) -> float:
    """Rough seconds that a group takes, for the progress bar alone."""
    if isinstance(group, FeatureGroup):
        return 1.0 + 0.05 * n_batches * len(group.models)
    if isinstance(group, PopulationGroup):
        return 1.0 + (0.05 * n_batches * len(group.models) if group.measure == "cka" else 0.3 * len(group.comparisons))
    if isinstance(group, TokenGroup):
        return 1.0
    steps = int(group.comparisons[0].setting("steps", 0))
    return 1.0 + len(group.comparisons) * (2.0 + 0.05 * steps)


def _replaced(group: Group, comparisons: list[Comparison]) -> dict[str, Any]:
    fields: dict[str, Any] = {"comparisons": tuple(comparisons)}
    return fields | ({"data": group.data} if isinstance(group, FeatureGroup | PopulationGroup | TokenGroup) else {})

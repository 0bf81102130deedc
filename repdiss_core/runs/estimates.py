"""What a request will take, told before it starts: bytes to download, memory,
and time at the rate of the device at hand.

Times are rough: floating-point operations of the forward passes (and of the backward passes of stitches) over half of
the rate at which the device multiplies matrices. Torch-free: the page shows them.
"""

from __future__ import annotations

import functools
import os
import shutil
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from repdiss_core import hub
from repdiss_core.base.comparison import Comparison, Request
from repdiss_core.base.crossed import SETTING
from repdiss_core.base.layer_pairs import AllLayers, EveryCut, OneCut, SameLayers
from repdiss_core.base.paths import local_root
from repdiss_core.data import text_is_here
from repdiss_core.measures import spec_of
from repdiss_core.models import ModelSpec, model_spec, packages, paper_models
from repdiss_core.store.kept_files import read_facts
from repdiss_core.store.storage import DamagedEntry

SHARE_OF_RATE = 0.5
SHARE_OF_SMALL = 0.2  # of the models that ship: their products are small
START_S = 5.0  # of a worker: imports, models, text
MATRIX, ROUNDS = 512, 8
PAIR_TOKENS, PAIR_TOKENS_OF_SMALL = 64, 16  # of a pair of sentences, about
ROOM = 0.8  # of a device's memory that weights may take; the rest is for activations


@dataclass(frozen=True)
class Needs:
    """What has to be fetched (bytes), what the largest group of models takes in memory (bytes),
    and multiplications and additions."""

    download_bytes: int
    memory_bytes: int
    flops: float


def needs_of(request: Request) -> Needs:
    """What a request takes if nothing of it were stored yet."""
    specs = {name: model_spec(name) for name in _names(request)}
    dtypes = {m.name: c.dtype for c in request.comparisons for m in (c.f, c.g)}
    download = sum(_missing_bytes(spec) for spec in specs.values())
    memory = sum(paper_models.memory_bytes(spec, dtypes[name]) for name, spec in specs.items())
    passes = {
        (m.name, c.data): specs[m.name]
        for c in request.comparisons
        if isinstance(c.layer_pairs, AllLayers | SameLayers)
        for m in (c.f, c.g)
    }
    flops = sum(
        block_flops(spec, spec.n_layers) * data.tokens_per_batch * request.n_batches
        for (_, data), spec in passes.items()
    )
    flops += sum(_stitch_flops(c, specs) for c in request.comparisons if isinstance(c.layer_pairs, OneCut | EveryCut))
    return Needs(download, memory, flops)


def _names(request: Request) -> set[str]:
    return {m.name for c in request.comparisons for m in (c.f, c.g)}


def _all_ship(request: Request) -> bool:
    return all(model_spec(name).source == "bundled" for name in _names(request))


def words(request: Request) -> str:
    """The needs in a few sentences, for models of the hub and of folders and for chance levels; "" for all else."""
    chance = chance_words(request)
    if _all_ship(request):
        return chance
    needs = needs_of(request)
    device, rate = rate_here()
    parts = [paper_models.size(needs.download_bytes)] if needs.download_bytes else []
    parts += [] if all(text_is_here(name) for name in {c.data.name for c in request.comparisons}) else ["the text"]
    fetched = f"{' and '.join(parts)} to download first" if parts else "everything is on this machine"
    took = _duration(needs.flops / (SHARE_OF_RATE * rate))
    memory = paper_models.size(needs.memory_bytes)
    work = f"{needs.flops / 1e15:,.2g} PFLOP" if needs.flops >= 1e13 else f"{needs.flops / 1e12:,.2g} TFLOP"
    told = (
        f"From nothing {work}, about {took} on {device} ({rate / 1e9:,.0f} GFLOP/s), "
        f"{memory} of memory for the weights; {fetched}."
    )
    room = room_here()
    told = f"{told} {chance}".rstrip()
    if needs.memory_bytes <= ROOM * room:
        return told
    return (
        f"{told} With {paper_models.size(room)} of memory there, the models are not held together: "
        "pairs are computed in parts, which is slower."
    )


def chance_words(request: Request) -> str:
    """What the chance levels of a request take beyond its maps; "" where it has none."""
    crossed = [c for c in request.comparisons if c.setting(SETTING) is not None]
    if not crossed:
        return ""
    window = int(crossed[0].setting(SETTING))
    device, rate = rate_here()
    flops = request.n_batches * (window - 1) * sum(map(_pair_flops, crossed))
    sides = {(m.name, c.measure, _n_rows(c)) for c in crossed for m in (c.f, c.g)}
    memory = window * sum(_prepared_bytes(model_spec(name), n) for name, _, n in sides)
    return (
        f"The chance level crosses the batches of windows of {window}: {window} times the pairs of layers "
        f"(about {_duration(flops / (SHARE_OF_SMALL * rate))} more on {device}), "
        f"up to {paper_models.size(memory)} of memory, no further forward pass."
    )


def _pair_flops(c: Comparison) -> float:
    """Of every pair of layers on one batch, features prepared."""
    spec, f, g = spec_of(c), model_spec(c.f.name), model_spec(c.g.name)
    return f.n_layers * g.n_layers * (spec.pair_cost or spec.cost)(_n_rows(c), f.d_model, g.d_model)


def _n_rows(c: Comparison) -> int:
    return c.data.sequences_per_batch if c.setting("flatten") == "sample" else c.data.tokens_per_batch


def _prepared_bytes(spec: ModelSpec, n: int) -> int:
    """At most: half a Gram matrix or the features of each layer, in float32."""
    return 4 * spec.n_layers * max(n * n // 2, n * spec.d_model)


def time_words(request: Request) -> str:
    """How long a computation from nothing takes, for the button that starts it."""
    device, rate = rate_here()
    share = SHARE_OF_SMALL if _all_ship(request) else SHARE_OF_RATE
    return (
        f"About {_duration(START_S + needs_of(request).flops / (share * rate))} on {device} where nothing of it is "
        "stored yet."
    )


def rate_here() -> tuple[str, float]:
    """(device, floating-point operations a second in matrix products):
    as a computation measured it here, else this processor's."""
    kept = kept_device()
    if kept:
        return str(kept["device"]), float(kept["flops"])
    unmeasured = os.environ.get("REPDISS_DEVICE") != "cpu" and shutil.which("nvidia-smi") is not None
    return "this processor" + (" (its GPU has not been measured yet)" if unmeasured else ""), _processor_rate()


def room_here() -> int:
    """Bytes of memory of the device that `rate_here` names: of its GPUs, or what this machine has free."""
    import psutil

    return int(kept_device().get("bytes", 0)) or int(psutil.virtual_memory().available)


def kept_device() -> dict[str, Any]:
    """What `engine.device.keep_rate` measured; {} where there is no GPU, none was measured yet,
    or the processor is asked for."""
    path = local_root() / "device.json"
    if os.environ.get("REPDISS_DEVICE") == "cpu":
        return {}
    try:
        return read_facts(path)
    except (OSError, DamagedEntry):
        return {}


@functools.lru_cache(maxsize=1)
def _processor_rate() -> float:
    a = np.ones((MATRIX, MATRIX), dtype=np.float32)
    seconds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - begun)
    return 2.0 * MATRIX**3 / max(1e-6, min(seconds))


def _missing_bytes(spec: ModelSpec) -> int:
    if packages.missing([spec.name]):
        return spec.download_bytes
    if not spec.repo or paper_models.status(spec) == "cached":
        return 0
    known = hub.pinned(paper_models.repo_of(spec))
    return (
        spec.download_bytes
        if known is None
        else sum(known.files[name] for name in paper_models.weight_files(known.files))
    )


def _stitch_flops(c: Comparison, specs: dict[str, ModelSpec]) -> float:
    """Lower part of f once, upper part of g forward and (where phi is trained) backward, a batch."""
    f, g = specs[c.f.name], specs[c.g.name]
    if isinstance(c.layer_pairs, EveryCut):
        tokens = PAIR_TOKENS_OF_SMALL if g.source == "bundled" else PAIR_TOKENS
        return block_flops(g, g.n_layers) * int(c.setting("items", 1)) * tokens * (g.n_layers + 1) / 2
    layer_f, layer_g = c.layer_pair
    lower, upper = block_flops(f, layer_f), block_flops(g, g.n_layers - layer_g) + 2.0 * g.d_model * g.vocab_size
    # A step of training runs the upper part forward and, for its inputs' gradient alone, once backward.
    return c.data.tokens_per_batch * (
        (lower + 2 * upper) * int(c.setting("steps", 0)) + (lower + upper) * int(c.setting("eval_batches", 1))
    )


def block_flops(spec: ModelSpec, n_layers: int) -> float:
    """Multiplications and additions a token in so many blocks of 12 d² weights;
    attention over positions is left out."""
    return 2.0 * 12 * spec.d_model**2 * n_layers


def _duration(seconds: float) -> str:
    if seconds < 1.5:
        return "a second"
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} seconds"

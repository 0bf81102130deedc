"""The paper's Pythias on the device at hand: does CKA of all pairs keep up with the forward passes?

The published weights are loaded, through the hub where they have to be; with `--random-init` the same shapes get random
weights, which take the same time, and nothing is downloaded. The engine is the real one: its feature pass, its kernel,
its store.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core.base.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from repdiss_core.models import ModelSpec

N_TOKENS = 1024
PAPER_BATCHES = 1000
VOCABULARY = 50_000  # of the random tokens: every Pythia reads them


@dataclass
class _Timed:
    """A model whose forward passes are timed, the device waited for."""

    model: Any
    flops: float
    seconds: list[float] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def residuals(self, batch: Any) -> Iterator[Tensor]:
        """As the model's own."""
        _wait(self.model.device)
        begun = time.perf_counter()
        layers = list(self.model.residuals(batch))
        _wait(self.model.device)
        self.seconds.append(time.perf_counter() - begun)
        yield from layers


def run(
    names: tuple[str, ...],
    batches: int,
    dtype: str,
    device: str | None,
    json_path: str | None,
    random_init: bool = True,
) -> int:
    """Print forward time, CKA time, the share of the measured matrix-product rate, and peak memory. Returns 0.

    Args:
        random_init: random weights instead of the published ones.
    """
    import torch

    from repdiss_core.engine.device import devices, matmul_rate, name_of

    where = device or devices()[0]
    specs = [_spec(name) for name in names]
    for spec in specs:
        _check_room(spec, dtype, where)
    rate = matmul_rate(where, getattr(torch, dtype), 4096 if where != "cpu" else 2048)
    threads = f", {torch.get_num_threads()} threads" if where == "cpu" else ""
    print(
        f"{name_of(where)}{threads}, {dtype}: matrix products at {rate / 1e12:.2f} TFLOP/s; "
        f"a batch is 1 × {N_TOKENS} tokens"
    )
    made = [
        _random(spec, dtype, where, seed) if random_init else _published(spec, dtype, where)
        for seed, spec in enumerate(specs)
    ]
    print("weights: " + ("random, of the published shapes" if random_init else "as published"))
    models = [_Timed(model, forward_flops(spec)) for model, spec in zip(made, specs, strict=True)]
    total = _engine_pass(models, batches, where)
    rows = []
    for spec, model in zip(specs, models, strict=True):
        forward = float(np.median(model.seconds[1:] or model.seconds))
        rows.append({"model": spec.name, "forward_s": forward, "share_of_rate": model.flops / forward / rate})
        print(
            f"  {spec.name:<22} {spec.n_layers:>3} layers  forward {forward:8.3f} s a batch  "
            f"{rows[-1]['share_of_rate']:6.1%} of the rate"
        )
    forward = sum(sum(m.seconds) for m in models) / batches
    rest, peak, n_pairs = total / batches - forward, _peak_bytes(where), len(models) * (len(models) + 1) // 2
    print(
        f"all {n_pairs} pairs: "
        f"forward passes {forward:.3f} s, CKA and storing {rest:.3f} s a batch ({rest / forward:.1%})"
    )
    print(
        f"peak memory {peak / 1e9:.1f} GB; {PAPER_BATCHES} batches at this pace: "
        f"{(forward + rest) * PAPER_BATCHES / 60:,.1f} minutes"
    )
    if json_path:
        whole = {
            "device": name_of(where),
            "dtype": dtype,
            "random_init": random_init,
            "torch": torch.__version__,
            "matmul_flops": rate,
        }
        whole |= {"batches": batches, "forward_s": forward, "cka_s": rest, "peak_bytes": peak, "models": rows}
        Path(json_path).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return 0


def forward_flops(spec: ModelSpec) -> float:
    """Multiplications and additions of the blocks on one batch:
    12 d² weights a block and token, and attention over all pairs of positions."""
    weights = 2.0 * 12 * spec.d_model**2 * spec.n_layers * N_TOKENS
    return weights + 4.0 * spec.n_layers * spec.d_model * N_TOKENS**2


def _spec(name: str) -> ModelSpec:
    from repdiss_core.models import model_spec
    from repdiss_core.models.pythia_table import PYTHIA_CONFIGS

    spec = model_spec(f"{name}-deduped" if name in PYTHIA_CONFIGS else name)
    if spec.family != "pythia":
        raise UserError(
            f"bench scale builds Pythia's architectures; {name} is none of them. Name some of pythia-70m … pythia-12b."
        )
    return spec


def _check_room(spec: ModelSpec, dtype: str, device: str) -> None:
    from repdiss_core.engine.device import check_room
    from repdiss_core.models.paper_models import memory_bytes

    try:
        check_room(spec.name, memory_bytes(spec, dtype), device)
    except MemoryError as error:
        raise UserError(f"{error}. Leave it out, or name a larger device.") from error


def _published(spec: ModelSpec, dtype: str, device: str) -> Any:
    """The model with its own weights, fetched where they are not here."""
    from repdiss_core.models import load_model
    from repdiss_core.models.paper_models import status
    from repdiss_core.runs.resolve import prepare_models

    print(f"{spec.name}: {status(spec)}")
    prepare_models([spec.name])
    return load_model(spec.name, dtype=dtype, device=device)


def _random(spec: ModelSpec, dtype: str, device: str, seed: int) -> Any:
    """The architecture with weights of standard deviation .02, made where they stay."""
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    from repdiss_core.models.decoder import DecoderResidualModel, checked_config, network_of

    config = checked_config(
        spec.name,
        {
            "model_type": "gpt_neox",
            "vocab_size": spec.vocab_size,
            "hidden_size": spec.d_model,
            "num_hidden_layers": spec.n_layers,
            "num_attention_heads": spec.n_heads,
            "intermediate_size": 4 * spec.d_model,
            "max_position_embeddings": spec.n_ctx,
            "hidden_act": "gelu",
            "rotary_pct": 0.25,
        },
    )
    assert isinstance(config, GPTNeoXConfig)
    with torch.device("meta"):
        shapes = {name: p.shape for name, p in GPTNeoXForCausalLM(config).named_parameters()}
    draw = torch.Generator(device).manual_seed(seed)
    kind = getattr(torch, dtype)
    tensors = {
        name: torch.empty(shape, dtype=kind, device=device).normal_(0.0, 0.02, generator=draw)
        for name, shape in shapes.items()
    }
    return DecoderResidualModel(network_of(spec.name, config, tensors, kind, device), spec.name)


def _engine_pass(models: list[_Timed], batches: int, device: str) -> float:
    """Seconds of the engine's feature pass over all pairs, one batch more having gone before."""
    from repdiss_core.base.comparison import DataId, ModelId, cka_comparison
    from repdiss_core.data.batches import PackedStream
    from repdiss_core.engine.activations import ActivationCache
    from repdiss_core.engine.feature_pass import FeaturePass
    from repdiss_core.engine.join import Join
    from repdiss_core.store.cache import ResultStore

    data = DataId("random tokens", "eval", "random", 1, N_TOKENS)
    stream = PackedStream(
        np.random.default_rng(0).integers(0, VOCABULARY, N_TOKENS * (batches + 1)).astype(np.uint32), data
    )
    known = {ModelId(model.name, "random"): model for model in models}
    comparisons = tuple(cka_comparison(f, g, data)[0] for f, g in combinations_with_replacement(sorted(known), 2))
    activations = ActivationCache(budget_bytes=0)
    activations.home = device
    with tempfile.TemporaryDirectory() as folder:
        for n_batches in (1, batches + 1):
            for model in models:
                model.seconds.clear()
            begun = time.perf_counter()
            join = Join(ResultStore(Path(folder)), comparisons)
            FeaturePass(comparisons, n_batches, join, activations, lambda m, mean: known[m], stream).run(
                _say, lambda: False
            )
    return time.perf_counter() - begun


def _say(fraction: float, message: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{message} ", end="", file=sys.stderr)


def _wait(device: Any) -> None:
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()


def _peak_bytes(device: str) -> int:
    import torch

    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

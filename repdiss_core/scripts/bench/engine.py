"""What CKA adds to the forward passes that it needs, at the shapes of real models with random weights."""

from __future__ import annotations

import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

# (layers, d_model, heads) of two models from which the paper's family begins; Biderman et al. 2023.
SHAPES = {"pythia-70m": (6, 512, 8), "pythia-160m": (12, 768, 12)}
N_TOKENS = 1024
TARGET = 0.10


def run(batches: int, json_path: str | None) -> int:
    """Print the wall time of all-pairs CKA of two models over that of their two forward passes, interleaved.

    Returns:
        0 if the ratio at pythia-160m's shape is within the target of 10 %, else 1.
    """
    import torch

    rows: list[dict[str, Any]] = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name, shape in SHAPES.items():
            rows.append({"shape": name, "threads": threads, **_measure(shape, batches)})
            row = rows[-1]
            print(
                f"{name:<12} {threads} thread{'s' if threads > 1 else ' '}  two forwards {row['forward_s']:.2f} "
                f"s, CKA {row['cka_s']:.3f} s: "
                f"{row['ratio']:.1%} (range {row['lowest']:.1%}–{row['highest']:.1%} over {batches} batches)"
            )
    growth = _growth(SHAPES["pythia-70m"], batches)
    print(
        "models → seconds a batch (forwards and Grams | products over pairs): "
        + ", ".join(f"{m} → {a:.2f} | {b:.3f}" for m, a, b in growth)
    )
    if json_path:
        form = {"machine": platform.machine(), "torch": torch.__version__, "rows": rows, "growth": growth}
        Path(json_path).write_text(json.dumps(form, indent=1) + "\n", encoding="utf-8")
    worst = max(row["ratio"] for row in rows if row["shape"] == "pythia-160m")
    print(f"target: at most {TARGET:.0%} at pythia-160m's shape; measured {worst:.1%}")
    return int(worst > TARGET)


def _measure(shape: tuple[int, int, int], batches: int) -> dict[str, float]:
    import torch

    from repdiss_core.measures.cka import hsic_cross, prepare

    models = [_random_model(shape, seed) for seed in (0, 1)]
    ratios, forwards, ckas = [], [], []
    for index in range(batches + 1):
        tokens = torch.randint(0, 50000, (1, N_TOKENS), generator=torch.Generator().manual_seed(index))
        begun = time.perf_counter()
        features = [_residuals(model, tokens) for model in models]
        middle = time.perf_counter()
        prepared = [prepare(layers) for layers in features]
        for f, g in ((0, 0), (0, 1), (1, 1)):
            hsic_cross(prepared[f], prepared[g])
        end = time.perf_counter()
        if index:  # the first round warms up
            forwards.append(middle - begun)
            ckas.append(end - middle)
            ratios.append(ckas[-1] / forwards[-1])
    return {
        "forward_s": statistics.median(forwards),
        "cka_s": statistics.median(ckas),
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
    }


def _growth(shape: tuple[int, int, int], batches: int) -> list[tuple[int, float, float]]:
    """(models, seconds of forwards and Grams, seconds of products) for 1, 2 and 4 models compared all against all."""
    import torch

    from repdiss_core.measures.cka import hsic_cross, prepare

    models, rows = [_random_model(shape, seed) for seed in range(4)], []
    for count in (1, 2, 4):
        linear, products = [], []
        for index in range(batches):
            tokens = torch.randint(0, 50000, (1, N_TOKENS), generator=torch.Generator().manual_seed(index))
            begun = time.perf_counter()
            prepared = [prepare(_residuals(model, tokens)) for model in models[:count]]
            middle = time.perf_counter()
            for f in range(count):
                for g in range(f, count):
                    hsic_cross(prepared[f], prepared[g])
            linear.append(middle - begun)
            products.append(time.perf_counter() - middle)
        rows.append((count, statistics.median(linear), statistics.median(products)))
    return rows


def _random_model(shape: tuple[int, int, int], seed: int) -> Any:
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXModel

    torch.manual_seed(seed)
    n_layers, d_model, n_heads = shape
    config = GPTNeoXConfig(
        num_hidden_layers=n_layers, hidden_size=d_model, num_attention_heads=n_heads, intermediate_size=4 * d_model,
        vocab_size=50304, max_position_embeddings=2048,
    )  # fmt: skip
    return GPTNeoXModel(config).eval().requires_grad_(False)


def _residuals(model: Any, tokens: Any) -> list[Any]:
    """[(n_tokens, d_model)] after each block, taken by hooks: `hidden_states[-1]` is after the final LayerNorm."""
    import torch

    found: list[Any] = []
    hooks = [
        layer.register_forward_hook(lambda module, args, out: found.append(out[0] if isinstance(out, tuple) else out))
        for layer in model.layers
    ]
    with torch.inference_mode():
        model(tokens, use_cache=False)
    for hook in hooks:
        hook.remove()
    return [h.reshape(-1, h.shape[-1]) for h in found]

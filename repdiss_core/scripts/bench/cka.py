"""CKA of all layer pairs, side by side with other packages in one process: time, memory, and error against float64."""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repdiss_core.measures.matrix import batch_hsic
from repdiss_core.measures.products import Workspace, choose_product, product_times
from repdiss_core.measures.reduction import reduce_hsic
from repdiss_core.scripts.bench.feature_sets import FEATURE_SETS, build, reference_cka
from repdiss_core.scripts.bench.peers import INSTALL, PEERS, Cka, installed_peers, ours

N_LAYERS, N_TOKENS, WIDTH = 12, 1024, 512
ERROR_SIZES = ((1024, 512), (300, 96))
SLOW = ("torch_cka",)  # 50 times slower than the rest: it runs in the first round only
HEADLINE = "repdiss"


def run(threads: int = 1, rounds: int = 7, json_path: str | None = None) -> int:
    """Measure and print; returns the exit status (2 where no peer is installed)."""
    peers = installed_peers()
    missing = [name for name in PEERS if name not in peers]
    if missing:
        print(f"Not installed: {', '.join(missing)}. Install what this compares with: {INSTALL}", file=sys.stderr)
    if not peers:
        return 2
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        report = {
            "setting": _setting(threads, rounds),
            **_speed(peers, rounds),
            "error": _errors(peers),
            "degenerate": _degenerate(peers),
        }
    finally:
        torch.set_num_threads(before)
    _print(report)
    if json_path is not None:
        Path(json_path).write_text(json.dumps(report, indent=1, ensure_ascii=False))
    return 0


def flops_needed(n_layers_f: int, n_layers_g: int, n: int, d: int) -> float:
    """Operations that no exact method by Gram matrices can save: upper triangles, and their products for every pair
    and each self."""
    triangle = n * (n + 1) / 2
    return 2 * d * triangle * (n_layers_f + n_layers_g) + 2 * triangle * (
        n_layers_f * n_layers_g + n_layers_f + n_layers_g
    )


def _setting(threads: int, rounds: int) -> dict[str, Any]:
    chosen = choose_product(torch.device("cpu"), torch.float32).__name__.removeprefix("product_")
    return {
        "task": f"{N_LAYERS} + {N_LAYERS} layers, {N_TOKENS} tokens, d = {WIDTH}, float32",
        "threads": threads,
        "rounds": rounds,
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "product": chosen,
        "product_ms": {name: 1e3 * seconds for name, seconds in product_times().items()},
    }


def _layers(n_layers: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(N_TOKENS, WIDTH, generator=generator) for _ in range(n_layers)]


def _contestants(peers: dict[str, Cka]) -> dict[str, Cka]:
    """Ours batch after batch as the engine runs it, ours as one public call, and the peers."""
    workspace = Workspace()

    def batch_after_batch(f: list[Tensor], g: list[Tensor]) -> np.ndarray:
        return reduce_hsic(batch_hsic(f, g, workspace=workspace)).values

    return {HEADLINE: batch_after_batch, "repdiss, one call": ours, **peers}


def _speed(peers: dict[str, Cka], rounds: int) -> dict[str, Any]:
    """Interleaved rounds: other processes slow every contestant of a round alike, so that ratios within a round
    stay fair."""
    f, g = _layers(N_LAYERS, 0), _layers(N_LAYERS, 1)
    contestants: dict[str, Callable[[list[Tensor], list[Tensor]], object]] = {**_contestants(peers)}
    out = torch.empty(N_TOKENS, N_TOKENS)
    contestants["torch.mm"] = lambda f, g: [torch.mm(x, x.T, out=out) for x in (*f, *g)]
    for name, function in contestants.items():
        if name not in SLOW:
            function(f, g)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for index in range(rounds):
        order = list(contestants)[index % len(contestants) :] + list(contestants)[: index % len(contestants)]
        for name in order:
            if name in SLOW and index > 0:
                continue
            wall, cpu = time.perf_counter(), time.process_time()
            contestants[name](f, g)
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    seconds = {name: np.array(values) for name, values in times.items()}  # (rounds, wall | CPU)
    rate = 2 * N_TOKENS**2 * WIDTH * 2 * N_LAYERS / seconds["torch.mm"]
    needed = flops_needed(N_LAYERS, N_LAYERS, N_TOKENS, WIDTH)
    contestants.clear()  # lets go of the workspace, so that its memory counts below
    return {
        "time": {name: _time_row(values, seconds[HEADLINE], needed / rate) for name, values in seconds.items()},
        "mm_gflops": _spread(rate[:, 1] / 1e9),
        "extra_memory_mb": {
            name: _extra_memory(function, f, g) for name, function in _contestants(peers).items() if name not in SLOW
        },
    }


def _time_row(values: np.ndarray, headline: np.ndarray, roofline: np.ndarray) -> dict[str, Any]:
    """Milliseconds, how often the headline fits into them, and which share of them the needed operations would take."""
    n = len(values)
    return {
        "wall_ms": _spread(1e3 * values[:, 0]),
        "cpu_ms": _spread(1e3 * values[:, 1]),
        "wall_ratio": _spread(values[:, 0] / headline[:n, 0]),
        "cpu_ratio": _spread(values[:, 1] / headline[:n, 1]),
        "roofline_share": _spread(roofline[:n, 1] / values[:, 1]),
    }


def _spread(values: np.ndarray) -> dict[str, float]:
    return {"median": float(np.median(values)), "low": float(np.min(values)), "high": float(np.max(values))}


def _extra_memory(function: Cka, f: list[Tensor], g: list[Tensor]) -> float | None:
    """MB by which resident memory peaks above what it was before the call; None where the system does not tell."""
    try:
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        before = _status_mb("VmRSS")
        function(f, g)
        return _status_mb("VmHWM") - before
    except OSError:
        return None


def _status_mb(field: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1000


def _errors(peers: dict[str, Cka]) -> dict[str, dict[str, dict[str, float | str]]]:
    """For each size and feature set: the largest |CKA − float64| of everyone, or the exception."""
    report: dict[str, dict[str, dict[str, float | str]]] = {}
    for n, d in ERROR_SIZES:
        for name in FEATURE_SETS:
            f, g = build(name, n, d)
            expected = reference_cka(f, g)
            in_f, in_g = ([torch.from_numpy(x) for x in layers] for layers in (f, g))
            row = {who: _error(function, in_f, in_g, expected) for who, function in {HEADLINE: ours, **peers}.items()}
            report.setdefault(f"n = {n}, d = {d}", {})[name] = row
    return report


def _error(function: Cka, f: list[Tensor], g: list[Tensor], expected: np.ndarray) -> float | str:
    try:
        values = function(f, g)
    except Exception as exception:  # a peer's failure is a result here
        return type(exception).__name__
    return "NaN" if np.isnan(values).any() else float(np.abs(values - expected).max())


def _degenerate(peers: dict[str, Cka]) -> dict[str, dict[str, str]]:
    """What is said of inputs that have no CKA: a constant layer, and 3 tokens."""
    generator = torch.Generator().manual_seed(0)
    constant = [torch.full((300, 96), 0.1), torch.randn(300, 96, generator=generator)]
    few = [torch.randn(3, 8, generator=generator)]
    report: dict[str, dict[str, str]] = {}
    for name, f, g in (("constant layer", constant[:1], constant[1:]), ("3 tokens", few, [few[0] + 1.0])):
        report[name] = {}
        for who, function in {HEADLINE: ours, **peers}.items():
            try:
                report[name][who] = f"{function(f, g).item():.3g}"
            except Exception as exception:  # a peer's failure is a result here
                report[name][who] = type(exception).__name__
    return report


def _print(report: dict[str, Any]) -> None:
    setting = report["setting"]
    products = ", ".join(f"{name} {ms:.2f} ms" for name, ms in setting["product_ms"].items())
    print(
        f"{setting['task']}; {setting['threads']} thread(s), {setting['rounds']} interleaved rounds, "
        f"torch {setting['torch']}"
    )
    print(
        f"product for tiles: {setting['product']} ({products} a tile); "
        f"torch.mm {_shown(report['mm_gflops'], '.0f')} GFLOP/s of CPU time\n"
    )
    columns = ("wall ms", "CPU ms", "wall ratio", "CPU ratio", "roofline share", "extra MB")
    print(f"{'':20}" + "".join(f"{c:>24}" for c in columns))
    for name, row in report["time"].items():
        memory = report["extra_memory_mb"].get(name)
        cells = [
            _shown(row["wall_ms"], ".0f"),
            _shown(row["cpu_ms"], ".0f"),
            _shown(row["wall_ratio"], ".2f"),
            _shown(row["cpu_ratio"], ".2f"),
        ]
        cells += [_shown(row["roofline_share"], ".2f"), "-" if memory is None else f"{memory:.0f}"]
        print(f"{name:20}" + "".join(f"{c:>24}" for c in cells))
    print(f"ratio: time of the row over time of {HEADLINE!r} in the same round; median [lowest, highest]\n")
    for size, rows in report["error"].items():
        print(f"largest |CKA − float64|, {size}")
        _print_table(rows)
    print("inputs without a CKA")
    _print_table(report["degenerate"])


def _print_table(rows: dict[str, dict[str, float | str]]) -> None:
    names = list(next(iter(rows.values())))
    print(f"  {'':34}" + "".join(f"{name:>18}" for name in names))
    for label, row in rows.items():
        print(
            f"  {label:34}"
            + "".join(f"{row[n] if isinstance(row[n], str) else format(row[n], '.1e'):>18}" for n in names)
        )
    print()


def _shown(spread: dict[str, float], form: str) -> str:
    return f"{spread['median']:{form}} [{spread['low']:{form}}, {spread['high']:{form}}]"


def main(arguments: list[str] | None = None) -> int:
    """`python -m repdiss_core.scripts.bench.cka`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", dest="json_path")
    chosen = parser.parse_args(arguments)
    return run(chosen.threads, chosen.rounds, chosen.json_path)


if __name__ == "__main__":
    sys.exit(main())

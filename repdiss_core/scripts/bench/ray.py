"""`bench ray`: the same comparisons by one process, and over Ray with one and two workers;
what Ray costs and what a second worker gains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from repdiss_core.base.comparison import Request
from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import REPOSITORY

MODELS = ("mini-gelu-3l-s0", "mini-gelu-3l-s1", "mini-solu-3l-s0", "mini-solu-3l-s1")
TARGET = 0.10  # what Ray may cost over one process, on a run of a minute
WAYS = (("one process", 0), ("Ray, 1 worker", 1), ("Ray, 2 workers", 2))


def run(batches: int, rounds: int, json_path: str | None = None) -> int:
    """Measure, print a table; returns 0 where the target is met, else 1.

    Times are those of whole commands: from the start of a process to its end, imports, models and data, and Ray's start
    and end included. Each shard and the one process have one thread. Rounds are interleaved.
    """
    seconds: dict[str, list[float]] = {way: [] for way, _ in WAYS}
    for _ in range(rounds):
        for way, workers in WAYS:
            seconds[way].append(_in_a_process(batches, workers))
    best = {way: min(values) for way, values in seconds.items()}
    cost = best["Ray, 1 worker"] / best["one process"] - 1
    print(
        f"{len(MODELS) * (len(MODELS) + 1) // 2} CKA maps of {len(MODELS)} models over {batches} batches; "
        f"{os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}; the best of {rounds} rounds"
    )
    for way, values in seconds.items():
        print(f"{way:18} {best[way]:7.1f} s   {', '.join(f'{value:.1f}' for value in values)}")
    print(
        f"Ray costs {100 * cost:.1f} % over one process, target {100 * TARGET:.0f} % "
        f"{'met' if cost <= TARGET else 'MISSED'}; "
        f"two workers are {best['one process'] / best['Ray, 2 workers']:.2f} times as fast as one process"
    )
    if json_path:
        Path(json_path).write_text(json.dumps({"seconds": seconds, "cost": cost}, indent=1) + "\n", encoding="utf-8")
    return int(cost > TARGET)


def all_pairs(batches: int) -> Request:
    """The CKA maps of all pairs, each model with itself too."""
    from repdiss_core.studies.common import CkaView, cka_panel, data_id
    from repdiss_core.studies.panels import request_for
    from repdiss_core.studies.presets import preset

    data = data_id(preset("bundled"), "eval")
    pairs = ((f, g) for number, f in enumerate(MODELS) for g in MODELS[number:])
    return request_for((cka_panel(f, g, CkaView(), data).comparison for f, g in pairs), batches)


def _in_a_process(batches: int, workers: int) -> float:
    from repdiss_core.base.paths import local_root

    data = local_root() / "data"  # built token streams are shared with the real cache
    data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "local").mkdir()
        (Path(folder) / "local" / "data").symlink_to(data.resolve())
        environment = os.environ | {
            "REPDISS_CACHE": folder,
            "REPDISS_ACTIVATIONS_GB": "0",
        }  # shards keep no activations either
        command = [sys.executable, "-m", __name__, str(batches), str(workers)]
        began = time.perf_counter()
        ended = subprocess.run(
            command, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        seconds = time.perf_counter() - began
    if ended.returncode:
        raise UserError(f"A run with {workers} Ray workers failed: {' '.join(ended.stderr.split())[-300:]}")
    return seconds


def _compute(batches: int, workers: int) -> None:
    """The process that is timed: as `run` does it, in this process with one thread where `workers` is 0."""
    from repdiss_core.engine.ray_cluster import RaySetting
    from repdiss_core.engine.ray_engine import RayEngine
    from repdiss_core.engine.run import Engine
    from repdiss_core.store.cache import ResultStore

    store = ResultStore.open()
    if workers:
        engine: Engine = RayEngine(store, RaySetting(workers=workers))
    else:
        import torch

        torch.set_num_threads(1)
        engine = Engine(store)
    engine.run(all_pairs(batches), lambda fraction, message: None)


if __name__ == "__main__":
    _compute(*map(int, sys.argv[1:3]))

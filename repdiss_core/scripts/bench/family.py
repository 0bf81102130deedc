"""`bench family`: CKA of the whole bundled family as a page waits for it, growth from 2 to 8 members,
and a redraw of 182 × 182 layers."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from repdiss_core.scripts.bench.waiting import empty_cache, job_seconds

WHOLE_TARGET_S, GROWTH_TARGET, REDRAW_TARGET_S = 30.0, 1.15, 0.6
BATCHES, PASS_BATCHES, FEW, MANY = 20, 4, 2, 8
PYTHIA_LAYERS = (6, 12, 24, 16, 24, 32, 32, 36)


def run(json_path: str | None) -> int:
    """Measure on an empty cache, print a table; returns 0 where all targets are met, else 1."""
    found: dict[str, Any] = {
        "whole_s": _whole_seconds(),
        "growth": _growth(),
        "memory": _memory(),
        "redraw_s": _redraw_seconds(),
    }
    few, many = found["growth"]
    ratio = many["seconds"] / few["seconds"] / (many["members"] / few["members"])
    rows = [
        (
            f"CKA of the whole family, {BATCHES} batches of 1024 tokens, all pairs, worker start included",
            f"{found['whole_s']:.1f} s",
            found["whole_s"] <= WHOLE_TARGET_S,
            f"{WHOLE_TARGET_S:g} s",
        ),
        (
            f"{few['members']} → {many['members']} members of one shape, all pairs: wall time against linear growth",
            f"{ratio:.2f}",
            ratio <= GROWTH_TARGET,
            f"{GROWTH_TARGET}",
        ),
    ]
    if found["redraw_s"] is not None:
        rows.append(
            (
                f"{sum(PYTHIA_LAYERS)} × {sum(PYTHIA_LAYERS)} layers drawn anew in the browser, median",
                f"{found['redraw_s']:.2f} s",
                found["redraw_s"] <= REDRAW_TARGET_S,
                f"{REDRAW_TARGET_S} s",
            )
        )
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.machine()}")
    for what, value, met, target in rows:
        print(f"{what:88} {value:>8}   target {target} {'met' if met else 'MISSED'}")
    print(
        "peak memory of a pass over the family: "
        + ", ".join(f"{n} batches {mib:.0f} MiB" for n, mib in found["memory"].items())
    )
    if json_path:
        Path(json_path).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(not all(met for _, _, met, _ in rows))


def _whole_seconds() -> float:
    """Seconds from asking for a job to its end, on an empty cache."""
    from dataclasses import replace

    from repdiss_core.studies.common import CkaView
    from repdiss_core.studies.panels import request_for
    from repdiss_core.studies.scaling import question as scaling

    with empty_cache():
        params = scaling.FamilyParams(cka=replace(CkaView(), n_batches=BATCHES))
        pairs = scaling.family_pairs(scaling.members(params.family))
        request = request_for((scaling.pair_panel(params, f, g).comparison for f, g in pairs), BATCHES)
        return job_seconds(request, "bench family")


def _growth() -> list[dict[str, float]]:
    """Seconds of all pairs of 2 and of 8 members of one shape: random weights, so that members cost the same;
    measured in turn."""
    best = {FEW: float("inf"), MANY: float("inf")}
    models = [_random_member(seed) for seed in range(MANY)]
    for _ in range(3):
        for count in best:
            best[count] = min(best[count], _pass_seconds(models[:count], PASS_BATCHES))
    return [{"members": count, "seconds": seconds} for count, seconds in best.items()]


def _random_member(seed: int) -> Any:
    import torch
    from transformers import GPTNeoXForCausalLM

    from repdiss_core.bundled.family.recipe import NeoxArchitecture
    from repdiss_core.models.decoder import DecoderResidualModel
    from repdiss_core.models.mini_neox import neox_config

    torch.manual_seed(seed)
    return DecoderResidualModel(GPTNeoXForCausalLM(neox_config(NeoxArchitecture(6, 160))).float(), f"random-{seed}")


def _pass_seconds(models: list[Any], n_batches: int) -> float:
    """One pass of the engine over all pairs, into an empty store."""
    from itertools import combinations_with_replacement

    from repdiss_core.base.comparison import ModelId, cka_comparison
    from repdiss_core.engine.activations import ActivationCache
    from repdiss_core.engine.feature_pass import FeaturePass
    from repdiss_core.engine.join import Join
    from repdiss_core.store.cache import ResultStore
    from repdiss_core.studies.common import bundled_preset, data_id

    data = data_id(bundled_preset(), "eval")
    ids = {ModelId(model.name, model.name): model for model in models}
    comparisons = tuple(cka_comparison(f, g, data)[0] for f, g in combinations_with_replacement(sorted(ids), 2))
    with empty_cache():
        store, stream = ResultStore.open(), _stream(data)
        begun = time.perf_counter()
        join, no_activations = Join(store, comparisons), ActivationCache(budget_bytes=0)
        FeaturePass(comparisons, n_batches, join, no_activations, lambda model, mean: ids[model], stream).run(
            lambda fraction, message: None, lambda: False
        )
        return time.perf_counter() - begun


def _stream(data: Any) -> Any:
    from repdiss_core.data import open_stream

    return open_stream(data.name, data.split, data.sequences_per_batch, data.tokens_per_sequence, data.seed)


def _memory() -> dict[int, float]:
    """{batches: peak MiB} of a process that measures so many batches of four members."""
    found = {}
    for n_batches in (2, 10):
        command = [
            sys.executable,
            "-c",
            f"from repdiss_core.scripts.bench.family import peak_memory; print(peak_memory({n_batches}))",
        ]
        found[n_batches] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])
    return found


def peak_memory(n_batches: int) -> float:
    """Peak resident MiB of this process after a pass over four random members."""
    _pass_seconds([_random_member(seed) for seed in range(4)], n_batches)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _redraw_seconds() -> float | None:
    """Median seconds that the browser takes to draw the map of 182 × 182 layers anew, in two colours of numbers;
    None without a browser."""
    try:
        from playwright.sync_api import sync_playwright

        from repdiss_core.scripts.bench.browser import FLAGS, chromium
    except ImportError:
        return None
    if chromium() is None:
        return None
    figures = [_big_figure(seed) for seed in (0, 1)]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "map.html"
        page_file.write_text(figures[0].to_html(include_plotlyjs=True, div_id="map"), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(page_file.as_uri())
        page.wait_for_function("document.getElementById('map').calcdata")
        script = """async spec => { const begun = performance.now(); await Plotly.react('map', spec.data, spec.layout);
            await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
            return (performance.now() - begun) / 1000; }"""
        times = [page.evaluate(script, json.loads(figures[round_ % 2].to_json())) for round_ in range(1, 9)]
        browser.close()
    return statistics.median(times)


def _big_figure(seed: int) -> Any:
    import numpy as np

    from repdiss_core.plots.family_matrix import all_layers
    from repdiss_core.plots.theme import LOOKS

    rng = np.random.default_rng(seed)
    n = sum(PYTHIA_LAYERS)
    values = rng.random((n, n))
    return all_layers(
        [f"model {i}" for i in range(len(PYTHIA_LAYERS))], PYTHIA_LAYERS, values, np.full((n, n), 0.01), LOOKS["page"]
    )

"""`bench localization`: CKA of all pairs of the bundled classifiers,
and identity stitching of all pairs of the two groups."""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repdiss_core.scripts.bench.waiting import empty_cache, job_seconds

if TYPE_CHECKING:
    from repdiss_core.studies.generalization.question import PopulationParams

CKA_TARGET_S, STITCHING_TARGET_S = 15.0, 60.0
SIZES = (6, 12, 24)
TITLE = "bench localization"


def run(json_path: str | None) -> int:
    """Measure on an empty cache, print a table; returns 0 where both targets are met, else 1.

    Times are those that a page waits for: from asking for the job to its end, the worker's start included.
    """
    from repdiss_core.studies.generalization import question
    from repdiss_core.studies.panels import request_for

    params = question.PopulationParams()
    name, models = question.IN_DISTRIBUTION, question.models_of(params.population)
    groups = question.group_models(params)
    with empty_cache():
        cka = request_for(question.cka_pairs(params, name).values(), params.chunks)
        stitching = request_for(question.stitched_pairs(params, name, groups).values(), 1)
        rows = [
            _row(
                (
                    f"CKA, {len(models)} models, {len(cka.comparisons)} pairs, 6 layers, "
                    f"{params.chunks} chunks of 1024 rows"
                ),
                job_seconds(cka, TITLE),
                CKA_TARGET_S,
            ),
            _row(
                f"identity stitching, {len(stitching.comparisons)} ordered pairs, all cuts, {params.items} items",
                job_seconds(stitching, TITLE),
                STITCHING_TARGET_S,
            ),
        ]
        growth = [_pass_seconds(params, models[:size]) for size in SIZES]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.machine()}")
    for row in rows:
        print(
            f"{row['what']:72} {row['seconds']:6.1f} s   target {row['target']:g} s "
            f"{'met' if row['seconds'] <= row['target'] else 'MISSED'}"
        )
    print(
        "CKA, one chunk: models → forward passes and Grams | products of pairs, s: "
        + ", ".join(f"{g['models']} → {g['linear']:.2f} | {g['pairs']:.3f}" for g in growth)
    )
    if json_path:
        Path(json_path).write_text(json.dumps({"rows": rows, "growth": growth}, indent=1) + "\n", encoding="utf-8")
    return int(any(row["seconds"] > row["target"] for row in rows))


def _row(what: str, seconds: float, target: float) -> dict[str, Any]:
    return {"what": what, "seconds": seconds, "target": target}


def _pass_seconds(params: PopulationParams, models: tuple[str, ...]) -> dict[str, float]:
    """Seconds of one chunk: what grows with the models (forwards, Gram matrices), and what grows with the pairs."""
    from itertools import combinations

    from repdiss_core.data import open_stream
    from repdiss_core.data.batches import TokenBatch
    from repdiss_core.engine.same_layer_pass import feature_rows
    from repdiss_core.measures.cka import hsic_same_layers, prepare
    from repdiss_core.models import load_model
    from repdiss_core.studies.generalization import question

    data = question.cka_data(params, question.IN_DISTRIBUTION)
    batch = open_stream(data.name, data.split, data.sequences_per_batch, data.tokens_per_sequence, data.seed).batch(0)
    assert isinstance(batch, TokenBatch), "these pairs are tokens"
    loaded = [load_model(name, resid_mean="kept") for name in models]
    best = {"linear": float("inf"), "pairs": float("inf")}
    for _ in range(4):
        begun = time.perf_counter()
        prepared = [prepare(feature_rows(model, batch, params.hook)) for model in loaded]
        middle = time.perf_counter()
        for f, g in combinations(prepared, 2):
            hsic_same_layers(f, g)
        best = {
            "linear": min(best["linear"], middle - begun),
            "pairs": min(best["pairs"], time.perf_counter() - middle),
        }
    return {"models": len(models), **best}

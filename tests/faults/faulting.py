"""What the fault tests share: a small real request, its undisturbed result, and a tally for docs/reliability.md."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from repdiss_core.base.comparison import Request
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.common import CkaView, cka_panel, data_id, same_layer_curve
from repdiss_core.studies.panels import request_for
from repdiss_core.studies.presets import preset

LONG = os.environ.get("REPDISS_FAULTS") == "long"
TALLY = os.environ.get("REPDISS_FAULTS_TALLY")
F, G = "mini-gelu-3l-s0", "mini-solu-3l-s0"


def cases(short: int, long: int) -> int:
    """How many cases to run: few in `make test`, all in `make faults`."""
    return long if LONG else short


def tally(fault: str, **numbers: object) -> None:
    """Keep a row of docs/reliability.md; the short form keeps none."""
    if TALLY:
        with open(TALLY, "a", encoding="utf-8") as file:
            file.write(json.dumps({"fault": fault, **numbers}) + "\n")


def small_request(n_batches: int = 6, stitches: int = 1) -> Request:
    """Three CKA maps, and trained and identity stitches at that many layers,
    of two bundled models at the tiny preset."""
    setting = preset("tiny")
    data = data_id(setting, "eval")
    wanted = [cka_panel(f, g, CkaView(), data).comparison for f, g in ((F, F), (G, G), (F, G))]
    for measure in ("stitching", "identity_stitching"):
        wanted += same_layer_curve("f → g", F, G, "stitch", setting, "tiny", measure).comparisons[:stitches]
    return request_for(wanted, n_batches)


def values(store: ResultStore, request: Request) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of every comparison that the local cache holds."""
    entries = {c.key: store.get_local(c.key) for c in request.comparisons}
    return {key: entry.arrays for key, entry in entries.items() if entry is not None}


def assert_same_bytes(found: dict[str, dict[str, np.ndarray]], wanted: dict[str, dict[str, np.ndarray]]) -> None:
    """Fail unless both hold the same comparisons with the same bytes."""
    assert found.keys() == wanted.keys()
    for key, arrays in wanted.items():
        assert found[key].keys() == arrays.keys()
        for name, array in arrays.items():
            assert found[key][name].dtype == array.dtype and found[key][name].tobytes() == array.tobytes(), (
                f"{key[:12]} {name} differs"
            )


def new_cache(root: Path, data: Path) -> Path:
    """A cache root that is empty but for the token streams, which are shared."""
    (root / "local").mkdir(parents=True)
    data.mkdir(parents=True, exist_ok=True)
    (root / "local" / "data").symlink_to(data)
    return root


def compute(root: str, request: dict, eager: bool = True, threads: int = 1) -> None:
    """Compute a request in this process into a cache of its own; `eager` writes after every batch and step."""
    os.environ["REPDISS_CACHE"] = root
    import torch

    from repdiss_core.engine import join, stitch_pass
    from repdiss_core.engine.run import Engine

    torch.set_num_threads(threads)
    if eager:
        join.STORE_EVERY_S = stitch_pass.SAVE_SECONDS = 0.0
    Engine(ResultStore.open()).run(Request.from_dict(request), lambda fraction, message: None)


def compute_counted(root: str, request: dict, log: str) -> None:
    """Compute as `compute` does, and leave a line for every group that was computed here."""
    from repdiss_core.engine.run import Engine

    run_group = Engine._run_group

    def noted(self, group, *rest):
        with open(log, "a") as file:
            file.write(f"{os.getpid()} {len(group.comparisons)}\n")
        run_group(self, group, *rest)

    Engine._run_group = noted
    compute(root, request, eager=False)

"""The same comparison gives the same bytes: again, from a fresh clone, and within 1e-6 on any number of threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faulting import F, G, assert_same_bytes, compute, tally, values

from repdiss_core.base.paths import REPOSITORY
from repdiss_core.measures.reduction import cka_ratio
from repdiss_core.store.cache import ResultStore

TOLERANCE = 1e-6


def computed(forking, root: str, request, threads: int) -> dict:
    """The arrays that a process of its own stores."""
    process = forking.Process(target=compute, args=(root, request.to_dict(), False, threads))
    process.start()
    process.join()
    assert process.exitcode == 0
    return values(ResultStore(Path(root) / "local", Path(root) / "none"), request)


@pytest.mark.faults
def test_again_gives_the_same_bytes(forking, new_root, undisturbed) -> None:
    request, wanted = undisturbed
    for _ in range(3):
        assert_same_bytes(computed(forking, new_root(), request, 1), wanted)
    tally("the same computation again", cases=3, differing_bytes=0)


@pytest.mark.faults
def test_threads_change_nothing_above_the_tolerance(forking, new_root, undisturbed) -> None:
    request, wanted = undisturbed
    worst = 0.0
    for threads in (2, 3, 4, 8):
        found = computed(forking, new_root(), request, threads)
        for key, arrays in wanted.items():
            pairs = (
                [(cka(arrays), cka(found[key]))]
                if "cross" in arrays
                else [(arrays[name], found[key][name]) for name in ("loss", "loss_closed_form", "loss_f", "loss_g")]
            )
            for a, b in pairs:
                worst = max(worst, float(np.abs(a - b).max(initial=0.0)))
    assert 0.0 <= worst < TOLERANCE
    tally(
        "1, 2, 3, 4 and 8 threads",
        cases=4,
        largest_difference=f"{worst:.1e}",
        note="CKA, and losses in nats a token; bound 1e-6",
    )


def cka(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """(B, L_f, L_g) CKA of each batch."""
    return cka_ratio(arrays["cross"], arrays["self_f"], arrays["self_g"])


@pytest.mark.faults
def test_a_fresh_clone_gives_the_same_values(tmp_path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(REPOSITORY), str(clone)], check=True)
    written = []
    for number, place in enumerate((REPOSITORY, clone)):
        out = tmp_path / f"{number}.json"
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
            "REPDISS_CACHE": str(tmp_path / f"cache-{number}")
        }
        done = subprocess.run(
            [sys.executable, "-m", "repdiss_core", "compare", F, G, "--batches", "6", "--out", str(out)],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        written.append(json.loads(out.read_text()))
    for name in ("values", "standard_error", "interval"):
        assert json.dumps(written[0][name]) == json.dumps(written[1][name])
    assert written[0]["comparison"] == written[1]["comparison"]
    tally("a fresh clone with a cache of its own", cases=1, differing_values=0)

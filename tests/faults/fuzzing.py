"""Inputs of any content for the fuzz tests, and how hypothesis runs here."""

from __future__ import annotations

import functools
import os

from faulting import F, G, cases, tally
from hypothesis import HealthCheck, settings
from hypothesis import strategies as some

LIMIT_S = 5.0
JSON = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**70), 2**70) | some.floats() | some.text(max_size=12),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NINES = "9" * 5000
NASTY = some.sampled_from(
    ["<script>alert(1)</script>", "../../../etc/passwd", "\x00", "$(touch planted)", "`touch planted`",
        "'; DROP TABLE Cache; --", "{{7*7}}", "%s%n",
     "🏴", "²:1", "٣:٣",
     "\ud800", "-1", "NaN", "1e999", "9" * 40, NINES, "A" * 5000, "file:///etc/passwd", "\u202ereversed", "", " ",
     "\n", "--help", "-", "~", "~nosuchperson/x", "$HOME"]
)  # fmt: skip
TEXT = NASTY | some.text(max_size=30) | some.integers(-(10**12), 10**12).map(str)

WORDS = some.sampled_from([
    "models", "data", "measures", "fig1", "fig4", "Fig 3", "fig7", F, G, "mini-neox-4l128-h8-s0", "verify", "info",
    "prune", "--json", "--out",
    "x.json", "nowhere/x.csv", "x.exe", "/", "--measure", "cka", "stitching", "identity_stitching", "--layers", "1:1",
    "0:9", "--stitch", "tiny",
    "--preset", "--batches", "2", "0", "--data", "docstrings/eval", "--seed-gelu", "--tokens-per-batch",
    "--tokens-per-sequence", "--population",
    "constructed", "--k", "--items", "--chunks", "--rows", "--hook", "--job", "pythia-70m@²", "pythia-70m@step1000",
    NINES + ":1", "path:" + NINES, "hub:" + NINES, "--estimator", "biased", "--yes", "-h",
])  # fmt: skip


def fuzzed(what: str):
    """How hypothesis runs here: the same cases every time; the machine may be busy,
    so that tests look at processor time themselves.

    A test that has passed leaves its row of docs/reliability.md.
    """

    def wrap(test):
        quiet = [
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
        ]
        chosen = settings(
            max_examples=cases(*COUNTS[what]),
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=quiet,
        )
        chosen_test = chosen(test)

        @functools.wraps(chosen_test)
        def counted(*arguments, **named):
            chosen_test(*arguments, **named)
            tally(
                f"fuzzed {what}",
                cases=cases(*COUNTS[what]),
                tracebacks=0,
                code_run=0,
                **dict.fromkeys(ALSO.get(what, ()), 0),
            )

        return counted

    return wrap


class Bomb:
    """Leaves a file when unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("planted",))


COUNTS = {"cache entries": (150, 10_000), "bundles of results": (100, 10_000), "rows of the cache": (60, 10_000),
          "job names": (60, 10_000), "model folders": (10, 10_000), "command lines": (40, 10_000),
          "pasted links": (60, 10_000), "own tours": (60, 10_000), "choices in links": (60, 10_000),
          "links (sets of 1 to 6 parameters)": (3, 1000)}  # fmt: skip
# What a test checks beside tracebacks and planted code.
_PATHS, _TIME = ("paths_left",), ("slower_than_5_s",)
ALSO = {"bundles of results": (*_PATHS, *_TIME), "rows of the cache": _PATHS, "job names": _PATHS,
        "model folders": _TIME, "command lines": _TIME,
        "pasted links": _TIME, "own tours": _TIME, "choices in links": _TIME}  # fmt: skip

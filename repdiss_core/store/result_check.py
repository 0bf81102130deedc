"""Whether arrays and plain values are a result of a comparison:
for what comes from another machine, before a page reads it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from repdiss_core.base.comparison import Comparison
from repdiss_core.base.crossed import SETTING
from repdiss_core.base.errors import UserError
from repdiss_core.base.results import (
    BatchHsic,
    BatchValues,
    CrossedHsic,
    CrossedValues,
    CutAccuracies,
    SameLayerHsic,
    StitchResult,
    Stored,
    TokenValues,
)

Arrays = dict[str, np.ndarray]
LATEST = 1e11  # seconds since the epoch: the year 5138


def check_result(
    comparison: Comparison,
    kind: type[Stored],
    arrays: Arrays,
    meta: dict[str, Any],
    n_layers: tuple[int | None, int | None] = (None, None),
) -> None:
    """Raise where arrays or plain values are not those that this comparison has.

    Args:
        kind: the type of the comparison's results.
        n_layers: of f and g, None for a model that is not known here.

    Raises:
        UserError, ValueError, KeyError, TypeError, AttributeError: they are not, in whatever way.
    """
    _check_fields(comparison)
    _check_plain(meta)
    if not arrays or any(a.dtype.kind not in "fiu" for a in arrays.values()):
        raise UserError("a result consists of arrays of numbers")
    found = kind.from_arrays(arrays, meta)
    if isinstance(found, TokenValues):
        _check_tokens(comparison, arrays)
    elif isinstance(found, BatchHsic | BatchValues):
        _check_maps(found, arrays, n_layers)
    elif isinstance(found, CrossedHsic | CrossedValues):
        _check_crossed(comparison, found, arrays, n_layers)
    elif isinstance(found, SameLayerHsic):
        _same("layers", found.cross.shape[1], *(n for n in n_layers if n))
        _no_others(arrays, SameLayerHsic.ARRAYS)
    elif isinstance(found, CutAccuracies):
        _check_accuracy(arrays)
    elif isinstance(found, StitchResult):
        _check_stitch(comparison, found, arrays)


def _check_fields(c: Comparison) -> None:
    data = c.data
    names = (c.f.name, c.f.weights, c.g.name, c.g.weights, data.name, data.split, data.content)
    texts = (c.measure, c.hook, c.resid_mean, c.dtype, *names)
    whole = (data.sequences_per_batch, data.tokens_per_sequence, data.seed, c.measure_version)
    right = all(isinstance(text, str) and len(text) < 1000 for text in texts) and all(
        type(n) is int and abs(n) < 2**62 for n in whole
    )
    if not right:
        raise UserError("a comparison names models and data by texts and whole numbers")


def _check_plain(meta: dict[str, Any]) -> None:
    notes, made, stored_at = meta.get("notes", []), meta.get("provenance", {}), meta.get("stored_at", 0.0)
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise UserError("its notes are sentences")
    if (
        not isinstance(made, dict)
        or not isinstance(made.get("versions", {}), dict)
        or type(made.get("threads", 1)) is not int
    ):
        raise UserError("its provenance names versions and a number of threads")
    if (
        isinstance(stored_at, bool)
        or not isinstance(stored_at, int | float)
        or not 0 <= stored_at < LATEST
        or math.isnan(stored_at)
    ):
        raise UserError("it says when it was stored in seconds")


def _check_maps(found: BatchHsic | BatchValues, arrays: Arrays, n_layers: tuple[int | None, int | None]) -> None:
    for side, known, here in zip("fg", n_layers, found.layers, strict=True):
        _same(f"layers of {side}", here, *([known] if known else []))
        for name in ("peak", "count", "share"):
            if f"{name}_{side}" in arrays:
                _same(f"the shape of {name}s", arrays[f"{name}_{side}"].shape, (found.n_batches, here))
        for name in ("tokens", "rows"):
            if f"{name}_{side}" in arrays and arrays[f"{name}_{side}"].ndim != 2:
                raise UserError("ids and places of massive tokens are a row a batch")
    _no_others(arrays, (*found.ARRAYS, *found.MASSIVE))


def _check_crossed(
    comparison: Comparison, found: CrossedHsic | CrossedValues, arrays: Arrays, n_layers: tuple[int | None, int | None]
) -> None:
    _same("the batches of a window", found.f_here.shape[1], comparison.setting(SETTING))
    for side, known, here in zip("fg", n_layers, found.layers, strict=True):
        _same(f"layers of {side}", here, *([known] if known else []))
    _no_others(arrays, found.ARRAYS)


def _check_tokens(comparison: Comparison, arrays: Arrays) -> None:
    shape = (comparison.data.sequences_per_batch, comparison.data.tokens_per_sequence)
    for name in ("tokens", "cosine", "contribution"):
        _same(f"the shape of {name}", arrays[name].shape, shape)
    if arrays["tokens"].dtype.kind == "f":
        raise UserError("ids of tokens are whole numbers")
    _no_others(arrays, ("tokens", "cosine", "contribution"))


def _check_accuracy(arrays: Arrays) -> None:
    cuts, items = arrays["correct"].shape
    _same("the number of items", arrays["own_f"].shape, arrays["own_g"].shape, (items,))
    if not cuts or not items:
        raise UserError("an accuracy has cuts and items")
    _no_others(arrays, ("correct", "own_f", "own_g"))


def _check_stitch(comparison: Comparison, found: StitchResult, arrays: Arrays) -> None:
    whole = (found.layer_f, found.layer_g, found.steps_done, found.steps)
    if any(type(number) is not int for number in whole) or not 0 <= found.steps_done <= found.steps < 2**40:
        raise UserError("layers and steps of a stitch are whole numbers")
    _same("the pair of layers", (found.layer_f, found.layer_g), comparison.layer_pair)
    if any(arrays[name].ndim != 1 for name in StitchResult.ARRAYS):
        raise UserError("losses of a stitch are a number a sequence")
    n = len(found.loss_g)
    _same("the number of sequences", len(found.loss_f), n)
    if len(found.loss) not in (0, n) or len(found.loss_closed_form) not in (0, n):
        raise UserError(f"{len(found.loss)} losses for {n} sequences")
    _same("the number of points", len(found.step), len(found.train_loss))
    _no_others(arrays, StitchResult.ARRAYS)


def _same(what: str, *values: Any) -> None:
    if any(value != values[0] for value in values):
        raise UserError(f"{what} disagree: {' and '.join(map(str, values))}")


def _no_others(arrays: Arrays, known: tuple[str, ...]) -> None:
    if not set(arrays) <= set(known):
        raise UserError(f"it has arrays besides {', '.join(known)}")

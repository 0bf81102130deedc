"""What each line of MEASURES declares is what the measure does: every statement of every spec, for every measure."""

from __future__ import annotations

import sys
from pathlib import Path

import measure_bench as bench
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
sys.path.insert(0, str(Path(__file__).parents[2]))
from test_bert import tiny_bert

from repdiss_core.base.comparison import Comparison, DataId, ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.base.layer_pairs import ALL, CUTS, SAME, AllLayers, EveryCut, OneCut, SameLayers
from repdiss_core.data import nli
from repdiss_core.engine.accuracy_pass import run_accuracies
from repdiss_core.engine.checkpoint import CheckpointDir
from repdiss_core.engine.stitch_pass import run_identity_stitches, run_stitches
from repdiss_core.measures import INVARIANCES, MEASURES, MeasureSpec, Pass
from repdiss_core.measures.stitch_settings import StitchSettings, identity_comparison, stitch_comparison
from tests.engine.tiny_models import TinyModel, stream, trained

OF_FEATURES = (Pass.BATCH, Pass.POOLED, Pass.TOKENS)
PAIRS = {AllLayers: ALL, SameLayers: SAME, EveryCut: CUTS, OneCut: OneCut(2, 2)}
DATA = DataId("d", "eval", "c" * 64, 8, 8)
F_ID, G_ID = ModelId("f", "a"), ModelId("g", "b")
EVAL, PHI = stream("eval", 3), stream("phi", 4)
QUICK = StitchSettings(init="least_squares", steps=6, warmup_steps=2, lr=0.2, fit_batches=4)


def cases() -> list:
    """Every measure with its defaults and with each other choice of each option."""
    return [
        pytest.param(spec, options, id="-".join([spec.name, *map(str, options.values())]))
        for spec in MEASURES.values()
        for options in bench.options_of(spec)
    ]


def test_every_measure_has_a_case() -> None:
    assert {case.values[0].name for case in cases()} == set(MEASURES), (
        "a measure that no case checks can declare anything"
    )


@pytest.fixture(scope="module")
def language_models() -> dict[str, TinyModel]:
    """Two tiny language models that have learned something."""
    return {name: trained(TinyModel(name, seed=seed), stream("train", 8)) for seed, name in enumerate("fg")}


@pytest.fixture(scope="module")
def classifiers() -> dict:
    return {name: tiny_bert(seed, name=name) for seed, name in enumerate("fg")}


@pytest.fixture
def value(language_models, classifiers, tmp_path):
    """(spec, options, change of f, change of g, "fg", "gf" or "ff") to the values of that measure on a fixed pair."""

    def stitched(spec: MeasureSpec, f, g) -> np.ndarray:
        results: list = []
        same = f is g
        c = stitch_comparison(F_ID, G_ID, EVAL.data_id, 2, 2, QUICK, PHI.data_id) if spec.load().settings else None
        trains = spec.load().settings(c) is not None
        c = c if trains else identity_comparison(F_ID, G_ID, EVAL.data_id, 2, 2)
        keep = (
            (lambda _, result: results.append(result)),
            CheckpointDir(tmp_path / str(len(list(tmp_path.iterdir()))), print),
        )
        rest = (3, *keep, lambda *a: None, lambda: False)
        if trains:
            run_stitches([c], f, f if same else g, EVAL, PHI, *rest)
        else:
            run_identity_stitches([c], f, f if same else g, EVAL, *rest)
        return results[-1].penalty

    def answered(spec: MeasureSpec, f, g, options) -> np.ndarray:
        items = nli.open_nli("lexical_overlap", 25, 32, 0)
        c = Comparison("stitched_accuracy", F_ID, G_ID, items.data_id, CUTS, settings=(("items", 50), *options.items()))
        results: list = []
        run_accuracies([c], lambda m: f if m == F_ID else g, items, lambda _, result: results.append(result))
        return results[0].correct.mean(axis=1)

    def of(spec: MeasureSpec, options: dict, on_f: str = "", on_g: str = "", order: str = "fg") -> np.ndarray:
        if spec.runs in OF_FEATURES:
            f, g = bench.related_features()
            changed = {"f": _changed(f, on_f), "g": _changed(g, on_g)}
            return bench.measured(spec, changed[order[0]], changed[order[1]], options)
        models = language_models if spec.runs is Pass.STITCH else classifiers
        sides = {
            "f": bench.based(models["f"], on_f) if on_f else models["f"],
            "g": bench.based(models["g"], on_g) if on_g else models["g"],
        }
        f, g = sides[order[0]], sides[order[1]]
        return stitched(spec, f, g) if spec.runs is Pass.STITCH else answered(spec, f, g, options)

    return of


def _changed(batches: bench.Batches, change: str) -> bench.Batches:
    return [[bench.CHANGES[change](x) for x in batch] for batch in batches] if change else batches


@pytest.mark.parametrize("change", INVARIANCES)
@pytest.mark.parametrize(("spec", "options"), cases())
def test_declared_invariances_hold_on_either_side_and_no_others(spec, options, change, value) -> None:
    before = value(spec, options)
    gaps = [np.abs(value(spec, options, **{side: change}) - before).max() for side in ("on_f", "on_g")]
    assert max(gaps) < 1e-9 if change in spec.invariant_to else max(gaps) > 1e-3, gaps


@pytest.mark.parametrize(("spec", "options"), cases())
def test_symmetry_range_and_direction(spec, options, value) -> None:
    values, swapped = value(spec, options), value(spec, options, order="gf")
    assert np.allclose(values, swapped.T, atol=1e-11) == spec.symmetric
    itself = value(spec, options, order="ff")
    for found in (values, swapped, itself):
        assert (found >= spec.range[0]).all() and (found <= spec.range[1] + 1e-12).all()
    itself = itself.diagonal() if itself.ndim == 2 else itself
    related = values.diagonal() if values.ndim == 2 else values
    closer = itself.mean() - related.mean()
    if spec.runs is not Pass.ACCURACY:  # a classifier that answers like another one is not the better for it
        assert closer > 0 if spec.direction == "similar" else closer < 0


@pytest.mark.parametrize(("spec", "options"), cases())
def test_the_value_on_equal_input(spec, options, value, classifiers) -> None:
    itself = value(spec, options, order="ff")
    if spec.self_value is None:
        assert spec.runs in (Pass.STITCH, Pass.ACCURACY), "training or the model decides it"
        return
    found = itself.diagonal() if itself.ndim == 2 else itself
    if spec.self_tolerance:
        assert (np.abs(found - spec.self_value) <= spec.self_tolerance).all() and (found != spec.self_value).all()
    elif spec.runs is Pass.TOKENS:
        np.testing.assert_allclose(found, spec.self_value, atol=1e-12)
    else:
        assert (found == spec.self_value).all(), "exactly"


@pytest.mark.parametrize(("spec", "options"), cases())
def test_the_value_for_independent_features(spec, options) -> None:
    expected = spec.independent(128, 16, 16, options)
    if expected is None:
        return
    assert spec.runs in OF_FEATURES
    draws = [bench.measured(spec, *bench.independent_features(seed, 128, 16), options)[0, 0] for seed in range(25)]
    error = np.std(draws, ddof=1) / len(draws) ** 0.5
    assert abs(np.mean(draws) - expected) < max(4 * error, 1e-4), (np.mean(draws), expected, error)


@pytest.mark.parametrize("spec", [spec for spec in MEASURES.values() if spec.runs in OF_FEATURES], ids=lambda s: s.name)
def test_the_least_number_of_tokens(spec) -> None:
    options = {o.id: o.default for o in spec.options}
    least = spec.least_tokens(3, 4)
    draw = np.random.default_rng(2)

    def on(n: int) -> np.ndarray:
        batches = FIT_ALONE if spec.runs is Pass.POOLED else 1
        f, g = ([[draw.normal(size=(n, d))] for _ in range(batches + bench.SCORED)] for d in (3, 4))
        if spec.runs is Pass.POOLED:
            return _pooled_on(spec, f, g, options)
        return bench.measured(spec, f, g, options)

    assert np.isfinite(on(least)).all()
    if least > 1:
        with pytest.raises(UserError, match=r"token"):
            on(least - 1)


FIT_ALONE = 1  # the fewest tokens of a pooled measure are those of its fit: one batch


def _pooled_on(spec: MeasureSpec, f: bench.Batches, g: bench.Batches, options: dict) -> np.ndarray:
    sides = [(bench.prepared(spec, a, options), bench.prepared(spec, b, options)) for a, b in zip(f, g, strict=True)]
    statistics = spec.load().accumulate(None, *sides[0])
    fitted = spec.load().fit(statistics, bench.BatchContext(None, options))
    return spec.load().score(fitted, *sides[1])


@pytest.mark.parametrize("spec", MEASURES.values(), ids=lambda s: s.name)
def test_the_cost_grows_with_tokens_and_features(spec) -> None:
    if spec.runs not in OF_FEATURES:
        assert spec.cost(1024, 512, 512) == 0.0, "model passes are counted by the request's estimate"
        return
    base = spec.cost(1024, 512, 256)
    assert 1e6 < base < 1e12
    assert spec.cost(2048, 512, 256) > 1.3 * base
    assert spec.cost(1024, 1024, 256) > base and spec.cost(1024, 512, 512) > base


@pytest.mark.parametrize("spec", MEASURES.values(), ids=lambda s: s.name)
def test_layer_pairs_and_settings_that_are_not_declared_are_refused(spec) -> None:
    for kind, pairs in PAIRS.items():
        comparison = Comparison(spec.name, F_ID, G_ID, DATA, pairs)
        if kind in spec.stored:
            spec.check(comparison)
            with pytest.raises(UserError, match=r"has no setting 'colour'; it has"):
                spec.check(Comparison(spec.name, F_ID, G_ID, DATA, pairs, settings=(("colour", "red"),)))
            for option in spec.options:
                with pytest.raises(UserError, match=f"{spec.short} has no {option.label.lower()} 'odd'; choose"):
                    spec.check(Comparison(spec.name, F_ID, G_ID, DATA, pairs, settings=((option.id, "odd"),)))
        else:
            with pytest.raises(UserError, match=f"{spec.short} is not computed for .*; it is for"):
                spec.check(comparison)


@pytest.mark.parametrize("spec", [s for s in MEASURES.values() if SameLayers in s.stored], ids=lambda s: s.name)
def test_equal_layers_alone_are_the_diagonal_of_the_map(spec) -> None:
    f, g = bench.related_features()
    sides = [bench.prepared(spec, side[0], {}) for side in (f, g)]
    np.testing.assert_allclose(spec.load().cross_same(*sides), spec.load().cross(*sides).diagonal(), rtol=1e-12)


@pytest.mark.parametrize("spec", MEASURES.values(), ids=lambda s: s.name)
def test_every_line_is_complete(spec) -> None:
    assert MEASURES[spec.name] is spec and spec.label and spec.short and spec.version >= 1
    assert spec.means and spec.source and spec.range[0] < spec.range[1]
    assert spec.direction in ("similar", "different") and set(spec.invariant_to) <= set(INVARIANCES)
    assert spec.self_value is None or spec.range[0] <= spec.self_value <= spec.range[1]
    assert (spec.reduction is not None) == spec.of_features == (AllLayers in spec.stored)
    assert spec.unit or spec.runs in OF_FEATURES, "a loss or a share has a unit"
    for option in spec.options:
        assert option.default in option.values and option.label and all(choice.label for choice in option.choices)
    assert spec.facts()["short"] == spec.short


def test_results_are_read_back_by_the_types_that_are_declared() -> None:
    for spec in MEASURES.values():
        for stored in spec.stored.values():
            assert set(stored.ARRAYS) and callable(stored.from_arrays) and callable(stored.covers)

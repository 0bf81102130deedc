"""The feature pass: shared forwards, append-only batches, cached activations,
and the same bytes alone and in a group."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from repdiss_core.base.comparison import Comparison, DataId, ModelId, Request, cka_comparison
from repdiss_core.base.errors import UserError
from repdiss_core.base.layer_pairs import OneCut
from repdiss_core.data.batches import TokenBatch
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.feature_pass import FeaturePass
from repdiss_core.engine.join import Join, stored_here
from repdiss_core.engine.plan import plan
from repdiss_core.engine.stopping import Stopped
from repdiss_core.measures import cka_matrix
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.panels import MatrixPanel, load_matrix

DATA = DataId("fake", "eval", "c" * 64, 4, 16, 0)
UNBIASED = (("estimator", "unbiased"), ("flatten", "token"))
TOKENS = np.random.default_rng(0).integers(0, 50, (40, 4, 16))


class Stream:
    data_id, n_batches = DATA, 40

    def batch(self, i):
        return TokenBatch(tokens=TOKENS[i])


class Model:
    """Three layers of features that depend on the tokens alone; counts its forward passes."""

    n_layers, d_model = 3, 6

    def __init__(self, seed: int, resid_mean: str) -> None:
        self.table = torch.randn(3, 50, 6, generator=torch.Generator().manual_seed(seed))
        self.removed, self.n_forwards = resid_mean == "removed", 0

    def residuals(self, batch):
        self.n_forwards += 1
        for layer in self.table:
            h = layer[torch.as_tensor(batch.tokens)]
            yield h - h.mean(-1, keepdim=True) if self.removed else h


class Bench:
    """Models by name, loaded once, and passes over them."""

    def __init__(self, tmp_path, name="one", activations=None) -> None:
        self.store = ResultStore(tmp_path / name / "local", tmp_path / "packs")
        self.activations = activations or ActivationCache(tmp_path / name / "activations", 2**26)
        self.models: dict[tuple[str, str], Model] = {}

    def load(self, model: ModelId, resid_mean: str) -> Model:
        return self.models.setdefault((model.name, resid_mean), Model(ord(model.name), resid_mean))

    def run(self, comparisons, n_batches, should_stop=lambda: False) -> list[str]:
        said: list[str] = []
        join = Join(self.store, comparisons, lambda: {"made": "now"})
        FeaturePass(comparisons, n_batches, join, self.activations, self.load, Stream()).run(
            lambda fraction, message: said.append(message), should_stop
        )
        return said

    @property
    def n_forwards(self) -> int:
        return sum(model.n_forwards for model in self.models.values())


def pair(f: str, g: str, **fields) -> Comparison:
    return cka_comparison(ModelId(f, f * 64), ModelId(g, g * 64), DATA, **{"settings": UNBIASED, **fields})[0]


def all_pairs(names: str) -> list[Comparison]:
    return [pair(f, g) for i, f in enumerate(names) for g in names[i:]]


def test_models_all_against_all_cost_one_forward_each_a_batch(tmp_path) -> None:
    bench = Bench(tmp_path)
    bench.run(all_pairs("abcd"), 5)
    assert bench.n_forwards == 4 * 5


def test_values_equal_cka_matrix_of_the_features(tmp_path) -> None:
    bench = Bench(tmp_path)
    bench.run([pair("a", "b")], 6)
    features = [
        [
            [h.reshape(-1, 6) for h in bench.load(ModelId(n, n * 64), "removed").residuals(Stream().batch(i))]
            for i in range(6)
        ]
        for n in "ab"
    ]
    for reduction in ("mean_of_ratios", "ratio_of_means"):
        ours = load_matrix(bench.store, MatrixPanel("", pair("a", "b"), False, "a", "b"), reduction, 6).matrix
        np.testing.assert_allclose(ours.values, cka_matrix(*features, reduction=reduction).values, rtol=1e-12)


def test_a_pair_alone_and_in_a_group_gives_the_same_bytes(tmp_path) -> None:
    alone, group = Bench(tmp_path, "alone"), Bench(tmp_path, "group")
    alone.run([pair("b", "d")], 4)
    group.run(all_pairs("abcde"), 4)
    one, other = (b.store.get(pair("b", "d").key).arrays for b in (alone, group))
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_more_batches_extend_and_never_recompute(tmp_path) -> None:
    grown, whole = Bench(tmp_path, "grown"), Bench(tmp_path, "whole", ActivationCache(budget_bytes=0))
    grown.run([pair("a", "b")], 3)
    grown.run([pair("a", "b")], 8)
    assert grown.n_forwards == 2 * 8
    whole.run([pair("a", "b")], 8)
    one, other = (b.store.get(pair("a", "b").key).arrays["cross"] for b in (grown, whole))
    assert one.tobytes() == other.tobytes()


def test_a_second_measure_on_cached_activations_runs_no_forward_pass(tmp_path) -> None:
    bench = Bench(tmp_path)
    bench.run([pair("a", "b")], 4)
    before = bench.n_forwards
    bench.run(
        [
            pair("a", "b", settings=(("estimator", e), ("flatten", f)))
            for e, f in (("biased", "token"), ("sequence_aware", "token"), ("unbiased", "sample"))
        ],
        4,
    )
    assert bench.n_forwards == before == 2 * 4


def test_without_a_budget_nothing_is_cached_and_all_is_computed(tmp_path) -> None:
    bench = Bench(tmp_path, activations=ActivationCache(tmp_path / "none", 0))
    bench.run([pair("a", "b")], 2)
    bench.run([pair("a", "c")], 2)
    assert bench.n_forwards == 8
    assert not (tmp_path / "none").exists()


def test_damaged_activations_are_told_and_computed_anew(tmp_path) -> None:
    bench = Bench(tmp_path)
    bench.run([pair("a", "a")], 2)
    cache = bench.activations._cache
    for key in list(cache):
        cache.set(key, b"junk")
    other = Bench(tmp_path, "other", bench.activations)
    other.run([pair("a", "a")], 2)
    assert other.n_forwards == 2
    assert "were damaged and are computed anew" in bench.activations.problems[0]


def test_stopping_keeps_finished_batches(tmp_path) -> None:
    bench, rounds = Bench(tmp_path), iter(range(100))
    with pytest.raises(Stopped):
        bench.run([pair("a", "b")], 20, should_stop=lambda: next(rounds) >= 7)
    assert stored_here(bench.store, pair("a", "b")).n_batches == 7
    bench.run([pair("a", "b")], 20)
    assert stored_here(bench.store, pair("a", "b")).n_batches == 20


def test_the_mean_over_d_model_is_a_field(tmp_path) -> None:
    bench = Bench(tmp_path)
    kept = pair("a", "b", resid_mean="kept")
    bench.run([pair("a", "b"), kept], 2)
    one, other = (bench.store.get(c.key).arrays["cross"] for c in (pair("a", "b"), kept))
    assert not np.allclose(one, other)
    assert bench.n_forwards == 2 * 2 * 2


def test_too_few_batches_is_a_sentence(tmp_path) -> None:
    with pytest.raises(UserError, match="holds 40 batches of 64 tokens; 41 were asked for. Ask for at most 40"):
        Bench(tmp_path).run([pair("a", "b")], 41)


def test_nan_in_features_names_model_and_batch(tmp_path) -> None:
    bench = Bench(tmp_path)
    bench.load(ModelId("a", "a" * 64), "removed").table[1, 3] = float("nan")
    with pytest.raises(UserError, match=r"^a, batch 1: Layer 2 holds NaN"):
        bench.run([pair("a", "b")], 2)


def test_a_constant_layer_is_nan_with_a_reason(tmp_path) -> None:
    bench = Bench(tmp_path)
    bench.load(ModelId("a", "a" * 64), "removed").table[1] = 0.0
    bench.run([pair("a", "b")], 3)
    matrix = load_matrix(bench.store, MatrixPanel("", pair("a", "b"), False, "a", "b"), "mean_of_ratios", 3).matrix
    assert np.isnan(matrix.values[1]).all() and np.isfinite(matrix.values[[0, 2]]).all()
    assert any("the same for every token" in note for note in matrix.notes)


def test_too_few_sequences_for_the_sample_view(tmp_path) -> None:
    narrow = dataclasses.replace(DATA, sequences_per_batch=3)
    comparison = dataclasses.replace(
        pair("a", "b"), data=narrow, settings=(("estimator", "unbiased"), ("flatten", "sample"))
    )

    class Narrow(Stream):
        def batch(self, i):
            return TokenBatch(tokens=TOKENS[i][:3])

    bench = Bench(tmp_path)
    with pytest.raises(UserError, match="3"):
        FeaturePass([comparison], 1, Join(bench.store, [comparison]), bench.activations, bench.load, Narrow()).run(
            lambda *a: None, lambda: False
        )


def test_plan_groups_by_stream_and_puts_stitches_apart() -> None:
    other = dataclasses.replace(DATA, seed=1)
    stitch = [
        Comparison("stitching", ModelId("a", "1"), ModelId("b", "2"), DATA, layer_pairs=OneCut(l, l)) for l in (2, 1)
    ]
    groups = plan(
        Request((pair("a", "b"), dataclasses.replace(pair("a", "b"), data=other), *stitch, pair("b", "c")), 2)
    )
    assert [len(group.comparisons) for group in groups] == [2, 1, 2]
    assert [c.layer_pair for c in groups[-1].comparisons] == [(1, 1), (2, 2)]


def test_plan_refuses_unknown_measures() -> None:
    with pytest.raises(UserError, match="no measure named 'cosine'"):
        plan(Request((dataclasses.replace(pair("a", "b"), measure="cosine"),), 1))

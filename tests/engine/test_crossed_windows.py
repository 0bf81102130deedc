"""Values of f on one batch with g on another: no further forward pass or Gram product; resumed; slow forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from repdiss_core.analysis.chance import chance_level, crossed_windows
from repdiss_core.base.batches import BatchHsic
from repdiss_core.base.comparison import Comparison, Request
from repdiss_core.base.crossed import SETTING, CrossedHsic, CrossedValues
from repdiss_core.base.errors import UserError
from repdiss_core.data.batches import TokenBatch
from repdiss_core.engine.join import stored_here
from repdiss_core.engine.plan import FeatureGroup, plan
from repdiss_core.engine.shards import Shard
from repdiss_core.engine.stopping import Stopped
from repdiss_core.measures import MEASURES, cka, cka_batches, shared, spec_of
from repdiss_core.measures.reduction import reduce_hsic
from repdiss_core.measures.spec import Pass
from tests.engine.test_measures_together import BATCHED, TOKENS, Bench, F, G, Model, Stream, compared
from tests.measures.dense import dense_cka

W = 4
NAMES = [name for name in BATCHED if MEASURES[name].runs is Pass.BATCH]


def crossed(comparison: Comparison, window: int = W) -> Comparison:
    """The comparison whose results are crossed."""
    fields = comparison.to_dict() | {"settings": {**dict(comparison.settings), SETTING: window}}
    return Comparison.from_dict(fields)


def test_crossed_values_cost_no_forward_pass_and_no_gram_product_more(tmp_path, monkeypatch) -> None:
    made: list[str] = []
    prepare = cka.prepare
    monkeypatch.setattr(cka, "prepare", lambda *a, **k: made.append("prepare") or prepare(*a, **k))
    gram = shared.symmetric_gram
    monkeypatch.setattr(shared, "symmetric_gram", lambda *a: made.append("gram") or gram(*a))
    cross = cka_batches.cross
    monkeypatch.setattr(cka_batches, "cross", lambda *a: made.append("cross") or cross(*a))
    bench, maps = Bench(tmp_path), [compared(name) for name in ("cka", "mutual_knn")]
    levels = [crossed(c) for c in maps]
    assert [type(group) for group in plan(Request((*maps, *levels), 2 * W))] == [FeatureGroup]
    bench.compute([*maps, *levels], 2 * W)
    assert bench.n_forwards == 2 * 2 * W
    n_layers = 3
    assert made.count("prepare") == 2 * 2 * W and made.count("gram") == n_layers * 2 * 2 * W
    assert made.count("cross") == 2 * W * W, "w² products a window, those of the map among them"


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_is_the_measure_of_both_batches(tmp_path, name) -> None:
    bench, c = Bench(tmp_path), compared(name)
    bench.compute([crossed(c)], 6)
    rows = stored_here(bench.store, crossed(c))
    assert isinstance(rows, CrossedHsic if name == "cka" else CrossedValues) and rows.n_batches == 6
    measure, options = spec_of(c).load(), spec_of(c).chosen(c)

    def side(model, i):
        ids = np.repeat(np.arange(8), 16)
        layers = [h.reshape(-1, h.shape[-1]) for h in bench.at_hand[model].residuals(TokenBatch(tokens=TOKENS[i]))]
        return measure.prepare(shared.LayerPreparations(layers, ids), shared.BatchContext(ids, options))

    windows = rows.windows()
    assert [w.shape for w in windows] == [(4, 4, 3, 3), (2, 2, 3, 3)]
    for window, first in zip(windows, (0, 4), strict=True):
        for a, b in np.ndindex(window.shape[:2]):
            np.testing.assert_array_equal(window[a, b], measure.cross(side("a", first + a), side("b", first + b)))


def test_cka_of_different_batches_is_that_of_a_slow_float64_form(tmp_path) -> None:
    bench, c = Bench(tmp_path), compared("cka")
    bench.compute([crossed(c)], W)
    rows = stored_here(bench.store, crossed(c))
    (window,) = crossed_windows(rows, "mean_of_ratios")
    features = {
        name: [[h.reshape(-1, 6).numpy() for h in bench.at_hand[name].residuals(TokenBatch(tokens=TOKENS[i]))]
               for i in range(W)]
        for name in "ab"
    }  # fmt: skip
    for a, b in np.ndindex(window.shape[:2]):
        np.testing.assert_allclose(window[a, b], dense_cka(features["a"][a], features["b"][b], "unbiased"), atol=2e-6)


@pytest.mark.parametrize("reduction", ["mean_of_ratios", "ratio_of_means"])
def test_the_observed_pairing_is_the_map(tmp_path, reduction) -> None:
    bench, c = Bench(tmp_path), compared("cka")
    bench.compute([c, crossed(c)], 6)
    batches = stored_here(bench.store, c)
    assert isinstance(batches, BatchHsic)
    level = chance_level(crossed_windows(stored_here(bench.store, crossed(c)), reduction), 99)
    np.testing.assert_allclose(level.values, reduce_hsic(batches, reduction).values, atol=1e-12)
    seen_from_g = chance_level(crossed_windows(stored_here(bench.store, crossed(c)).transposed(), reduction), 99)
    np.testing.assert_allclose(seen_from_g.values, level.values.T, atol=1e-12)
    np.testing.assert_allclose(seen_from_g.mismatched, level.mismatched.T, atol=1e-12)


@pytest.mark.parametrize(("stop", "forwards"), [(3, 3 + 6), (5, 5 + 2), (4, 4 + 2)])
def test_resumed_within_a_window_the_bytes_are_those_of_one_run(tmp_path, stop, forwards) -> None:
    c = compared("cka")
    whole, resumed = Bench(tmp_path / "whole"), Bench(tmp_path / "resumed")
    whole.compute([crossed(c)], 6)
    asked = iter(range(100))
    with pytest.raises(Stopped):
        resumed.compute([crossed(c)], 6, lambda: next(asked) >= stop)
    assert stored_here(resumed.store, crossed(c)).n_batches == stop
    resumed.compute([c, crossed(c)], 6)
    for name, array in whole.store.get_local(crossed(c).key).arrays.items():
        assert resumed.store.get_local(crossed(c).key).arrays[name].tobytes() == array.tobytes(), name
    assert stored_here(resumed.store, c).n_batches == 6
    alone = Bench(tmp_path / "alone")
    asked = iter(range(100))
    with pytest.raises(Stopped):
        alone.compute([crossed(c)], 6, lambda: next(asked) >= stop)
    alone.compute([crossed(c)], 6)
    assert alone.n_forwards == 2 * forwards, "a window that was begun is read again, and nothing before it"


def test_more_batches_extend_what_is_stored(tmp_path) -> None:
    c = compared("rsa")
    whole, longer = Bench(tmp_path / "whole"), Bench(tmp_path / "longer")
    whole.compute([crossed(c)], 7)
    longer.compute([crossed(c)], 5)
    longer.compute([crossed(c)], 7)
    for name, array in whole.store.get_local(crossed(c).key).arrays.items():
        assert longer.store.get_local(crossed(c).key).arrays[name].tobytes() == array.tobytes(), name


def test_the_map_has_the_bytes_that_it_has_without_its_chance_level(tmp_path) -> None:
    c = compared("cka")
    alone, beside = Bench(tmp_path / "alone"), Bench(tmp_path / "beside")
    alone.compute([c], 5)
    beside.compute([crossed(c), c], 5)
    for name, array in alone.store.get_local(c.key).arrays.items():
        assert beside.store.get_local(c.key).arrays[name].tobytes() == array.tobytes(), name


def test_shards_are_whole_windows() -> None:
    c = crossed(compared("cka"), 8)
    (group,) = plan(Request((c,), 20))
    assert group.shards({c.key: 0}, 20, 5) == [Shard((c,), 0, 8), Shard((c,), 8, 16), Shard((c,), 16, 20)]
    assert group.shards({c.key: 9}, 20, 5) == [Shard((c,), 8, 16), Shard((c,), 16, 20)]
    (without,) = plan(Request((compared("cka"),), 10))
    assert [shard.last for shard in without.shards({compared("cka").key: 0}, 10, 5)] == [5, 10]


def test_batches_of_different_sizes_are_refused(tmp_path) -> None:
    class Uneven(Stream):
        def batch(self, i: int) -> TokenBatch:
            counted = np.ones((8, 16), bool)
            counted[0, : i % 3] = False
            return TokenBatch(tokens=TOKENS[i], mask=counted)

    bench = Bench(tmp_path)
    bench.stream = lambda data: Uneven()
    with pytest.raises(UserError, match="Batch 2 has 127 rows and batch 1 has 128.*by position"):
        bench.compute([crossed(compared("cka"))], 3)


@pytest.mark.parametrize(
    ("comparison", "sentence"),
    [
        (crossed(compared("linear_predictivity")), "linear predictivity for all pairs of layers has no chance level"),
        (crossed(compared("cka"), 1), "The window of a chance level is 1; expected a whole number of batches from 2"),
        (
            crossed(Comparison("cka", F, G, compared("cka").data, settings=(("massive", "dropped"),))),
            "Without massive tokens, batches have different numbers of rows",
        ),
    ],
)
def test_what_has_no_chance_level_is_refused_before_anything_runs(tmp_path, comparison, sentence) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(UserError, match=sentence):
        bench.compute([comparison], 4)
    assert bench.n_forwards == 0


class Deaf(Model):
    """Features that do not depend on what it reads."""

    def residuals(self, batch):
        made = torch.Generator().manual_seed(int(batch.tokens.sum()) + ord("d"))
        for _ in range(self.n_layers):
            yield torch.randn(8, 16, 6, generator=made)


def test_of_unrelated_models_nothing_is_left_above_chance(tmp_path) -> None:
    bench, c = Bench(tmp_path), compared("cka")
    bench.at_hand["b"] = Deaf("b")
    bench.compute([crossed(c, 8)], 40)
    level = chance_level(crossed_windows(stored_here(bench.store, crossed(c, 8)), "mean_of_ratios"))
    assert np.abs(level.values).max() < 0.02 and level.corrected.mean() < 0.002
    assert level.p_highest > 0.05 and (level.q > 0.05).all()
    bench.at_hand["b"] = Model("b")
    related = compared("mutual_knn")
    bench.compute([crossed(related, 8)], 16)
    assert chance_level(stored_here(bench.store, crossed(related, 8)).windows()).p_mean == 0.001

"""Several measures at once: one forward pass a model and batch, shared preparations made once,
each resumed by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from repdiss_core.base.comparison import Comparison, DataId, ModelId, Request
from repdiss_core.base.errors import UserError
from repdiss_core.data.batches import TokenBatch
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.join import stored_here
from repdiss_core.engine.plan import FeatureGroup, PooledGroup, plan
from repdiss_core.engine.run import Engine
from repdiss_core.engine.stopping import Stopped
from repdiss_core.measures import MEASURES, shared
from repdiss_core.store.cache import ResultStore

DATA = DataId("fake", "eval", "c" * 64, 8, 16, 0)
TOKENS = np.random.default_rng(0).integers(0, 50, (40, 8, 16))
F, G = ModelId("a", "a" * 64), ModelId("b", "b" * 64)
ROWS = (("flatten", "token"),)


class Stream:
    data_id, n_batches = DATA, 40

    def batch(self, i: int) -> TokenBatch:
        return TokenBatch(tokens=TOKENS[i])


class Model:
    """Three layers that depend on the tokens and their places; counts its forward passes."""

    n_layers = 3

    def __init__(self, name: str) -> None:
        made = torch.Generator().manual_seed(ord(name))
        self.table, self.place = torch.randn(3, 50, 6, generator=made), torch.randn(3, 8, 16, 6, generator=made)
        self.n_forwards = 0

    def residuals(self, batch):
        self.n_forwards += 1
        for table, place in zip(self.table, self.place, strict=True):
            yield table[torch.as_tensor(batch.tokens)] + 0.3 * place


class Bench(Engine):
    """An engine over two models at hand."""

    def __init__(self, folder) -> None:
        super().__init__(ResultStore(folder / "local", folder / "packs"), ActivationCache(budget_bytes=0))
        self.at_hand = {name: Model(name) for name in "ab"}

    def load(self, model, resid_mean, dtype="float32", alone=False):
        return self.at_hand[model.name]

    def stream(self, data):
        return Stream()

    def compute(self, comparisons, n_batches: int, should_stop=lambda: False) -> None:
        self.run(Request(tuple(comparisons), n_batches), lambda *progress: None, should_stop)

    @property
    def n_forwards(self) -> int:
        return sum(model.n_forwards for model in self.at_hand.values())


def compared(name: str, **options) -> Comparison:
    spec = MEASURES[name]
    chosen = {o.id: o.default for o in spec.options} | options
    return Comparison(name, F, G, DATA, measure_version=spec.version, settings=(*ROWS, *chosen.items()))


BATCHED = [name for name, spec in MEASURES.items() if spec.of_features and name != "linear_predictivity"]


def test_all_measures_of_features_cost_one_forward_pass_a_model_and_batch(tmp_path) -> None:
    bench = Bench(tmp_path)
    wanted = [compared(name) for name in BATCHED]
    assert [type(group) for group in plan(Request(tuple(wanted), 3))] == [FeatureGroup]
    bench.compute(wanted, 3)
    assert len(BATCHED) >= 8 and bench.n_forwards == 2 * 3
    assert all(stored_here(bench.store, c).n_batches == 3 for c in wanted)


def test_what_measures_share_is_made_once_a_model_and_batch(tmp_path, monkeypatch) -> None:
    made: list[str] = []
    whole = shared.LayerPreparations.__init__
    monkeypatch.setattr(shared.LayerPreparations, "__init__", lambda self, *a: made.append("rows") or whole(self, *a))
    centre = shared.LayerPreparations._centre
    monkeypatch.setattr(shared.LayerPreparations, "_centre", lambda self, *a: made.append("centre") or centre(self, *a))
    gram = shared.symmetric_gram
    monkeypatch.setattr(shared, "symmetric_gram", lambda *a: made.append("gram") or gram(*a))
    Bench(tmp_path).compute(
        [compared(name) for name in ("mutual_knn", "jaccard_knn", "cknna", "procrustes", "svcca")], 2
    )
    assert {what: made.count(what) for what in made} == {"rows": 2 * 2, "centre": 3 * 2 * 2, "gram": 3 * 2 * 2}


@pytest.mark.parametrize("name", [*BATCHED, "linear_predictivity"])
def test_a_measure_alone_and_in_company_and_resumed_has_the_same_bytes(tmp_path, name) -> None:
    options = {"fit_batches": 5} if name == "linear_predictivity" else {}
    c, company = compared(name, **options), [compared(other) for other in BATCHED if other != name]
    alone, together, resumed = (Bench(tmp_path / folder) for folder in ("alone", "together", "resumed"))
    alone.compute([c], 4)
    together.compute([c, *company], 4)
    asked = iter(range(100))
    with pytest.raises(Stopped):
        resumed.compute([c], 4, lambda: next(asked) >= (7 if options else 2))
    assert stored_here(resumed.store, c).n_batches == 2
    resumed.compute([c], 4)
    arrays = [bench.store.get_local(c.key).arrays for bench in (alone, together, resumed)]
    for name, array in arrays[0].items():
        assert all(other[name].tobytes() == array.tobytes() for other in arrays[1:]), name


def test_a_pooled_measure_is_fitted_on_batches_that_it_is_not_scored_on(tmp_path) -> None:
    bench, c = Bench(tmp_path), compared("linear_predictivity", fit_batches=5)
    assert [type(group) for group in plan(Request((c,), 3))] == [PooledGroup]
    bench.compute([c], 3)
    found = stored_here(bench.store, c)
    assert found.values.shape == (3, 3, 3, 2) and bench.n_forwards == 2 * (5 + 3)
    with pytest.raises(UserError, match="holds 40 batches of 128 tokens; 41 were asked for"):
        bench.compute([c], 36)


def test_a_part_of_the_stream_is_measured_once_where_measures_are_at_different_batches(tmp_path) -> None:
    bench = Bench(tmp_path)
    bench.compute([compared("rsa")], 2)
    bench.compute([compared("rsa"), compared("procrustes")], 4)
    assert bench.n_forwards == 2 * 2 + 2 * 4
    assert [stored_here(bench.store, compared(n)).n_batches for n in ("rsa", "procrustes")] == [4, 4]


def test_an_unknown_combination_is_refused_before_anything_runs(tmp_path) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(UserError, match="mutual k-NN has no neighbours 3; choose 5, 10, 20, 50"):
        bench.compute([compared("mutual_knn", k=3)], 2)
    with pytest.raises(UserError, match="Procrustes for all pairs of layers has no setting 'k'"):
        bench.compute([compared("procrustes", k=10)], 2)
    assert bench.n_forwards == 0

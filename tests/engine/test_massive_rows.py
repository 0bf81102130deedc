"""Massive tokens through the feature pass: which rows are left out, what is stored of them,
and that forwards stay linear."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from repdiss_core.base.comparison import Comparison, DataId, ModelId, cka_comparison, in_order
from repdiss_core.base.errors import UserError
from repdiss_core.base.results import BatchHsic
from repdiss_core.data.batches import TokenBatch
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.feature_pass import FeaturePass
from repdiss_core.engine.join import Join, stored_here
from repdiss_core.measures.massive import MULTIPLE, NAMED_TOKENS
from repdiss_core.measures.reduction import reduce_hsic
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.common import CkaView

VOCAB, SEQUENCES, LENGTH, LAYERS = 40, 8, 16, 3
ROWS = SEQUENCES * LENGTH
DATA = DataId("fake", "eval", "c" * 64, SEQUENCES, LENGTH, 0)
HUGE = {"a": (3, 7), "b": (3, 7), "c": (7,), "d": (), "e": (3,)}  # tokens whose embedding is huge in layer 2, by model
# Every batch holds tokens 3 and 7 twice; the rest are others.
TOKENS = np.random.default_rng(0).integers(8, VOCAB, (6, SEQUENCES, LENGTH))
TOKENS[:, 0, 5] = TOKENS[:, 3, 2] = 3
TOKENS[:, 1, 9] = TOKENS[:, 6, 6] = 7


class Stream:
    data_id, n_batches = DATA, 6

    def batch(self, i):
        return TokenBatch(tokens=TOKENS[i])


class Model:
    """Layers of features that depend on token and position alone; counts its forward passes."""

    n_layers, d_model = LAYERS, 12

    def __init__(self, name: str) -> None:
        made = torch.Generator().manual_seed(ord(name))
        self.table = torch.randn(LAYERS, VOCAB, 12, generator=made)
        self.place = torch.randn(LAYERS, SEQUENCES, LENGTH, 12, generator=made)
        self.name, self.n_forwards = name, 0

    def residuals(self, batch):
        self.n_forwards += 1
        tokens = torch.as_tensor(batch.tokens)
        for number, layer in enumerate(self.table):
            h = layer[tokens] + self.place[number]
            if number == 1:
                for token in HUGE[self.name]:
                    h[tokens == token] = h[tokens == token].abs() * 300  # all point roughly one way
            yield h


def compared(f: str, g: str, massive: str, **fields) -> Comparison:
    view = dataclasses.replace(CkaView(massive=massive), **fields)
    return cka_comparison(ModelId(f, f * 64), ModelId(g, g * 64), DATA, settings=view.settings)[0]


class Bench:
    """Models by name and passes over them."""

    def __init__(self, tmp_path) -> None:
        self.store = ResultStore(tmp_path / "local", tmp_path / "packs")
        self.activations = ActivationCache(tmp_path / "none", 0)
        self.models = {name: Model(name) for name in HUGE}

    def run(self, comparisons, n_batches: int = 2) -> list[BatchHsic]:
        load = lambda model, resid_mean: self.models[model.name]  # noqa: E731
        FeaturePass(comparisons, n_batches, Join(self.store, comparisons), self.activations, load, Stream()).run(
            lambda *a: None, lambda: False
        )
        return [stored_here(self.store, c) for c in comparisons]


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def test_rows_that_are_massive_in_either_model_are_dropped_for_both(bench) -> None:
    pairs = {"aa": 4, "bd": 4, "cd": 2, "cc": 2, "ce": 4, "dd": 0}
    for pair, found in zip(pairs, bench.run([compared(*pair, "dropped") for pair in pairs]), strict=True):
        assert found.n_tokens.tolist() == [ROWS - pairs[pair]] * 2, pair


def test_shared_massive_tokens_make_the_layer_look_alike_and_dropping_them_undoes_it(bench) -> None:
    kept, dropped, unit = (
        reduce_hsic(one).values
        for one in bench.run([compared("a", "b", way) for way in ("kept", "dropped", "normalised")])
    )
    assert kept[1, 1] > 0.95
    assert abs(dropped[1, 1]) < 0.15 and abs(unit[1, 1]) < 0.15
    others = [[0, 0, 2, 2], [0, 2, 0, 2]]
    np.testing.assert_allclose(kept[*others], dropped[*others], atol=0.05)


def test_dropping_from_models_without_massive_tokens_gives_the_same_bytes_and_prepares_nothing_anew(
    bench, monkeypatch
) -> None:
    from repdiss_core.measures import cka

    prepare, calls = cka.prepare, []
    monkeypatch.setattr(cka, "prepare", lambda layers, **fields: calls.append(1) or prepare(layers, **fields))
    kept, dropped = bench.run([compared("d", "d", "kept"), compared("d", "d", "dropped")])
    assert all(getattr(kept, name).tobytes() == getattr(dropped, name).tobytes() for name in BatchHsic.ARRAYS)
    assert len(calls) == 2, "once a batch"
    assert kept.massive == {} and set(dropped.massive) == {"peak_f", "peak_g", "tokens_f", "tokens_g"}


def test_peaks_and_tokens_are_stored_extended_transposed_and_read_back(bench) -> None:
    (first,) = bench.run([compared("b", "c", "dropped")], 2)
    (grown,) = bench.run([compared("b", "c", "dropped")], 5)
    assert grown.massive["peak_f"].shape == grown.massive["peak_g"].shape == (5, LAYERS)
    assert grown.massive["tokens_f"].shape == grown.massive["tokens_g"].shape == (5, NAMED_TOKENS)
    assert all(a[:2].tobytes() == first.massive[name].tobytes() for name, a in grown.massive.items())
    assert (grown.massive["peak_g"][:, 1] > 100).all() and (grown.massive["peak_g"][:, [0, 2]] < MULTIPLE).all()
    assert [sorted(row.tolist()) for row in grown.massive["tokens_f"]] == [[-1, -1, -1, -1, 3, 3, 7, 7]] * 5
    assert grown.massive["tokens_g"].tolist() == [[7, 7, -1, -1, -1, -1, -1, -1]] * 5
    turned = grown.transposed()
    np.testing.assert_array_equal(turned.massive["tokens_f"], grown.massive["tokens_g"])
    np.testing.assert_array_equal(turned.massive["peak_g"], grown.massive["peak_f"])
    assert turned.transposed().to_arrays()[0].keys() == grown.to_arrays()[0].keys()
    assert grown.first(3).massive["peak_f"].shape == (3, LAYERS)


def test_what_is_known_of_massive_tokens_has_a_row_a_batch() -> None:
    one = np.ones((2, 1, 1)), np.ones((2, 1)), np.ones((2, 1)), np.ones(2)
    with pytest.raises(UserError, match="2 batches, but what it says of massive tokens has another number"):
        BatchHsic(*one, massive={"peak_f": np.ones((3, 1))})


def test_models_all_against_all_in_all_three_ways_still_cost_one_forward_each_a_batch(bench) -> None:
    names = "abcde"
    pairs = [(f, g) for i, f in enumerate(names) for g in names[i:]]
    bench.run([compared(f, g, way) for f, g in pairs for way in ("kept", "dropped", "normalised")], 3)
    assert [model.n_forwards for model in bench.models.values()] == [3] * 5


def test_maps_with_all_tokens_keep_the_key_that_they_had_before_there_was_a_choice() -> None:
    kept, dropped, unit = (compared("a", "b", way) for way in ("kept", "dropped", "normalised"))
    assert json.dumps(kept.to_dict()["settings"], sort_keys=True) == '{"estimator": "unbiased", "flatten": "token"}'
    assert kept.key == "4a0bcb6d137163e56a98368745d97f99a9f351f54564be530bcf7d07adff5d73"
    assert dropped.setting("massive_multiple") == MULTIPLE and unit.setting("massive_multiple") is None
    assert len({c.key for c in (kept, dropped, unit)}) == 3


def test_dropping_tokens_where_rows_are_sequences_is_refused() -> None:
    with pytest.raises(UserError, match=r"here each row is a sequence\. Choose rows of tokens"):
        compared("a", "b", "dropped", flatten="sample")


def test_a_map_with_all_rows_says_which_are_massive_and_what_they_carry(bench) -> None:
    (found,) = bench.run([compared("b", "c", "kept")])
    assert set(found.massive) == set(BatchHsic.MASSIVE)
    assert found.massive["count_f"].tolist() == [[0, 4, 0]] * 2 and found.massive["count_g"].tolist() == [[0, 2, 0]] * 2
    assert sorted(found.massive["rows_f"][0]) == [-1, -1, -1, -1, 5, 16 + 9, 3 * 16 + 2, 6 * 16 + 6]
    assert sorted(found.massive["rows_g"][0][:2]) == [16 + 9, 6 * 16 + 6]
    places, ids = found.massive["rows_f"][1], found.massive["tokens_f"][1]
    assert TOKENS[1].reshape(-1)[places[:4]].tolist() == ids[:4].tolist()
    share = found.massive["share_f"]
    assert (share[:, 1] > 0.99).all() and (share[:, [0, 2]] == 0).all()


def test_what_massive_rows_carry_is_their_part_of_hsic_for_every_estimator_and_of_squares_elsewhere(bench) -> None:
    from repdiss_core.measures.hsic import u_centred

    views = [{"estimator": name} for name in ("unbiased", "biased", "sequence_aware")]
    found = bench.run([compared("a", "a", "kept", **view) for view in views], 1)
    x = next(h for i, h in enumerate(bench.models["a"].residuals(Stream().batch(0))) if i == 1).reshape(ROWS, -1)
    x = x.double().numpy()
    massive = np.isin(TOKENS[0].reshape(-1), (3, 7))
    squares = u_centred(x @ x.T) ** 2
    expected = squares[massive | massive[:, None]].sum() / squares.sum()
    for one in found:
        assert one.massive["share_f"][0, 1] == pytest.approx(expected, rel=1e-6)
    centred = ((x - x.mean(axis=0)) ** 2).sum(axis=1)
    (fit,) = bench.run([made_by("procrustes", "a", "a")], 1)
    assert fit.massive["share_f"][0, 1] == pytest.approx(centred[massive].sum() / centred.sum(), rel=1e-9)
    (ranks,) = bench.run([made_by("rsa", "a", "a")], 1)
    assert ranks.massive["count_f"].tolist() == [[0, 4, 0]] and (ranks.massive["share_f"] == 0).all()


def made_by(measure: str, f: str, g: str) -> Comparison:
    settings = CkaView(measure=measure).settings
    return in_order(measure, True, ModelId(f, f * 64), ModelId(g, g * 64), DATA, settings=settings)[0]


@pytest.mark.parametrize("massive", ["dropped", "normalised"])
def test_maps_that_massive_rows_cannot_decide_hold_what_they_held_before(bench, massive) -> None:
    (found,) = bench.run([compared("a", "b", massive)])
    assert set(found.massive) == ({"peak_f", "peak_g", "tokens_f", "tokens_g"} if massive == "dropped" else set())
    (sequences,) = bench.run([compared("a", "b", "kept", flatten="sample")])
    assert sequences.massive == {}


def test_batches_without_massive_rows_join_those_that_have_them() -> None:
    one = np.ones((2, 1, 1)), np.ones((2, 1)), np.ones((2, 1)), np.ones(2)
    plain = BatchHsic(*one)
    known = {"share_f": np.full((2, 1), 0.7), "rows_f": np.array([[4, -1], [9, 2]]), "count_f": np.array([[1], [2]])}
    whole = BatchHsic.joined([plain, BatchHsic(*one, massive=known)])
    assert whole.massive["share_f"].tolist() == [[0], [0], [0.7], [0.7]]
    assert whole.massive["rows_f"].tolist() == [[-1, -1], [-1, -1], [4, -1], [9, 2]]
    assert whole.massive["count_f"].dtype == known["count_f"].dtype
    assert BatchHsic.joined([plain, plain]).massive == {}

"""The population pass: values against plain loops, one forward a model and batch, append-only chunks, bad input."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from test_bert import tiny_bert

from repdiss_core.base.comparison import Comparison, ModelId, cka_comparison
from repdiss_core.base.errors import UserError
from repdiss_core.base.layer_pairs import SAME
from repdiss_core.data import nli
from repdiss_core.engine.join import Join, stored_here
from repdiss_core.engine.same_layer_pass import SameLayerPass
from repdiss_core.engine.stopping import Stopped
from repdiss_core.store.cache import ResultStore

STREAM = nli.open_nli("in_distribution/tokens", 4, 32, 0)


def pair(f: str, g: str, hook: str = "mlp_out") -> Comparison:
    fields = {"layer_pairs": SAME, "hook": hook, "resid_mean": "kept", "settings": (("estimator", "unbiased"),)}
    return cka_comparison(ModelId(f, f * 64), ModelId(g, g * 64), STREAM.data_id, **fields)[0]


def all_pairs(names: str) -> list[Comparison]:
    return [pair(f, g) for i, f in enumerate(names) for g in names[i + 1 :]]


class Bench:
    """Three-layer models by name, and passes over them into a store of their own."""

    def __init__(self, folder: Path, depths: dict[str, int] | None = None) -> None:
        self.store = ResultStore(folder / "local", folder / "packs")
        self.models = {
            name: tiny_bert(seed, name=name, n_layers=(depths or {}).get(name, 3)) for seed, name in enumerate("abcd")
        }

    def run(self, comparisons: list[Comparison], n_batches: int, should_stop=lambda: False) -> None:
        join = Join(self.store, comparisons)
        SameLayerPass(comparisons, n_batches, join, lambda m, _: self.models[m.name], STREAM).run(
            lambda *_: None, should_stop
        )

    @property
    def n_forwards(self) -> int:
        return sum(model.n_forwards for model in self.models.values())


def plain_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. (2012), equation 5, term by term in loops over rows."""
    n = len(x)
    k = [[0.0 if i == j else sum(a * b for a, b in zip(x[i], x[j], strict=True)) for j in range(n)] for i in range(n)]
    m = [[0.0 if i == j else sum(a * b for a, b in zip(y[i], y[j], strict=True)) for j in range(n)] for i in range(n)]
    trace = sum(k[i][j] * m[j][i] for i in range(n) for j in range(n))
    rows_k, rows_m = [sum(row) for row in k], [sum(row) for row in m]
    crossed = sum(rows_k[i] * rows_m[i] for i in range(n))
    return (trace + sum(rows_k) * sum(rows_m) / ((n - 1) * (n - 2)) - 2 / (n - 2) * crossed) / (n * (n - 3))


def features_of(model, batch, layer: int) -> list[list[float]]:
    """The dense output of one block at each word, from a whole forward pass of transformers, without padding."""
    import torch

    caught = []
    dense = model.network.bert.encoder.layer[layer - 1].output.dense
    handle = dense.register_forward_hook(lambda _m, _i, output: caught.append(output))
    ends = np.cumsum(batch.tokens == nli.SEP, axis=1)
    types = torch.from_numpy(((ends > 0) & ~((ends == 1) & (batch.tokens == nli.SEP))).astype(np.int64))
    tokens, mask = (torch.from_numpy(a.astype(np.int64)) for a in (batch.tokens, batch.mask))
    with torch.no_grad():
        model.network(input_ids=tokens, attention_mask=mask, token_type_ids=types)
    handle.remove()
    rows = batch.mask if batch.rows is None else batch.rows
    return [caught[0][i, t].double().tolist() for i in range(rows.shape[0]) for t in range(rows.shape[1]) if rows[i, t]]


@pytest.mark.parametrize(("f", "g", "layer"), [("a", "b", 1), ("b", "c", 3)])
def test_two_cells_equal_plain_loops(tmp_path, f, g, layer) -> None:
    bench = Bench(tmp_path)
    bench.run(all_pairs("abc"), 1)
    found = stored_here(bench.store, pair(f, g))
    x, y = (features_of(bench.models[name], STREAM.batch(0), layer) for name in (f, g))
    cka = found.cross[0, layer - 1] / np.sqrt(found.self_f[0, layer - 1] * found.self_g[0, layer - 1])
    plain = plain_hsic(x, y) / np.sqrt(plain_hsic(x, x) * plain_hsic(y, y))
    assert found.n_tokens[0] == len(x)
    assert abs(plain) > 1e-3
    assert cka == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("names", ["ab", "abc", "abcd"])
def test_forward_passes_grow_with_models_not_pairs(tmp_path, names) -> None:
    bench = Bench(tmp_path)
    bench.run(all_pairs(names), 2)
    assert bench.n_forwards == 2 * len(names)


def test_more_chunks_extend_what_is_stored(tmp_path) -> None:
    once, twice = Bench(tmp_path / "once"), Bench(tmp_path / "twice")
    once.run(all_pairs("abc"), 3)
    twice.run(all_pairs("abc"), 1)
    first = stored_here(twice.store, pair("a", "c"))
    twice.run(all_pairs("abc"), 3)
    whole = stored_here(twice.store, pair("a", "c"))
    assert twice.n_forwards == once.n_forwards == 9
    assert (first.n_batches, whole.n_batches) == (1, 3)
    np.testing.assert_array_equal(whole.cross[:1], first.cross)
    np.testing.assert_array_equal(whole.cross, stored_here(once.store, pair("a", "c")).cross)


def test_a_pair_gives_the_same_bytes_alone_and_in_a_population(tmp_path) -> None:
    alone, together = Bench(tmp_path / "alone"), Bench(tmp_path / "together")
    alone.run([pair("b", "d")], 2)
    together.run(all_pairs("abcd"), 2)
    one, other = (stored_here(bench.store, pair("b", "d")) for bench in (alone, together))
    for name in ("cross", "self_f", "self_g"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_stopped_pass_keeps_its_chunks_and_goes_on(tmp_path) -> None:
    bench = Bench(tmp_path)
    asked = iter((False, False, True))
    with pytest.raises(Stopped):
        bench.run(all_pairs("ab"), 3, lambda: next(asked))
    assert stored_here(bench.store, pair("a", "b")).n_batches == 2
    bench.run(all_pairs("ab"), 3)
    assert stored_here(bench.store, pair("a", "b")).n_batches == 3
    assert bench.n_forwards == 6


def test_bad_input_is_told_in_a_sentence(tmp_path) -> None:
    uneven = Bench(tmp_path / "uneven", {"b": 4})
    with pytest.raises(
        UserError,
        match=r"equation \(2\) pairs layer l with layer l, but the models differ in depth \(a 3 and b 4 layers\)",
    ):
        uneven.run([pair("a", "b")], 1)
    most = STREAM.n_batches
    with pytest.raises(
        UserError, match=rf"holds {most} chunks of feature rows; {most + 1} were asked for. Ask for at most {most}"
    ):
        Bench(tmp_path / "many").run([pair("a", "b")], most + 1)
    with pytest.raises(UserError, match="has no features at 'attn_out'; choose mlp_out or resid_post"):
        Bench(tmp_path / "hook").run([pair("a", "b", "attn_out")], 1)

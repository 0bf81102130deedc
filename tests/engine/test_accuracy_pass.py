"""Identity-stitching accuracy: against plain loops and hook replacement, its edge cuts, forward counts, bad input."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from test_bert import LABELS, tiny_bert, whole_forward

from repdiss_core.base.comparison import Comparison, DataId, ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.base.layer_pairs import CUTS
from repdiss_core.data import nli
from repdiss_core.data.batches import TokenBatch
from repdiss_core.engine.accuracy_pass import read_items, run_accuracies


@pytest.fixture(scope="module")
def models():
    return {name: tiny_bert(seed, name=name) for seed, name in enumerate(("a", "b", "c"))}


def pair(f: str, g: str, items: int = 60, scoring: str = "exact", split: str = "in_distribution") -> Comparison:
    data = nli.open_nli(split, 25, 32, 0).data_id
    return Comparison(
        "stitched_accuracy",
        ModelId(f, f),
        ModelId(g, g),
        data,
        CUTS,
        resid_mean="kept",
        settings=(("items", items), ("scoring", scoring)),
    )


def measure(comparisons, models, stream=None, **arguments):
    kept: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    first = comparisons[0].data
    stream = stream or nli.open_nli(first.split, 25, 32, 0)
    run_accuracies(
        comparisons,
        lambda m: models[m.name],
        stream,
        lambda c, result: kept.update({(c.f.name, c.g.name): result.to_arrays()[0]}),
        **arguments,
    )
    return kept


def hook_replaced(f, g, cut: int, batch: TokenBatch) -> np.ndarray:
    """Predictions of a whole forward pass of g in which the input of block cut+1 (or of the pooler) is f's residual."""
    hidden = whole_forward(f, batch).hidden_states[cut]
    layers = g.network.bert.encoder.layer
    if cut == len(layers):
        with torch.no_grad():
            return g.head(hidden, batch).argmax(-1).numpy()
    handle = layers[cut].register_forward_pre_hook(lambda _m, arguments: (hidden, *arguments[1:]))
    try:
        return whole_forward(g, batch).logits.argmax(-1).numpy()
    finally:
        handle.remove()


def test_every_cut_equals_a_whole_forward_with_the_residual_replaced(models):
    wanted = [pair(f, g) for f, g in (("a", "b"), ("b", "a"), ("a", "c"))]
    found = measure(wanted, models)
    stream = nli.open_nli("in_distribution", 60, 32, 0)
    batch = stream.batch(0)
    answers = set()
    for (f, g), arrays in found.items():
        assert arrays["correct"].shape == (4, 60) and arrays["correct"].dtype == np.uint8
        for cut in range(4):
            predicted = hook_replaced(models[f], models[g], cut, batch)
            answers |= set(predicted.tolist())
            assert np.array_equal(arrays["correct"][cut], predicted == batch.labels), (f, g, cut)
    assert len(answers) > 1


def test_a_model_stitched_into_itself_is_itself_at_every_cut(models):
    arrays = measure([pair("b", "b")], models)["b", "b"]
    own = whole_forward(models["b"], nli.open_nli("in_distribution", 60, 32, 0).batch(0)).logits.argmax(-1).numpy()
    right = own == nli.encoded("in_distribution")[1][:60]
    assert (
        (arrays["correct"] == right).all()
        and np.array_equal(arrays["own_f"], right)
        and np.array_equal(arrays["own_g"], right)
    )


def test_cut_0_with_shared_embeddings_is_g_alone_and_the_last_cut_with_a_shared_head_is_f_alone(models):
    f, g = tiny_bert(3, name="f"), tiny_bert(4, name="g")
    g.network.bert.embeddings.load_state_dict(f.network.bert.embeddings.state_dict())
    g.network.bert.pooler.load_state_dict(f.network.bert.pooler.state_dict())
    g.network.classifier.load_state_dict(f.network.classifier.state_dict())
    arrays = measure([pair("f", "g")], {"f": f, "g": g})["f", "g"]
    assert np.array_equal(arrays["correct"][0], arrays["own_g"]) and np.array_equal(
        arrays["correct"][-1], arrays["own_f"]
    )


def test_the_bottom_model_runs_once_for_all_cuts_and_tops(models):
    for model in models.values():
        model.n_forwards = 0
    measure([pair("a", g) for g in "abc"], models)
    # Once by itself, and "a" once more as the bottom
    assert models["a"].n_forwards == 1 + 1 and models["b"].n_forwards == 1


def test_alone_and_in_company_a_pair_gets_the_same_bytes(models):
    company = measure([pair(f, g) for f in "abc" for g in "abc"], models)
    alone = measure([pair("c", "b")], models)
    assert np.array_equal(company["c", "b"]["correct"], alone["c", "b"]["correct"])


def test_scoring_counts_neutral_and_contradiction_as_one_answer(models):
    exact = measure([pair("a", "b", scoring="exact", split="lexical_overlap")], models)["a", "b"]
    merged = measure([pair("a", "b", scoring="entailment_or_not", split="lexical_overlap")], models)["a", "b"]
    assert (merged["correct"] >= exact["correct"]).all()
    batch = nli.open_nli("lexical_overlap", 60, 32, 0).batch(0)
    assert np.array_equal(merged["own_g"], whole_forward(models["b"], batch).logits.argmax(-1).numpy() != 0)


def test_stopping_keeps_finished_bottom_models(models):
    asked = []
    found = measure([pair(f, "c") for f in "abc"], models, should_stop=lambda: len(asked) >= 1 or bool(asked.append(1)))
    assert set(found) == {("a", "c")}


class Unlabelled:
    data_id = DataId("text", "eval", "0", 4, 32)
    n_batches = 1

    def batch(self, i: int) -> TokenBatch:
        return TokenBatch(np.ones((4, 32), dtype=np.int64))


def test_bad_input_is_told(models):
    with pytest.raises(UserError, match="text/eval has no labels"):
        read_items(Unlabelled(), 4)
    with pytest.raises(UserError, match="nli/in_distribution holds 1000 items; 1001 were asked for"):
        measure([pair("a", "b", items=1001)], models)
    with pytest.raises(UserError, match="no scoring 'half'"):
        measure([pair("a", "b", scoring="half")], models)
    deep = {**models, "d": tiny_bert(0, n_layers=4, name="d")}
    with pytest.raises(UserError, match="a has 3 layers of width 16 and d 4 of width 16"):
        measure([pair("a", "d")], deep)
    two = {**models, "d": tiny_bert(0, name="d", labels=("entailment", "non-entailment"))}
    with pytest.raises(
        UserError, match="a tells entailment, neutral, contradiction apart and d entailment, non-entailment"
    ):
        measure([pair("a", "d")], two)
    turned = {**models, "d": tiny_bert(0, name="d", labels=LABELS[::-1])}
    with pytest.raises(UserError, match="same labels in another order"):
        measure([pair("a", "d")], turned)
    with pytest.raises(UserError, match="no pair of models"):
        run_accuracies([], lambda m: models[m.name], None, print)
    odd = {name: tiny_bert(0, name=name, labels=("yes", "no", "perhaps")) for name in "ab"}
    with pytest.raises(UserError, match="needs a label named entailment"):
        measure([pair("a", "b", scoring="entailment_or_not")], odd)

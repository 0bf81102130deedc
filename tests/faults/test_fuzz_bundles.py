"""Bundles of any content, also of strangers who know the format: a sentence, or results that pages can read;
nothing outside the cache."""

from __future__ import annotations

import json
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from faulting import F, G
from fuzzing import JSON, LIMIT_S, TEXT, Bomb, fuzzed
from hypothesis import given
from hypothesis import strategies as some

from repdiss_core import hub
from repdiss_core.base.comparison import Comparison
from repdiss_core.base.errors import UserError
from repdiss_core.base.layer_pairs import ALL
from repdiss_core.base.layer_pairs import CUTS as EVERY_CUT
from repdiss_core.base.layer_pairs import SAME as SAME_LAYERS
from repdiss_core.base.results import StitchResult
from repdiss_core.models import model_spec
from repdiss_core.runs.bundle import FORMAT, import_bundle
from repdiss_core.store.cache import ResultStore
from repdiss_core.store.storage import checksum
from repdiss_core.studies import panels
from repdiss_core.studies.common import CkaView, cka_panel, data_id, same_layer_curve, token_comparison
from repdiss_core.studies.generalization.question import PopulationParams, cka_pairs, models_of, stitched_pairs
from repdiss_core.studies.population import load_accuracy, load_cka
from repdiss_core.studies.presets import preset
from repdiss_core.studies.tokens import token_table

pytestmark = pytest.mark.usefixtures("nothing_planted")
COMMIT = "a" * 40
SHAPE = ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size", "max_position_embeddings")
CONFIG = {"model_type": "gpt_neox", "rotary_pct": 0.5, "hidden_act": "gelu", "intermediate_size": 8} | dict(
    zip(SHAPE, (2, 8, 2, 20, 16), strict=True)
)
PINS = {
    "model:org/x@main": {"commit": COMMIT, "files": {"model.safetensors": 9}},
    "config:org/x": CONFIG,
    "tokenizer:org/x": "b" * 64,
}
SIZES = some.sampled_from(
    [0, -1, 1, 3, 10**12, 2**64, 1.5, "8", None, True, [], {}, float("nan"), float("inf"), "9" * 5000]
)


def whole() -> dict[str, tuple[dict[str, np.ndarray], dict]]:
    """A right result of each kind, by key."""
    setting = preset("tiny")
    data, params, (a, b) = (
        data_id(setting, "eval"),
        PopulationParams(population="constructed"),
        models_of("constructed")[:2],
    )
    stitch = same_layer_curve("f → g", F, G, "stitch", setting, "tiny", "stitching").comparisons[0]
    token, _ = token_comparison((F, 1), (G, 1), CkaView(), data)
    depth, n, one = model_spec(a).n_layers, np.arange(1.0, 9.0), np.ones(2)
    shape = (data.sequences_per_batch, data.tokens_per_sequence)
    hsic = {
        "cross": np.ones((2, 3, 3)),
        "self_f": np.ones((2, 3)),
        "self_g": np.ones((2, 3)),
        "n_tokens": np.array([9, 9]),
    }
    layers = {name: np.ones((2, depth)) for name in ("cross", "self_f", "self_g")} | {"n_tokens": np.array([9, 9])}
    losses = StitchResult(*stitch.layer_pair, n, n[:0], n, n, one, one, 3, 3)
    tokens = {"tokens": np.zeros(shape, np.int64), "cosine": np.ones(shape), "contribution": np.ones(shape)}
    found = (
        (cka_panel(F, G, CkaView(), data).comparison, hsic, {"notes": ["seen"]}),
        (cka_pairs(params, "in_distribution", (a, b))[min(a, b), max(a, b)], layers, {}),
        (
            stitched_pairs(params, "lexical_overlap", (a, b))[a, b],
            {"correct": np.ones((depth + 1, 4)), "own_f": np.ones(4), "own_g": np.ones(4)},
            {},
        ),
        (stitch, *losses.to_arrays()),
        (token, tokens, {}),
    )
    made = {"threads": 1, "versions": {"torch": "2"}}
    return {
        c.key: (arrays, {"provenance": made} | meta | {"comparison": c.to_dict(), "key": c.key, "stored_at": 1.0})
        for c, arrays, meta in found
    }


WHOLE = whole()
PLACES = ("comparison", "key", "stored_at", "notes", "provenance", "layer_f", "layer_g", "steps", "steps_done")
PARTS = ("name", "weights", "split", "tokens_per_sequence")
INNER = ("f", "g", "data", "measure", "layer_pairs", "settings", "hook", "dtype", "measure_version")


@some.composite
def other_array(draw) -> np.ndarray:
    """A small array of any type and shape that safetensors can hold."""
    kind = draw(some.sampled_from(("float64", "float32", "float16", "int64", "uint8", "bool")))
    return np.ones(draw(some.lists(some.integers(0, 4), max_size=4)), dtype=kind)


@some.composite
def forged(draw) -> bytes:
    """A bundle in which a few things are other than they should be; mostly signed anew by one who knows how."""
    arrays, metas = (
        {key: dict(a) for key, (a, _) in WHOLE.items()},
        {key: json.loads(json.dumps(m)) for key, (_, m) in WHOLE.items()},
    )
    pins, stated, names = json.loads(json.dumps(PINS)), {"format": FORMAT}, {key: key for key in WHOLE}
    for _ in range(draw(some.integers(0, 3))):
        key = draw(some.sampled_from(sorted(WHOLE)))
        what = draw(
            some.sampled_from(
                ("array", "lost", "more", "meta", "comparison", "model", "name", "pin", "config", "format")
            )
        )
        name = draw(some.sampled_from(sorted(WHOLE[key][0])))
        if what in ("array", "more"):
            arrays[key][name if what == "array" else draw(TEXT)] = draw(other_array())
        elif what == "lost":
            arrays[key].pop(name, None)
        elif what == "meta":
            metas[key][draw(some.sampled_from(PLACES))] = draw(JSON | SIZES)
        elif what in ("comparison", "model") and isinstance(metas[key].get("comparison"), dict):
            one = (
                metas[key]["comparison"]
                if what == "comparison"
                else metas[key]["comparison"].get(draw(some.sampled_from(("f", "g", "data"))))
            )
            if isinstance(one, dict):
                one[draw(some.sampled_from(INNER if what == "comparison" else PARTS))] = draw(JSON | TEXT)
        elif what == "name":
            names[key] = draw(TEXT)
        elif what == "pin":
            kind = draw(some.sampled_from(("model", "dataset", "tokenizer", "config", "other")))
            files = draw(JSON | some.dictionaries(TEXT | some.sampled_from(("/etc/x", "../x", "x")), SIZES, max_size=2))
            repo = draw(some.sampled_from(("org/x", "../..", "a")) | TEXT)
            pins[f"{kind}:{repo}@main"] = draw(JSON | some.just({"commit": COMMIT, "files": files}))
        elif what == "config":
            pins["config:org/x"] = CONFIG | draw(
                some.dictionaries(some.sampled_from(sorted(CONFIG)), SIZES | JSON, max_size=3)
            )
        else:
            stated["format"] = draw(TEXT)
    return _packed(draw, arrays, metas, pins, stated, names)


def _packed(draw, arrays, metas, pins, stated, names) -> bytes:
    index, sign = {}, draw(some.sampled_from((True, True, True, False)))
    for key, meta in metas.items():
        name = names[key]
        if sign and name == key:
            try:
                name = Comparison.from_dict(meta["comparison"]).key
            except (TypeError, KeyError, AttributeError, ValueError):
                name = key
        try:
            digest = checksum(arrays[key], meta) if sign else "0" * 64
        except ValueError:  # what cannot be signed, such as NaN
            digest = "0" * 64
        index[name] = {"meta": meta, "arrays": sorted(arrays[key]), "sha256": digest}
        names[key] = name
    flat = {f"{names[key]}/{name}": array for key, named in arrays.items() for name, array in named.items()}
    told = {**stated, "entries": json.dumps(index), "pins": json.dumps(pins)}
    clean = {_text(k): _text(v) for k, v in told.items()}
    return safetensors.numpy.save({_text(name): np.ascontiguousarray(a) for name, a in flat.items()}, metadata=clean)


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@some.composite
def any_bundle(draw) -> bytes:
    """Forged, damaged, or any bytes."""
    kind = draw(some.sampled_from(("forged", "forged", "forged", "damaged", "any", "pickle")))
    if kind == "any":
        return draw(some.binary(max_size=300))
    if kind == "pickle":
        return pickle.dumps(Bomb()) + draw(some.binary(max_size=8))
    data = draw(forged())
    if kind == "damaged":
        changed = bytearray(data)
        for at, value in draw(
            some.lists(some.tuples(some.integers(0, 10**6), some.integers(0, 255)), min_size=1, max_size=4)
        ):
            changed[at % len(changed)] = value
        data = bytes(changed[: draw(some.none() | some.integers(0, len(changed)))])
    return data


@pytest.fixture
def place(own_cache, tmp_path):
    """(store, path of the bundle, what lies in the cache when it is empty)."""
    store = ResultStore(own_cache / "local", own_cache / "packs")
    hub.remember("model:org/other@main", {"commit": COMMIT, "files": {}})
    return store, tmp_path / "bundle.safetensors", own_cache


@fuzzed("bundles of results")
@given(any_bundle())
def test_bundles_of_any_content(place, data) -> None:
    store, path, root = place
    store.problems.clear()
    path.write_bytes(data)
    pins_before, began = hub.everything(), time.process_time()
    try:
        import_bundle(store, path)
    except UserError as error:
        assert len(str(error)) < 1000 and "Traceback" not in str(error)
        assert store.keys("imported") == [] and hub.everything() == pins_before
    else:
        read_as_pages_do(store)
    assert time.process_time() - began < LIMIT_S
    made = [p.relative_to(root) for p in root.rglob("*") if p.is_file() and p.parent != store.imported_folder]
    assert all(p.parts[:2] in (("local", "results"), ("local", "hub"), ("local", "data")) for p in made), made
    assert {p.name for p in path.parent.iterdir()} == {"here", path.name}
    for kept in store.imported_folder.glob("*"):
        kept.unlink()
    (Path(root) / "local" / "hub" / "pins.json").unlink()
    hub.remember("model:org/other@main", {"commit": COMMIT, "files": {}})


def read_as_pages_do(store: ResultStore) -> None:
    """Every way that the shown results are looked up; the hub's facts too."""
    for key in store.keys("imported"):
        entry = store.get(key)
        assert entry is not None and store.problems == []
        comparison = Comparison.from_dict(entry.meta["comparison"])
        if comparison.measure == "token_alignment":
            token_table(store, comparison)
        elif comparison.layer_pairs == ALL:
            panels.load_matrix(store, cka_panel(F, G, CkaView(), comparison.data), "mean_of_ratios", 10)
            panels.load_hsic(store, comparison)
        elif comparison.layer_pairs == SAME_LAYERS:
            load_cka(store, {(comparison.f.name, comparison.g.name): comparison}, 2)
        elif comparison.layer_pairs == EVERY_CUT:
            load_accuracy(store, {(comparison.f.name, comparison.g.name): comparison})
        else:
            panels.load_stitch(store, comparison)[0].penalty.mean()
    for fact in hub.everything():
        kind, _, repo = fact.partition(":")
        if kind in ("config", "model"):
            try:
                assert model_spec(f"hub:{repo}").n_layers >= 1
            except UserError:
                continue


def test_the_bundle_that_is_forged_is_right_itself(place) -> None:
    store, path, _ = place
    path.write_bytes(signed(WHOLE))
    assert import_bundle(store, path).n_results == len(WHOLE) == 5
    read_as_pages_do(store)
    assert model_spec("hub:org/x@main").n_layers == 2


CKA, SAME, CUTS, STITCH, TOKEN = WHOLE


@pytest.mark.parametrize(
    ("key", "arrays", "plain", "sentence"),
    [
        (CKA, {"cross": np.ones((2, 3))}, {}, r"is none of 'cka' \(ValueError\); nothing was kept"),
        (CKA, {"self_f": np.ones((2, 4))}, {}, "shapes disagree: cross"),
        (CKA, {"cross": np.ones((2, 2, 3)), "self_f": np.ones((2, 2))}, {}, "layers of f disagree: 2 and 3"),
        (CKA, {"tokens_f": np.ones(2, np.int64)}, {}, "ids and places of massive tokens are a row a batch"),
        (CKA, {"peak_f": np.ones((2, 9))}, {}, r"the shape of peaks disagree: \(2, 9\) and \(2, 3\)"),
        (CKA, {"more": np.ones(2)}, {}, "it has arrays besides cross"),
        (CKA, {"cross": np.ones((2, 3, 3), bool)}, {}, "a result consists of arrays of numbers"),
        (CKA, {}, {"notes": [1]}, "its notes are sentences"),
        (CKA, {}, {"provenance": {"threads": "many"}}, "its provenance names versions and a number of threads"),
        (CKA, {}, {"stored_at": -1}, "it says when it was stored in seconds"),
        (CKA, {}, {"key": "f" * 64}, "passes for another comparison than it holds"),
        (SAME, {"n_tokens": np.ones(3)}, {}, "SameLayerHsic shapes disagree"),
        (CUTS, {"own_f": np.ones(3)}, {}, "the number of items disagree"),
        (CUTS, {"correct": np.ones((0, 4))}, {}, "an accuracy has cuts and items"),
        (STITCH, {}, {"steps": 1}, "layers and steps of a stitch are whole numbers"),
        (STITCH, {}, {"layer_f": 9}, "the pair of layers disagree"),
        (STITCH, {"loss": np.ones((8, 1))}, {}, "losses of a stitch are a number a sequence"),
        (STITCH, {"loss": np.ones(5)}, {}, "5 losses for 8 sequences"),
        (STITCH, {"step": np.ones(5)}, {}, "the number of points disagree: 5 and 2"),
        (TOKEN, {"cosine": np.ones((1, 1))}, {}, "the shape of cosine disagree"),
        (TOKEN, {"tokens": np.ones_like(WHOLE[TOKEN][0]["cosine"])}, {}, "ids of tokens are whole numbers"),
    ],
)
def test_what_a_page_could_not_read_is_refused_with_the_reason(place, key, arrays, plain, sentence) -> None:
    store, path, _ = place
    forged = {k: (a | (arrays if k == key else {}), m | (plain if k == key else {})) for k, (a, m) in WHOLE.items()}
    path.write_bytes(signed(forged))
    with pytest.raises(UserError, match=sentence):
        import_bundle(store, path)
    assert store.keys("imported") == []


@pytest.mark.parametrize(
    "change",
    [{"num_hidden_layers": 10**9}, {"num_attention_heads": 0}, {"vocab_size": -1}, {"hidden_size": float("inf")}],
)
def test_a_configuration_that_would_stall_a_page_is_refused(place, change) -> None:
    store, path, _ = place
    path.write_bytes(signed(WHOLE, PINS | {"config:org/x": CONFIG | change}))
    with pytest.raises(UserError, match="names revisions of the hub in a form that is not ours; nothing was kept"):
        import_bundle(store, path)


def signed(results, pins=PINS) -> bytes:
    """A bundle whose hashes are right, whatever it holds."""
    return _packed(
        _Always(),
        *({k: v[i] for k, v in results.items()} for i in (0, 1)),
        pins,
        {"format": FORMAT},
        {k: k for k in results},
    )


class _Always:
    """Draws True."""

    def __call__(self, strategy):
        return True

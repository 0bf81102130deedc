"""Cache entries, model folders, links and command lines of any content: a sentence, no traceback, no code run, nothing outside the cache."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import pickle
import sqlite3
import time
import zlib
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from faulting import F, G, tally
from fuzzing import JSON, LIMIT_S, TEXT, Bomb, fuzzed
from hypothesis import given
from hypothesis import strategies as some
from streamlit.testing.v1 import AppTest

from repdiss_core import jobs
from repdiss_core.__main__ import main
from repdiss_core.cache import ResultStore
from repdiss_core.errors import UserError
from repdiss_core.paths import REPOSITORY
from repdiss_core.storage import DamagedEntry, pack, unpack
from repdiss_core.ui.cards.pair_link import choice_of, differing
from repdiss_core.ui.parts.own_tour import BAD_LINK, MOST_CHARACTERS, MOST_STOPS, packed, unpacked

pytestmark = pytest.mark.usefixtures("nothing_planted")
PAGES = ["app.py", *(f"pages/{path.name}" for path in sorted((REPOSITORY / "pages").glob("*.py")))]
WHOLE = {"x": np.arange(12.0).reshape(3, 4), "n": np.arange(3)}


@some.composite
def entry_bytes(draw) -> bytes:
    """Bytes of an entry: any, damaged, or with a header of any JSON."""
    kind = draw(some.sampled_from(("any", "damaged", "header", "pickle")))
    whole = pack(WHOLE, {"a": 1})
    if kind == "any":
        return draw(some.binary(max_size=200))
    if kind == "pickle":
        return pickle.dumps(Bomb()) + draw(some.binary(max_size=8))
    if kind == "header":
        header = draw(JSON)
        if draw(some.booleans()):
            header = {"__metadata__": draw(JSON | some.dictionaries(some.sampled_from(("meta", "sha256")), some.text(max_size=20))), "x": draw(JSON)}
        text = json.dumps(header).encode("utf-8", "surrogatepass")
        return draw(some.sampled_from((len(text), 0, 2**63, len(text) + 1))).to_bytes(8, "little") + text + draw(some.binary(max_size=64))
    data = bytearray(whole)
    for at, value in draw(some.lists(some.tuples(some.integers(0, len(whole) - 1), some.integers(0, 255)), min_size=1, max_size=6)):
        data[at] = value
    return bytes(data[: draw(some.integers(0, len(data)))] if draw(some.booleans()) else data)


@fuzzed("cache entries")
@given(entry_bytes())
def test_entries_of_any_bytes(data) -> None:
    try:
        arrays, meta = unpack(data)
    except DamagedEntry:
        return
    assert meta == {"a": 1} and all(np.array_equal(arrays[name], WHOLE[name]) for name in WHOLE)


@fuzzed("rows of the cache")
@given(
    mode=some.none() | some.integers(-9, 9) | some.text(max_size=3), filename=some.none() | TEXT, value=some.none() | entry_bytes() | JSON.map(str)
)
def test_rows_of_any_content(own_cache, mode, filename, value) -> None:
    store = _store(own_cache)
    key = "a" * 64
    with contextlib.closing(sqlite3.connect(own_cache / "local" / "results" / "cache.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        texts = [part.encode("utf-8", "replace").decode() if isinstance(part, str) else part for part in (mode, filename, value)]
        connection.execute("DELETE FROM Cache")
        connection.execute("INSERT INTO Cache (key, raw, mode, filename, value) VALUES (?, 1, ?, ?, ?)", (key, *texts))
    entry = store.get(key)
    assert (entry is None) == bool(store.problems)
    store.problems.clear()


_STORES: dict[Path, ResultStore] = {}


def _store(root: Path) -> ResultStore:
    if root not in _STORES:
        _STORES[root] = ResultStore(root / "local", root / "packs")
        _STORES[root].put("a" * 64, {"x": np.ones(1)}, {})
    return _STORES[root]


@fuzzed("job names")
@given(TEXT)
def test_job_names_are_never_paths(name) -> None:
    for act in (jobs.status, jobs.log_tail, jobs.read_request, jobs.cancel_wanted):
        with contextlib.suppress(UserError):
            assert act(name) in (None, "", False)


SHARED = {"num_key_value_heads": 1, "hidden_act": "silu", "head_dim": 4}
OWN = {
    "gpt_neox": {"hidden_act": "gelu", "rotary_pct": 0.5},
    "gpt2": {"activation_function": "gelu_new"},
    "gpt_neo": {"activation_function": "gelu_new", "attention_types": [[["global"], 1]], "window_size": 4},
    "llama": {"hidden_act": "silu"},
    "mistral": SHARED,
    "qwen2": SHARED,
    "qwen3": SHARED,
    "gemma": SHARED,
    "gemma2": {**SHARED, "hidden_activation": "silu", "sliding_window": 4, "query_pre_attn_scalar": 4},
}
SMALL = {
    "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 16,
}  # fmt: skip
CONFIGS = {kind: {"model_type": kind, **SMALL, **own} for kind, own in OWN.items()}
TRICKS = (
    "auto_map", "attn_implementation", "partial_rotary_factor", "torch_dtype", "_attn_implementation", "rope_parameters", "rope_scaling",
    "quantization_config", "layer_norm_eps", "architectures", "hidden_dropout", "tie_word_embeddings", "attention_bias", "id2label", "num_labels",
    "pad_token_id", "bos_token_id", "transformers_version", "_name_or_path",
)  # fmt: skip
SIZES = some.sampled_from([0, -1, 1, 3, 7, 8, 2**31, 10**12, 2**64, 1.5, "8", None, True, [], {}, float("nan")])


@pytest.fixture(scope="module")
def whole_models() -> dict[str, bytes]:
    """{architecture: weights of a tiny network}."""
    import torch
    import transformers
    from safetensors.torch import save

    from repdiss_core.models.architectures import ARCHITECTURES

    assert set(CONFIGS) == set(ARCHITECTURES), "an architecture that is read is fuzzed"
    torch.manual_seed(0)
    found = {}
    for kind, config in CONFIGS.items():
        known = ARCHITECTURES[kind]
        network = getattr(transformers, known.network)(getattr(transformers, known.config)(**config, pad_token_id=0))
        tensors = {name: p.detach().clone() for name, p in network.named_parameters()}
        found[kind] = save(tensors)
    return found


@some.composite
def folder_damage(draw) -> tuple[str, bytes, list[tuple[int, int]], int | None]:
    """(architecture, config.json, bytes to change in the weights, where to cut them)."""
    architecture = draw(some.sampled_from(sorted(CONFIGS)))
    kind = draw(some.sampled_from(("sizes", "keys", "any JSON", "any bytes", "whole")))
    config = dict(CONFIGS[architecture])
    if kind == "sizes":
        config |= draw(some.dictionaries(some.sampled_from(sorted(set(config) - {"model_type"})), SIZES, min_size=1, max_size=3))
    elif kind == "keys":
        config |= draw(some.dictionaries(some.sampled_from(TRICKS) | some.text(max_size=8), JSON | SIZES, min_size=1, max_size=3))
    text = (
        draw(some.binary(max_size=60))
        if kind == "any bytes"
        else json.dumps(draw(JSON) if kind == "any JSON" else config).encode("utf-8", "surrogatepass")
    )
    changes = (
        draw(some.lists(some.tuples(some.integers(0, 4000), some.integers(0, 255)), max_size=4)) if kind == "whole" or draw(some.booleans()) else []
    )
    return architecture, text, changes, draw(some.none() | some.integers(0, 4000)) if changes else None


@fuzzed("model folders")
@given(folder_damage())
def test_model_folders_of_any_content(whole_models, tmp_path, damage) -> None:
    from repdiss_core.models.decoder import load_folder

    architecture, config, changes, cut = damage
    weights = bytearray(whole_models[architecture])
    for at, value in changes:
        weights[at % len(weights)] = value
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(config)
    (folder / "model.safetensors").write_bytes(bytes(weights[:cut]))
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    (folder / "modeling_planted.py").write_text("import os; os.mkdir('planted')")
    began = time.process_time()
    try:
        model = load_folder(folder, "fuzzed", "kept")
    except UserError as error:
        assert time.process_time() - began < LIMIT_S
        assert len(str(error)) < 1000 and "Traceback" not in str(error)
        return
    assert model.n_layers >= 1


COMMANDS = ("list", "run", "compare", "figure", "cache", "prune")
WORDS = some.sampled_from([
    "models", "data", "measures", "fig1", "fig4", "Fig 3", "fig7", F, G, "mini-neox-4l128-h8-s0", "verify", "info", "prune", "--json", "--out",
    "x.json", "nowhere/x.csv", "x.exe", "/", "--measure", "cka", "stitching", "identity_stitching", "--layers", "1:1", "0:9", "--stitch", "tiny",
    "--preset", "--batches", "2", "0", "--data", "docstrings/eval", "--seed-gelu", "--tokens-per-batch", "--tokens-per-sequence", "--population",
    "constructed", "--k", "--items", "--chunks", "--rows", "--hook", "--job", "--estimator", "biased", "--yes", "-h",
])  # fmt: skip


@fuzzed("command lines")
@given(some.sampled_from(COMMANDS), some.lists(WORDS | TEXT, max_size=8))
def test_command_lines_of_any_words(monkeypatch, own_cache, command, words) -> None:
    """Whatever is asked for is planned and checked; only the computing itself is left out."""
    from repdiss_core.engine.run import Engine

    def refuse(*_: object) -> None:
        raise UserError("This is as far as the test goes.")

    monkeypatch.setattr(Engine, "run", refuse)
    monkeypatch.setenv("REPDISS_TRACEBACK", "1")  # an unexpected fault would be raised
    arguments = [command, *words]
    if command in ("figure", "compare"):
        arguments = [command, *(word for word in words if word not in ("x.json",))]
    monkeypatch.setattr("sys.stdin", io.StringIO())
    said, began = io.StringIO(), time.process_time()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        status = main(arguments)
    assert status in (0, 1, 2, 130) and "Traceback" not in said.getvalue()
    assert time.process_time() - began < LIMIT_S
    for path in Path(".").iterdir():
        path.unlink()


PARAMETERS = some.sampled_from([
    "f", "g", "data", "measure", "layers", "show", "estimator", "reduction", "flatten", "mean", "batches", "stitch", "steps", "depth", "gelu",
    "solu", "population", "k", "rank", "measured", "rows", "hook", "model_a", "model_b", "claims", "maps", "embed", "theme",
])  # fmt: skip


ENCODED = some.characters(codec="utf-8")
NAMED_VALUES = some.sampled_from(
    (F, G, "CKA", "identity stitching", "trained stitches", "biased", "100", "20", "penalty", "docstrings", "pythia-70m")
)
PAGES_OF_LINKS = some.sampled_from(("/Compare_models", "/Tour", "", "/Compare_models/"))


def encodable(text: str) -> str:
    """As a browser's address can hold it: no half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode()


@fuzzed("links (sets of 1 to 6 parameters)")
@given(
    page=some.sampled_from(PAGES),
    parameters=some.dictionaries(PARAMETERS | some.text(ENCODED, min_size=1, max_size=8), (TEXT | WORDS).map(encodable), min_size=1, max_size=6),
)
def test_links_of_any_parameters(page, parameters, own_cache) -> None:
    test = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=60)
    if page != "app.py":
        test.switch_page(page)
    for name, value in parameters.items():
        test.query_params[name] = value
    test.run()
    assert [error.message for error in test.exception] == []
    assert len(test.title) == 1
    assert not (own_cache / "local" / "jobs").exists()


VALUES = NAMED_VALUES | TEXT
QUERIES = some.dictionaries(PARAMETERS, VALUES.map(encodable), max_size=6).map(urlencode)
LINKS = some.builds("{}{}?{}".format, some.sampled_from(("", "http://127.0.0.1:8501", "javascript:", "//[")), PAGES_OF_LINKS, QUERIES) | TEXT


@fuzzed("pasted links")
@given(LINKS, LINKS)
def test_pasted_links_of_any_content(own_cache, one, other) -> None:
    """What Compare models does with two links: the choices that they stand for, and the settings that differ."""
    began, choices = time.process_time(), []
    for link in (one, other):
        try:
            choices.append(choice_of(link))
        except UserError as error:
            assert len(str(error)) < 1000 and "Traceback" not in str(error)
    if len(choices) == 2:
        assert len(differing(*choices)) < 20
    assert time.process_time() - began < LIMIT_S
    assert not (own_cache / "local" / "jobs").exists()


def word_of(content: object, cut: int | None) -> str:
    """An own tour's word for an address that holds any JSON, cut short or whole."""
    text = json.dumps(content).encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(zlib.compress(text)).decode().rstrip("=")[:cut]


STOPS = some.lists(
    some.fixed_dictionaries({"path": some.sampled_from(PAGES) | TEXT, "query": some.lists(some.lists(TEXT, min_size=1, max_size=3), max_size=3) | JSON,
                             "card": TEXT | JSON, "note": TEXT | JSON}), max_size=4,
)  # fmt: skip


@fuzzed("own tours")
@given(some.builds(word_of, STOPS | JSON, some.none() | some.integers(0, 60)) | TEXT)
def test_own_tours_of_any_content(word) -> None:
    began = time.process_time()
    try:
        found = unpacked(word, dict.fromkeys(PAGES, "a page"))
    except UserError as error:
        assert str(error) == BAD_LINK
    else:
        assert len(found) <= MOST_STOPS and all(stop.path in PAGES and len(stop.note) <= MOST_CHARACTERS for stop in found)
        assert unpacked(packed(found), dict.fromkeys(PAGES, "a page")) == found
    assert time.process_time() - began < LIMIT_S


def test_logs_and_sentences_carry_no_token_and_no_home(monkeypatch) -> None:
    from repdiss_core.cli.worker import _Redacting
    from repdiss_core.paths import redacted

    monkeypatch.setenv("HF_TOKEN", "a-secret-of-another-form")
    home, secret = os.path.expanduser("~"), "hf_" + "AbCd1234" * 4
    sink = io.StringIO()
    stream = _Redacting(sink)
    stream.write(f"GET https://x/?token={secret[3:]}&a=1 Authorization: Bearer {secret}")
    stream.write(f' {secret} a-secret-of-another-form\n File "{home}/x.py" and {REPOSITORY}/y.py')
    stream.flush()
    said = sink.getvalue()
    assert secret[3:] not in said and "a-secret" not in said and home not in said and str(REPOSITORY) not in said
    assert "~/x.py" in said and "./y.py" in said and "a=1" in said
    assert redacted("nothing to hide") == "nothing to hide"
    tally("tokens and home paths in logs", cases=6, found=0)

"""Cache entries, model folders and command lines of any content:
a sentence, no traceback, no code run, nothing outside the cache."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import sqlite3
import time
from pathlib import Path

import click
import numpy as np
import pytest
from faulting import F, G, tally
from fuzzing import JSON, LIMIT_S, TEXT, WORDS, Bomb, fuzzed
from hypothesis import given
from hypothesis import strategies as some

from repdiss_core.__main__ import cli, main
from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import REPOSITORY
from repdiss_core.runs import job_files, jobs
from repdiss_core.store.cache import ResultStore
from repdiss_core.store.storage import DamagedEntry, pack, unpack

pytestmark = pytest.mark.usefixtures("nothing_planted")
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
            header = {
                "__metadata__": draw(
                    JSON | some.dictionaries(some.sampled_from(("meta", "sha256")), some.text(max_size=20))
                ),
                "x": draw(JSON),
            }
        text = json.dumps(header).encode("utf-8", "surrogatepass")
        return (
            draw(some.sampled_from((len(text), 0, 2**63, len(text) + 1))).to_bytes(8, "little")
            + text
            + draw(some.binary(max_size=64))
        )
    data = bytearray(whole)
    for at, value in draw(
        some.lists(some.tuples(some.integers(0, len(whole) - 1), some.integers(0, 255)), min_size=1, max_size=6)
    ):
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
    mode=some.none() | some.integers(-9, 9) | some.text(max_size=3),
    filename=some.none() | TEXT,
    value=some.none() | entry_bytes() | JSON.map(str),
)
def test_rows_of_any_content(own_cache, mode, filename, value) -> None:
    store = _store(own_cache)
    key = "a" * 64
    with contextlib.closing(
        sqlite3.connect(own_cache / "local" / "results" / "cache.db", isolation_level=None)
    ) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        texts = [
            part.encode("utf-8", "replace").decode() if isinstance(part, str) else part
            for part in (mode, filename, value)
        ]
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
    for act in (jobs.status, jobs.log_tail, job_files.read_request, job_files.cancel_wanted):
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
    "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
    "max_position_embeddings": 16,
}  # fmt: skip
CONFIGS = {kind: {"model_type": kind, **SMALL, **own} for kind, own in OWN.items()}
TRICKS = (
    "auto_map", "attn_implementation", "partial_rotary_factor", "torch_dtype", "_attn_implementation",
    "rope_parameters", "rope_scaling",
    "quantization_config", "layer_norm_eps", "architectures", "hidden_dropout", "tie_word_embeddings",
    "attention_bias", "id2label", "num_labels",
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
        config |= draw(
            some.dictionaries(some.sampled_from(sorted(set(config) - {"model_type"})), SIZES, min_size=1, max_size=3)
        )
    elif kind == "keys":
        config |= draw(
            some.dictionaries(some.sampled_from(TRICKS) | some.text(max_size=8), JSON | SIZES, min_size=1, max_size=3)
        )
    text = (
        draw(some.binary(max_size=60))
        if kind == "any bytes"
        else json.dumps(draw(JSON) if kind == "any JSON" else config).encode("utf-8", "surrogatepass")
    )
    changes = (
        draw(some.lists(some.tuples(some.integers(0, 4000), some.integers(0, 255)), max_size=4))
        if kind == "whole" or draw(some.booleans())
        else []
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


# A right value for an argument or an option that takes any text; what click itself limits is read off the command.
RIGHT = {
    "figures": ("fig1", "fig2", "fig3", "fig4", "fig7", "fig9", "table1"), "figure_id": ("fig4", "Fig 3", "fig8"),
    "names": ("pythia-70m", "data:pile-10k"),
    "model_f": (F, G, "mini-neox-4l128-h8-s0", "nli-0pct-00", "pythia-70m@step1000"),
    "model_g": (G, F, "pythia-70m", "nli-0pct-01"),
    "results": ("fig4", "all", "fig3", "0" * 64), "file": ("x.safetensors",), "out": ("x.json", "x.csv"),
    "preset": ("bundled", "quick", "tiny", "paper"),
    "stitch": ("quick", "tiny", "reference"), "family": ("mini-neox", "pythia"),
    "data": ("docstrings", "docstrings/eval", "pile-10k"), "layers": ("1:1", "1:2,2:3"),
}  # fmt: skip
LEFT_OUT = {"--engine", "--address", "--help"}  # Ray is tested apart


def commands(group: click.Group, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    """{words: command} of all commands that take choices, but for measurements of speed."""
    found: dict[tuple[str, ...], click.Command] = {}
    for name, one in group.commands.items():
        if name == "bench":
            continue
        found |= (
            commands(one, (*path, name)) if isinstance(one, click.Group) else {(*path, name): one} if one.params else {}
        )
    return found


COMMANDS = commands(cli)


def right_value(parameter: click.Parameter) -> some.SearchStrategy[str]:
    """A value that is right in itself, if perhaps not with the others."""
    if isinstance(parameter.type, click.Choice):
        return some.sampled_from(list(parameter.type.choices)).map(str)
    if isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType):
        return some.sampled_from(("1", "2", "4", "128", "1024"))
    return some.sampled_from(RIGHT.get(parameter.name, ("x",)))


@some.composite
def command_line(draw) -> list[str]:
    """A command with its arguments and some options, now and then one value of any content; or any words."""
    if draw(some.integers(0, 9)) == 0:
        return draw(some.lists(WORDS | TEXT, max_size=8))
    words, odd = list(path := draw(some.sampled_from(sorted(COMMANDS)))), draw(some.sampled_from((0, 0, 1, 2)))
    values: list[list[str]] = []
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Argument):
            values.append([draw(right_value(parameter))])
        elif not LEFT_OUT & set(parameter.opts) and (parameter.required or draw(some.integers(0, 7)) == 0):
            flag = [parameter.opts[-1]]
            values.append(flag if getattr(parameter, "is_flag", False) else [*flag, draw(right_value(parameter))])
    for _ in range(min(odd, len(values))):
        draw(some.sampled_from(values))[-1] = draw(WORDS | TEXT)
    return words + [word for value in values for word in value]


@fuzzed("command lines")
@given(command_line())
def test_command_lines_of_any_words(monkeypatch, own_cache, arguments) -> None:
    """Whatever is asked for is planned and checked; only the computing itself is left out."""
    from repdiss_core.engine.run import Engine

    def refuse(*_: object) -> None:
        raise UserError("This is as far as the test goes.")

    monkeypatch.setattr(Engine, "run", refuse)
    monkeypatch.setenv("REPDISS_TRACEBACK", "1")  # an unexpected fault would be raised
    monkeypatch.setattr("sys.stdin", io.StringIO())
    said, began = io.StringIO(), time.process_time()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        status = main(arguments)
    assert status in (0, 1, 2, 130) and "Traceback" not in said.getvalue()
    assert all(len(line) < 1000 for line in said.getvalue().splitlines() if line.startswith("repdiss: "))
    assert time.process_time() - began < LIMIT_S
    for path in Path(".").iterdir():
        path.unlink()


def test_logs_and_sentences_carry_no_token_and_no_home(monkeypatch) -> None:
    from repdiss_core.base.paths import redacted
    from repdiss_core.engine.worker import _Redacting

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

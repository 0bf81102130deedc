"""Carry results from one machine to another in one file: safetensors, with hashes and provenance as JSON.

A bundle may come from a stranger. Nothing in it is run or unpickled, it names no files, and an import checks every
hash, every key against the comparison that it stands for, and every array against the type that results have, before
anything is kept. What was pinned on the hub travels along, so that the other machine builds the same keys.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from repdiss_core import hub
from repdiss_core.base.comparison import Comparison, ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.measures import result_type
from repdiss_core.measures.spec import first_layer
from repdiss_core.models import model_spec
from repdiss_core.models.typed import of_config
from repdiss_core.store.cache import ResultStore
from repdiss_core.store.entries import Entry, write_pack
from repdiss_core.store.result_check import check_result
from repdiss_core.store.storage import checksum, write_atomically

FORMAT = "repdiss bundle 1"
KEY = re.compile(r"[0-9a-f]{64}")
PIN = re.compile(r"(model|dataset):[\w./@-]+")
LONGEST_TOKEN = 100  # characters of the token between documents
FACT = re.compile(r"(tokenizer|separator|config):[\w./@-]+")
LARGEST = 10**7  # of a model's numbers of layers, dimensions, heads, tokens and positions
ARRAY_NAME = re.compile(r"\w{1,40}")


@dataclass(frozen=True)
class Imported:
    """What an import did: results that are here now, and a sentence for each thing that is as it was before."""

    n_results: int
    notes: tuple[str, ...]


def export_bundle(store: ResultStore, keys: Iterable[str], out: Path) -> int:
    """Write results to a bundle; returns how many.

    Raises:
        UserError: a result that is not there, or nothing to export.
    """
    entries = []
    for key in dict.fromkeys(keys):
        entry = store.get(key)
        if entry is None:
            raise UserError(f"The result {key[:12]} is not in the cache. Compute it first, or leave it out.")
        entries.append(entry)
    if not entries:
        raise UserError("There is nothing to export: name figures, or `all` for everything computed here.")
    write_pack(out, entries, {"format": FORMAT, "pins": json.dumps(hub.everything(), sort_keys=True)})
    return len(entries)


def import_bundle(store: ResultStore, path: Path) -> Imported:
    """Check a bundle and keep its results; they are shown, and never mixed with batches computed here.

    Raises:
        UserError: not a bundle, or anything in it that is not what it says; nothing is kept then.
    """
    entries, pins = _read(path)
    notes = _accept_pins(pins)
    data = path.read_bytes()
    write_atomically(store.imported_folder / f"{hashlib.sha256(data).hexdigest()[:32]}.safetensors", data)
    here = sum(store.get_local(entry.key) is not None for entry in entries)
    if here:
        notes.append(f"{here} of them were computed here too; what was computed here is shown where it reaches as far.")
    return Imported(len(entries), tuple(notes))


def _read(path: Path) -> tuple[list[Entry], dict[str, Any]]:
    try:
        with safe_open(str(path), framework="numpy") as file:
            stated = file.metadata() or {}
            if stated.get("format") != FORMAT:
                raise UserError(
                    f"{path.name} is not a bundle of RepDiss ({FORMAT}); "
                    f"it says {stated.get('format', 'nothing')[:40]!r}."
                )
            index, pins = json.loads(stated["entries"]), json.loads(stated["pins"])
            named = {f"{key}/{name}" for key, one in index.items() for name in one["arrays"]}
            if named != set(file.keys()):
                raise UserError(f"{path.name} holds arrays that belong to no result, or lacks some. Export it anew.")
            entries = [_checked(path, key, one, file) for key, one in index.items()]
            if not all(_is_fact(key, value) for key, value in pins.items()):
                raise UserError("The bundle names revisions of the hub in a form that is not ours; nothing was kept.")
    except (
        SafetensorError,
        OSError,
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
        RecursionError,
        OverflowError,
    ) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{path.name} cannot be read as a bundle ({type(error).__name__}); nothing of it was opened. "
            "Export it anew."
        ) from error
    return entries, pins


def _checked(path: Path, key: str, stated: dict[str, Any], file: Any) -> Entry:
    """One entry, once its key, its names and its hash are right."""
    if not KEY.fullmatch(key) or not all(
        isinstance(name, str) and ARRAY_NAME.fullmatch(name) for name in stated["arrays"]
    ):
        raise UserError(f"{path.name} holds a result whose name is not one of ours ({key[:20]!r}); nothing was kept.")
    arrays = {name: np.asarray(file.get_tensor(f"{key}/{name}")) for name in stated["arrays"]}
    if checksum(arrays, stated["meta"]) != stated["sha256"]:
        raise UserError(
            f"The result {key[:12]} in {path.name} does not have the hash that is stated; nothing was kept. "
            "Export it anew."
        )
    comparison = Comparison.from_dict(stated["meta"]["comparison"])
    if comparison.key != key or stated["meta"].get("key", key) != key:
        raise UserError(
            f"The result {key[:12]} in {path.name} passes for another comparison than it holds; nothing was kept."
        )
    try:
        depths = _n_layers(comparison, comparison.f), _n_layers(comparison, comparison.g)
        check_result(comparison, result_type(comparison), arrays, stated["meta"], depths)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        reason = str(error)[:300] if isinstance(error, UserError) else type(error).__name__
        raise UserError(
            f"The result {key[:12]} in {path.name} is none of {str(comparison.measure)[:30]!r} ({reason}); "
            "nothing was kept."
        ) from error
    return Entry(key, arrays, stated["meta"], "imported", float(stated["meta"].get("stored_at", 0.0)))


def _n_layers(comparison: Comparison, model: ModelId) -> int | None:
    """How many layers a comparison has of a model that is known here with these very weights."""
    # A stranger's path is not looked at, not even as the model of which a twin is untrained
    if not isinstance(model.name, str) or len(model.name) > 300 or "path:" in model.name:
        return None
    try:
        spec = model_spec(model.name)
    except UserError:
        return None
    return spec.n_layers + 1 - first_layer(comparison) if spec.weights == model.weights else None


def _accept_pins(pins: dict[str, Any]) -> list[str]:
    """Take over what is not pinned here; a sentence where the two machines differ."""
    known, notes = hub.everything(), []
    for key, value in pins.items():
        if key not in known:
            hub.remember(key, value)
        elif PIN.fullmatch(key) and known[key]["commit"] != value["commit"]:
            notes.append(
                f"{key.partition(':')[2]} stands for commit {known[key]['commit'][:8]} here and for "
                f"{value['commit'][:8]} in the bundle: "
                f"its results are those of name@{value['commit']}."
            )
    return notes


def _is_fact(key: str, value: Any) -> bool:
    if FACT.fullmatch(key):
        if key.startswith("config:"):
            return _is_config(value)
        return isinstance(value, str) and (
            len(value) <= LONGEST_TOKEN if key.startswith("separator:") else KEY.fullmatch(value) is not None
        )
    if (
        not PIN.fullmatch(key)
        or not isinstance(value, dict)
        or set(value) != {"commit", "files"}
        or not isinstance(value["files"], dict)
    ):
        return False
    inside = all(
        not name.startswith(("/", "\\")) and ".." not in name and isinstance(size, int)
        for name, size in value["files"].items()
    )
    return inside and isinstance(value["commit"], str) and hub.COMMIT.fullmatch(value["commit"]) is not None


def _is_config(value: Any) -> bool:
    """Whether a configuration names the shape of a model in numbers that a page can work with."""
    try:
        spec = of_config("the bundle's model", value, "", "")
    except (UserError, TypeError, AttributeError, ArithmeticError):
        return False
    numbers = (spec.n_layers, spec.d_model, spec.n_heads, spec.vocab_size, spec.n_ctx)
    return all(0 < number <= LARGEST for number in numbers) and 0 < spec.n_parameters < LARGEST**2

"""Randomly damaged cache files and database rows: told in a sentence, computed anew, never a wrong number,
never a traceback."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import sqlite3
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from faulting import F, G, assert_same_bytes, cases, small_request, tally, values

from repdiss_core import hub
from repdiss_core.base.comparison import Request
from repdiss_core.base.errors import UserError
from repdiss_core.data import docstrings, packed_text
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.checkpoint import CheckpointDir
from repdiss_core.runs import estimates, job_files, jobs
from repdiss_core.store.cache import ResultStore
from repdiss_core.store.entries import write_pack
from repdiss_core.store.kept_files import write_facts

LIMIT_S = 5.0
MANY = small_request(stitches=3)
COLUMNS = (
    "key",
    "raw",
    "store_time",
    "expire_time",
    "access_time",
    "access_count",
    "tag",
    "size",
    "mode",
    "filename",
    "value",
)
JUNK = (
    None,
    -1,
    2**62,
    1e308,
    "",
    "text",
    b"\xff\xfe",
    "../../../etc/passwd",
    "aa/bb/" + "c" * 28 + ".val",
    b"\x80\x04\x95",
    "\x00",
)
STATEMENTS = ("DROP TABLE Cache", "DROP TABLE Settings", "DROP INDEX Cache_key_raw", "DELETE FROM Settings",
              "UPDATE Settings SET value = 'x'",
              (
                  "UPDATE Cache SET value = (SELECT value FROM Cache WHERE value IS NOT NULL ORDER BY rowid DESC "
                  "LIMIT 1) WHERE value IS NOT NULL"
              ),
              "UPDATE Cache SET filename = (SELECT max(filename) FROM Cache) WHERE filename IS NOT NULL",
              "CREATE TRIGGER planted AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END",
              "PRAGMA user_version = 7")  # fmt: skip


def filled(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """A cache of small entries (in the database) and large ones (in files); its arrays by key."""
    store, rng = ResultStore(folder / "local", folder / "packs"), np.random.default_rng(0)
    for number, comparison in enumerate(MANY.comparisons):
        arrays = {"x": rng.standard_normal(8 if number % 2 else 8000)}
        store.put(comparison.key, arrays, {"comparison": comparison.to_dict()})
    found = values(store, MANY)
    store.close()
    return found


def damage_bytes(path: Path, dice: random.Random) -> str:
    """One kind of damage to a file; returns its name."""
    data = bytearray(path.read_bytes())
    kind = dice.choice(
        ("flipped bit", "zeroed block", "random bytes", "cut short", "emptied", "appended", "removed", "repeated block")
    )
    at = dice.randrange(max(1, len(data)))
    size = min(len(data) - at, dice.choice((1, 16, 512, 4096)))
    if kind == "flipped bit" and data:
        data[at] ^= 1 << dice.randrange(8)
    elif kind == "zeroed block":
        data[at : at + size] = bytes(size)
    elif kind == "random bytes":
        data[at : at + size] = dice.randbytes(size)
    elif kind == "repeated block":
        data[at : at + size] = data[:size]
    elif kind == "appended":
        data += dice.randbytes(100)
    else:
        data = data[: at if kind == "cut short" else 0]
    path.write_bytes(bytes(data))
    if kind == "removed":
        path.unlink()
    return kind


def damage_row(database: Path, dice: random.Random) -> str:
    """One kind of damage to a row or to the tables; returns its name."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        if dice.random() < 0.25:
            statement = dice.choice(STATEMENTS)
            connection.execute(statement)
            return statement.split(" (")[0][:30]
        rows = [row for (row,) in connection.execute("SELECT rowid FROM Cache")]
        row, other, column = *dice.sample(rows, 2), dice.choice(COLUMNS)
        if dice.random() < 0.3 and column not in ("key", "raw"):
            connection.execute(
                f"UPDATE Cache SET {column} = (SELECT {column} FROM Cache WHERE rowid = ?) WHERE rowid = ?",
                (other, row),
            )
            return f"{column} of another row"
        junk = dice.choice(JUNK)
        with contextlib.suppress(sqlite3.IntegrityError):
            if junk == b"\xff\xfe":
                connection.execute(f"UPDATE Cache SET {column} = CAST(? AS TEXT) WHERE rowid = ?", (junk, row))
            else:
                connection.execute(f"UPDATE Cache SET {column} = ? WHERE rowid = ?", (junk, row))
        return f"{column} = junk"


def test_damaged_results_are_never_a_wrong_number(tmp_path) -> None:
    wanted = filled(tmp_path / "whole")
    dice, kinds, slowest, silent = random.Random(3), Counter(), 0.0, 0
    for number in range(cases(40, 500)):
        folder = tmp_path / f"case-{number}"
        shutil.copytree(tmp_path / "whole", folder)
        results = folder / "local" / "results"
        if dice.random() < 0.5:
            kind = "file: " + damage_bytes(
                dice.choice([results / "cache.db", *sorted(results.glob("*/*/*.val"))]), dice
            )
        else:
            kind = "row: " + damage_row(results / "cache.db", dice)
        kinds[kind] += 1
        began = time.monotonic()
        store = ResultStore(folder / "local", folder / "packs")
        found = values(store, MANY)
        assert_same_bytes(found, {key: wanted[key] for key in found})
        if len(found) < len(wanted) and not store.problems:
            assert not found or kind in ("row: key = junk", "row: raw = junk"), (
                f"{kind}: results vanished without a word"
            )
            silent += 1
        for _ in range(2):  # what a computation would do; a database may turn out to be damaged on writing only
            for key in wanted.keys() - values(store, MANY).keys():
                comparison = next(c for c in MANY.comparisons if c.key == key)
                store.put(key, wanted[key], {"comparison": comparison.to_dict()})
        again = values(store, MANY)
        assert again.keys() == wanted.keys(), (kind, store.problems)
        assert_same_bytes(again, wanted)
        right, problems = store.verify()
        assert right == len(wanted) or problems, kind
        store.close()
        slowest = max(slowest, time.monotonic() - began)
        assert slowest < LIMIT_S, kind
        shutil.rmtree(folder)
    tally("damaged cache files and database rows", cases=sum(kinds.values()), wrong=0, tracebacks=0,
          note=(
              f"{len(kinds)} kinds; slowest case {slowest:.2f} s; {silent} times all rows had gone, "
              "which counts as not computed"
          ))  # fmt: skip


def test_files_without_a_row_are_removed_once_no_writer_can_want_them(tmp_path) -> None:
    """What a writer leaves that is killed between the file and its row."""
    filled(tmp_path)
    results = tmp_path / "local" / "results"
    for name, age_s in (("old", 7200), ("new", 60)):
        left = results / "00" / "00" / f"{name.encode().hex():0>28}.val"
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_bytes(b"half")
        os.utime(left, (time.time() - age_s,) * 2)
    store = ResultStore(tmp_path / "local", tmp_path / "packs")
    assert len(store.orphans(0)) == 2
    assert store.verify() == (len(MANY.comparisons), [])
    assert [path.read_bytes() for path in store.orphans(0)] == [b"half"]


def test_entries_changed_about_are_told_apart(tmp_path) -> None:
    """A whole entry under another's key has a right checksum; it must not be taken for the other."""
    wanted = filled(tmp_path)
    first, second = sorted(wanted)[:2]
    with contextlib.closing(
        sqlite3.connect(tmp_path / "local" / "results" / "cache.db", isolation_level=None)
    ) as connection:
        for old, new in ((first, "x"), (second, first), ("x", second)):
            connection.execute("UPDATE Cache SET key = ? WHERE key = ?", (new, old))
    store = ResultStore(tmp_path / "local", tmp_path / "packs")
    assert store.get(first) is None and store.get(second) is None
    assert all("it belongs to" in problem for problem in store.problems) and len(store.problems) == 2
    assert values(store, MANY).keys() == wanted.keys() - {first, second}


def test_activations_changed_about_are_computed_anew(tmp_path) -> None:
    cache = ActivationCache(tmp_path, 2**24)
    cache.put("a", {"001": np.ones(3)})
    cache.put("b", {"001": np.zeros(3)})
    with contextlib.closing(sqlite3.connect(tmp_path / "cache.db", isolation_level=None)) as connection:
        connection.execute("UPDATE Cache SET value = (SELECT value FROM Cache WHERE key = 'b') WHERE key = 'a'")
    assert cache.get("a") is None and cache.get("b") is not None
    assert "belong to another batch" in cache.problems[0]


def test_a_database_that_breaks_while_it_is_open_is_set_aside(tmp_path) -> None:
    wanted = filled(tmp_path)
    store = ResultStore(tmp_path / "local", tmp_path / "packs")
    assert len(values(store, MANY)) == len(wanted)
    path = tmp_path / "local" / "results" / "cache.db"
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xaa" * (len(data) - 4096))
    other = ResultStore(tmp_path / "local", tmp_path / "packs")
    for key in wanted:
        assert other.get(key) is None
        store.put(key, wanted[key], {})
    assert "set aside as results.damaged-" in (other.problems + store.problems)[0]
    assert_same_bytes(values(other, MANY), wanted)
    assert len(list((tmp_path / "local").glob("results.damaged-*"))) == 1, (
        "a database that another process has mended was set aside too"
    )


@pytest.mark.parametrize("name", ["status.json", "request.json", "worker.json", "log.txt"])
def test_damaged_job_files_are_a_sentence(name, own_cache) -> None:
    request, dice = small_request(), random.Random(name)
    folder = job_files.folder_of(request.key)
    folder.mkdir(parents=True)
    started = 0
    for _ in range(cases(60, 500)):
        job_files.write_request(request.key, {"title": "t", "fresh": False, "request": request.to_dict()})
        job_files.write_status(job_files.JobStatus(request.key, "t", "running", started=time.time()))
        job_files.write_json(folder / "worker.json", {"pid": 1, "created": 0.0})
        (folder / "log.txt").write_text("10:00:00  started\n")
        spoil(folder / name, dice)
        (folder / "worker.json").exists() and jobs._worker(request.key)
        listed, status = jobs.list_jobs(), jobs.status(request.key)
        assert [job.state for job in listed] == ([status.state] if status else [])
        assert isinstance(jobs.log_tail(request.key), str)
        with contextlib.suppress(UserError):
            form = job_files.read_request(request.key)
            assert Request.from_dict(form["request"]).key == request.key
            started += 1
    tally(f"damaged {name} of a job", cases=cases(60, 500), wrong=0, tracebacks=0)


def test_damaged_token_streams_and_facts_are_made_anew(tmp_path, monkeypatch) -> None:
    """What is kept beside results: tokens of the docstrings and of a text, revisions of the hub, the speed of a GPU."""
    monkeypatch.setenv("REPDISS_CACHE", str(tmp_path))
    row, device = np.arange(3000, dtype="<u2"), {"device": "a GPU", "flops": 1e14, "bytes": 8}
    facts = {
        "model:org/name@main": {"commit": "c" * 40, "files": {"config.json": 3}},
        "config:org/name": {"model_type": "gpt2"},
    }
    monkeypatch.setattr(docstrings, "build", lambda *_: row)
    monkeypatch.setattr(packed_text, "_cut", lambda *_: row.astype("<u4"))
    dice, right, local, told = random.Random(11), docstrings.content_hash(row), tmp_path / "local", 0

    def fill() -> None:
        assert docstrings.tokens("train").tobytes() == row.tobytes() and docstrings.content_id("train") == right
        assert packed_text.tokens(None, None, "eval", "a" * 64).tolist() == row.tolist()
        write_facts(local / "hub" / "pins.json", facts)
        write_facts(local / "device.json", device)

    for _ in range(cases(60, 500)):
        fill()
        files = sorted([*(local / "data").iterdir(), local / "hub" / "pins.json", local / "device.json"])
        assert len(files) == 5
        for file in dice.sample(files, dice.randrange(1, 4)):
            spoil(file, dice)
        fill_again = (
            docstrings.content_id("train"),
            docstrings.tokens("train"),
            packed_text.tokens(None, None, "eval", "a" * 64),
        )
        assert fill_again[0] == right and all(found.tolist() == row.tolist() for found in fill_again[1:])
        try:
            assert hub.everything() in (facts, {}), "all or nothing"
        except UserError as error:
            assert re.search("is damaged: .* It was set aside as .* revisions are asked for anew", str(error))
            assert hub.everything() == {}, "told once"
            told += 1
        assert estimates.kept_device() in (device, {})
    assert told
    tally("damaged token streams, facts of the hub and of devices", cases=cases(60, 500), wrong=0, tracebacks=0)


def spoil(path: Path, dice: random.Random) -> None:
    """Damage to bytes, or JSON of other types and depths."""
    if dice.random() < 0.4 or path.suffix != ".json":
        damage_bytes(path, dice)
        return
    form = json.loads(path.read_text())
    strange = dice.choice(([], {}, None, 1, "x", -1e400, True, [[[]]], {"f": 1}, "\ud800", 2**70))
    if dice.random() < 0.2:
        path.write_text("[" * 100_000 if dice.random() < 0.3 else json.dumps(strange))
        return
    name = dice.choice(list(form))
    form[name] = strange
    if dice.random() < 0.3:
        del form[name]
    path.write_text(json.dumps(form))


def test_damaged_checkpoints_activations_and_packs(tmp_path) -> None:
    dice, arrays = random.Random(5), {"w": np.arange(6000.0).reshape(60, 100)}
    n = cases(40, 500)
    for _ in range(n):
        said: list[str] = []
        checkpoints = CheckpointDir(tmp_path / "checkpoints", said.append)
        assert checkpoints.save("k" * 64, arrays, {"step": 3})
        damage_bytes(checkpoints.file("k" * 64), dice)
        loaded = checkpoints.load("k" * 64)
        assert (loaded is None) == bool(said) or not checkpoints.file("k" * 64).exists()
        if loaded is not None:
            assert loaded[0]["w"].tobytes() == arrays["w"].tobytes() and loaded[1] == {"step": 3}
    (tmp_path / "packs").mkdir()
    pack_file = tmp_path / "packs" / "p.safetensors"
    wanted = filled(tmp_path / "source")
    entries = [ResultStore(tmp_path / "source" / "local", tmp_path / "none").get(key) for key in wanted]
    for _ in range(n):
        write_pack(pack_file, entries)
        damage_bytes(pack_file, dice)
        store = ResultStore(tmp_path / "nowhere", tmp_path / "packs")
        found = {key: entry.arrays for key in wanted if (entry := store.get(key)) is not None}
        assert_same_bytes(found, {key: wanted[key] for key in found})
        assert len(found) == len(wanted) or store.problems or not pack_file.exists()
    tally("damaged checkpoints and packs of shipped results", cases=2 * n, wrong=0, tracebacks=0)


@pytest.mark.faults
def test_damaged_results_are_computed_anew_by_the_engine(forking, new_root, undisturbed) -> None:
    """Fault upon fault to one cache, a computation after each; other caches with other dice."""
    from faulting import compute

    request, wanted = undisturbed
    caches, rounds = cases(1, 8), cases(2, 25)
    for number in range(caches):
        dice, root = random.Random(6 + number), new_root()
        local = Path(root) / "local"
        for turn in range(rounds + 1):
            if turn:
                # A database may be too damaged already to be damaged by rows
                with contextlib.suppress(FileNotFoundError, sqlite3.Error):
                    damage_row(local / "results" / "cache.db", dice)
                    damage_bytes(
                        dice.choice([*sorted(local.glob("checkpoints/*")), local / "results" / "cache.db"]), dice
                    )
            process = forking.Process(target=compute, args=(root, request.to_dict()))
            process.start()
            process.join()
            assert process.exitcode == 0
            store = ResultStore(local, Path(root) / "none")
            assert_same_bytes(values(store, request), wanted)
            store.close()
    told = f"{F} and {G}, {rounds} faults to each of {caches} caches: the same bytes as from an empty cache"
    tally("computations on a damaged cache", cases=caches * rounds, wrong=0, tracebacks=0, note=told)

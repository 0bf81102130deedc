"""The result store: what is damaged, foreign or planted is told and never used."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import sqlite3

import numpy as np
import pytest

from repdiss_core.base.errors import UserError
from repdiss_core.store.cache import ResultStore
from repdiss_core.store.disk import disk_error
from repdiss_core.store.entries import write_pack
from repdiss_core.store.storage import DamagedEntry, SafeDisk, pack, unpack

KEY, OTHER = "a" * 64, "b" * 64


class Bomb:
    """Runs code when unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("exploded",))


@pytest.fixture
def store(tmp_path) -> ResultStore:
    return ResultStore(tmp_path / "local", tmp_path / "packs")


def sql(store: ResultStore, command: str, values: tuple) -> None:
    with sqlite3.connect(store.directory / "results" / "cache.db") as database:
        database.execute(command, values)


def test_reading_creates_nothing(store) -> None:
    assert store.get(KEY) is None
    assert not store.directory.exists()


@pytest.mark.parametrize("size", [0, 3, 100_000])
def test_round_trip(store, size) -> None:
    store.put(KEY, {"x": np.arange(size, dtype=float)}, {"n": size})
    entry = store.get(KEY)
    np.testing.assert_array_equal(entry.arrays["x"], np.arange(size, dtype=float))
    assert (entry.meta["n"], entry.origin) == (size, "local")


def test_local_before_shipped_and_shipped_alone(store, tmp_path) -> None:
    store.put(KEY, {"x": np.ones(2)}, {})
    (tmp_path / "packs").mkdir()
    write_pack(tmp_path / "packs" / "p.safetensors", [store.get(KEY)])
    both = ResultStore(tmp_path / "local", tmp_path / "packs")
    assert (both.get(KEY).origin, both.get_shipped(KEY).origin) == ("local", "shipped")
    assert ResultStore(tmp_path / "none", tmp_path / "packs").get(KEY).origin == "shipped"


@pytest.mark.parametrize("size", [3, 100_000], ids=["in the database", "in a file"])
def test_a_flipped_bit_is_noticed_and_the_entry_dropped(store, size) -> None:
    store.put(KEY, {"x": np.arange(size, dtype=float)}, {})
    data = bytearray(pack({"x": np.arange(size, dtype=float)}, {}))
    data[-3] ^= 1
    store._writable().set(KEY, bytes(data))
    assert store.get(KEY) is None
    assert "checksum does not match" in store.problems[0]
    assert store.keys("local") == []


@pytest.mark.parametrize(
    "junk", [b"", b"\x80\x04", b"\xff" * 40, pickle.dumps({"x": 1}), b"\x08" + b"\0" * 7 + b"{}      "]
)
def test_foreign_bytes_are_refused(junk) -> None:
    with pytest.raises(DamagedEntry, match="not an entry of RepDiss"):
        unpack(junk)


def test_a_planted_pickle_is_refused_and_never_opened(store, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    store.put(KEY, {"x": np.ones(2)}, {})
    sql(store, "UPDATE Cache SET mode = 4, value = ? WHERE key = ?", (pickle.dumps(Bomb()), KEY))
    assert store.get(KEY) is None
    assert "never opened" in store.problems[0]
    assert not (tmp_path / "exploded").exists()


def test_a_planted_path_cannot_leave_the_cache(store, tmp_path) -> None:
    secret = tmp_path / "secret.val"
    secret.write_bytes(pack({"x": np.ones(1)}, {}))
    store.put(KEY, {"x": np.ones(2)}, {})
    sql(store, "UPDATE Cache SET mode = 2, filename = '../../secret.val' WHERE key = ?", (KEY,))
    assert store.get(KEY) is None
    assert "points outside the cache" in store.problems[0]
    assert secret.exists(), "removing the bad row must not remove a file outside"
    assert store.keys("local") == []


def test_the_disk_takes_no_objects(tmp_path) -> None:
    disk = SafeDisk(str(tmp_path))
    with pytest.raises(TypeError, match="keys are text"):
        disk.put(("a", 1))
    with pytest.raises(TypeError, match="the bytes that `pack` makes"):
        disk.store({"x": 1}, read=False)


def test_a_database_that_is_no_database_is_set_aside(tmp_path) -> None:
    folder = tmp_path / "local" / "results"
    folder.mkdir(parents=True)
    (folder / "cache.db").write_bytes(b"this is not a database, and never was one" * 100)
    store = ResultStore(tmp_path / "local", tmp_path / "packs")
    store.put(KEY, {"x": np.ones(1)}, {})
    assert store.get(KEY) is not None
    assert "set aside" in store.problems[0]


def test_damaged_shipped_results_are_told(store, tmp_path) -> None:
    store.put(KEY, {"x": np.arange(1000.0)}, {})
    (tmp_path / "packs").mkdir()
    path = tmp_path / "packs" / "p.safetensors"
    write_pack(path, [store.get(KEY)])
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))
    damaged = ResultStore(tmp_path / "none", tmp_path / "packs")
    assert damaged.get(KEY) is None
    assert "is damaged and was skipped" in damaged.problems[0]
    path.write_bytes(b"gone")
    unreadable = ResultStore(tmp_path / "none", tmp_path / "packs")
    assert unreadable.get(KEY) is None
    assert "cannot be read" in unreadable.problems[0]


def test_a_full_disk_is_a_sentence_and_keeps_what_was_stored(store, monkeypatch) -> None:
    store.put(KEY, {"x": np.ones(1)}, {})

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(store._writable()), "set", full)
    with pytest.raises(UserError, match="is full. What was stored before is kept. Free some space"):
        store.put(OTHER, {"x": np.ones(1)}, {})
    assert store.get(KEY) is not None


def test_sqlite_full_is_told_alike(tmp_path) -> None:
    assert "is full" in str(disk_error(sqlite3.OperationalError("database or disk is full"), tmp_path))
    assert "cannot be written" in str(disk_error(PermissionError(errno.EACCES, "denied"), tmp_path))


def test_verify_counts_right_and_damaged(store) -> None:
    store.put(KEY, {"x": np.ones(1)}, {})
    store._writable().set(OTHER, b"junk")
    right, problems = store.verify()
    assert (right, len(problems)) == (1, 1)
    assert store.verify() == (1, [])


def test_a_lock_is_held_once(store) -> None:
    import filelock

    with store.lock(KEY), pytest.raises(filelock.Timeout):
        store.lock(KEY, timeout=0.05).acquire()


@pytest.mark.parametrize(
    "planted",
    ["CREATE TRIGGER planted AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END", "CREATE VIEW planted AS SELECT 1"],
)
def test_a_rule_that_is_not_the_cache_s_own_is_never_followed(tmp_path, planted):
    """A trigger would run with every write: the database is set aside, and what is right in it is kept."""
    store = ResultStore(tmp_path / "local", tmp_path / "packs")
    store.put(KEY, {"x": np.ones(3)}, {})
    store.close()
    with contextlib.closing(
        sqlite3.connect(tmp_path / "local" / "results" / "cache.db", isolation_level=None)
    ) as database:
        database.execute(planted)
    found = ResultStore(tmp_path / "local", tmp_path / "packs")
    assert found.get(KEY) is not None
    assert (
        "it holds 'planted', which is not the cache's own" in found.problems[0]
        and "1 results could be saved" in found.problems[0]
    )
    found.put(OTHER, {"x": np.ones(1)}, {})
    assert found.keys("local") == [KEY, OTHER]


def test_settings_of_the_file_are_not_followed(tmp_path):
    store = ResultStore(tmp_path / "local", tmp_path / "packs")
    store.put(KEY, {"x": np.ones(3)}, {})
    store.close()
    with contextlib.closing(
        sqlite3.connect(tmp_path / "local" / "results" / "cache.db", isolation_level=None)
    ) as database:
        database.execute("UPDATE Settings SET value = 'x'")
    found = ResultStore(tmp_path / "local", tmp_path / "packs")
    found.put(OTHER, {"x": np.ones(100_000)}, {})
    assert found.keys("local") == [KEY, OTHER] and found.problems == []


def test_a_database_that_is_set_aside_inside_a_transaction_takes_what_comes_after(tmp_path):
    store = ResultStore(tmp_path / "local", tmp_path / "packs")
    store.put(KEY, {"x": np.ones(3)}, {})
    with store.together():
        store.close()
        store.put(OTHER, {"x": np.ones(1)}, {})
    assert store.keys("local") == [KEY, OTHER]

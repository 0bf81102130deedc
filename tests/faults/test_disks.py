"""A full disk, a read-only cache and missing permissions: a sentence, what was stored is kept,
and the work can be resumed."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from faulting import F, G, assert_same_bytes, cases, small_request, tally, values
from shown import opened

from repdiss_core.__main__ import main
from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import REPOSITORY
from repdiss_core.store.cache import ResultStore
from repdiss_core.ui.parts.shared import PAGES

NOT_ROOT = "FAULT TESTS OF FULL AND READ-ONLY DISKS DID NOT RUN: mounting a small tmpfs needs root."
LIMIT_S = 60


@contextlib.contextmanager
def small_disk(folder: Path, size: str):
    """A tmpfs of that size at a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True
        ).returncode
    ):
        pytest.skip(NOT_ROOT)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(folder: Path, leave: int) -> Path:
    """A file that takes all room but some bytes."""
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    path = folder / "filler"
    path.write_bytes(bytes(max(0, free - leave)))
    return path


def command(root: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """The command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "repdiss_core", *arguments],
        cwd=REPOSITORY, env=os.environ | {"REPDISS_CACHE": root} | environment, capture_output=True, text=True,
        timeout=LIMIT_S,
    )  # fmt: skip


def test_a_full_disk_keeps_what_is_stored_and_ends_in_a_sentence(tmp_path) -> None:
    told = 0
    with small_disk(tmp_path / "disk", "1m") as disk:
        store, written = ResultStore(disk / "local", tmp_path / "none"), {}
        comparisons, rng = small_request(stitches=3).comparisons, np.random.default_rng(0)
        for number in range(cases(60, 400)):
            comparison = comparisons[number % len(comparisons)]
            arrays = {"x": rng.standard_normal(int(rng.choice([4, 900, 9000, 40000])))}
            try:
                store.put(comparison.key, arrays, {"comparison": comparison.to_dict()})
                written[comparison.key] = arrays
            except ValueError as error:
                assert "The disk that holds the cache is full. What was stored before is kept." in str(error)
                told += 1
                if told % 5 == 0:
                    with contextlib.suppress(UserError):  # removing needs a little room too
                        store.delete(comparison.key)
                        written.pop(comparison.key, None)
        assert told
        assert_same_bytes(values(ResultStore(disk / "local", tmp_path / "none"), small_request(stitches=3)), written)
        assert_same_bytes(values(store, small_request(stitches=3)), written)
        assert store.orphans(0) == [], "a write that failed left half a file"
    tally("writes to a full disk", cases=cases(60, 400), wrong=0, tracebacks=0, note=f"{told} told in a sentence")


@pytest.mark.faults
@pytest.mark.parametrize("leave", [0, 60_000, 400_000])
def test_a_command_on_a_full_disk_and_after_room_was_made(tmp_path, new_root, leave) -> None:
    root = Path(new_root())
    with small_disk(root / "disk", "3m") as disk:
        (disk / "local").mkdir()
        (disk / "local" / "data").symlink_to((root / "local" / "data").resolve())
        filler = fill_up(disk, leave)
        full = command(str(disk), "compare", F, G, "--batches", "4")
        assert "Traceback" not in full.stderr
        if full.returncode:
            assert (
                full.returncode,
                full.stderr.splitlines()[-1].startswith("repdiss: The disk that holds the cache is full."),
            ) == (2, True), full.stderr
        filler.unlink()
        resumed = command(str(disk), "compare", F, G, "--batches", "4", REPDISS_ACTIVATIONS_GB="0.001")
        assert resumed.returncode == 0, resumed.stderr
    tally("a computation on a full disk", cases=1, wrong=0, tracebacks=0, note="resumed once there was room")


@pytest.mark.faults
def test_a_read_only_cache_is_read_and_refuses_in_a_sentence(tmp_path, new_root) -> None:
    root = Path(new_root())
    with small_disk(root / "disk", "8m") as disk:
        (disk / "local").mkdir()
        (disk / "local" / "data").symlink_to((root / "local" / "data").resolve())
        first = command(str(disk), "compare", F, G, "--batches", "4")
        assert first.returncode == 0, first.stderr
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        again = command(str(disk), "compare", F, G, "--batches", "4")
        assert (again.returncode, again.stdout) == (0, first.stdout), again.stderr
        refused = command(str(disk), "compare", F, G, "--batches", "8")
        assert (
            refused.returncode == 2 and "cannot be written" in refused.stderr and "Traceback" not in refused.stderr
        ), refused.stderr
        assert command(str(disk), "cache", "verify").returncode == 0
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    tally(
        "a read-only cache",
        cases=4,
        wrong=0,
        tracebacks=0,
        note="stored results are read; computing is refused in a sentence",
    )


def test_a_read_only_disk_is_read_and_refuses_to_be_written(tmp_path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        store, comparison = ResultStore(disk / "local", tmp_path / "none"), small_request(stitches=3).comparisons[0]
        store.put(comparison.key, {"x": np.ones(9)}, {"comparison": comparison.to_dict()})
        store.close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        store = ResultStore(disk / "local", tmp_path / "none")
        assert store.get(comparison.key).arrays["x"].sum() == 9 and store.keys("local") == [comparison.key]
        with pytest.raises(UserError, match="cannot be written"):
            store.put("b" * 64, {"x": np.ones(1)}, {})
        assert store.verify() == (1, [])


def test_a_new_cache_that_cannot_be_made_shows_what_ships(tmp_path, monkeypatch, capsys) -> None:
    """A checkout that the server may not write, as a public demo may have it."""
    with small_disk(tmp_path / "disk", "1m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        monkeypatch.setenv("REPDISS_CACHE", str(disk / "cache"))
        st.cache_resource.clear()
        for page in cases(["app.py", *list(PAGES)[1:2], *list(PAGES)[-1:]], list(PAGES)):
            shown = opened(page)
            assert [error.message for error in shown.exception] == [] and not shown.error and shown.title, page
        assert main(["figure", "fig4", "--out", str(tmp_path / "fig4.json")]) == 0
        assert main(["compare", F, G, "--batches", "2"]) == 2
        assert re.search(
            "The disk that holds the cache cannot be written .Read-only file system.", capsys.readouterr().err
        )
    st.cache_resource.clear()
    tally("a new cache on a read-only disk", cases=10, tracebacks=0, note="the pages show what ships")


@pytest.mark.parametrize(("make", "reason"), [
    (lambda place: place.write_text("x"), "Not a directory"),
    (lambda place: place.mkdir() or (place / "local").write_text("x"), "Not a directory"),
    (lambda place: place.symlink_to(place), "Too many levels of symbolic links"),
])  # fmt: skip
def test_a_cache_that_is_no_folder_is_a_sentence(tmp_path, monkeypatch, capsys, make, reason) -> None:
    make(tmp_path / "place")
    monkeypatch.setenv("REPDISS_CACHE", str(tmp_path / "place"))
    sentence = (
        rf"The cache .*place/local cannot be opened \({reason}\). Give this user the right to read it, "
        r"or set REPDISS_CACHE to another folder"
    )
    for arguments in (
        ["cache", "info"],
        ["compare", F, G, "--batches", "2"],
        ["figure", "fig4", "--out", "x.json"],
        ["list", "models"],
    ):
        assert main(arguments) == 2
        assert re.search(sentence, capsys.readouterr().err)
    shown = opened("pages/7_Runs.py")
    assert [error.message for error in shown.exception] == []
    assert re.search(sentence, shown.error[0].value.replace("\\", ""))


def test_missing_permissions_are_a_sentence(tmp_path) -> None:
    """As a user who may read the repository but not write the cache."""
    if os.geteuid():
        pytest.skip("FAULT TESTS OF PERMISSIONS DID NOT RUN: they change the user, which needs root.")
    script = f"""
import os, sys
sys.path.insert(0, {str(REPOSITORY)!r})
import numpy as np
from pathlib import Path
from repdiss_core.runs import jobs
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.__main__ import main
from repdiss_core.store.cache import ResultStore
from repdiss_core.base.errors import UserError
from faulting import small_request
local = Path(os.environ["REPDISS_CACHE"]) / "local"
request = small_request(stitches=3)
os.setegid(65534); os.seteuid(65534)
store = ResultStore(local, local / "none")
assert store.get("0" * 64) is None and store.get({"a" * 64!r}).arrays["x"][0] == 1.0, store.problems
put, start = lambda: store.put("b" * 64, {{"x": np.ones(1)}}, {{}}), lambda: jobs.start(request, "t")
for act in (put, start, lambda: store.lock("c" * 64).acquire()):
    try:
        act()
    except UserError as error:
        print(error)
    else:
        sys.exit("nothing was refused")
cache = ActivationCache(local / "activations")
assert cache.get("x") is None and "went on without" in cache.problems[0]
os.environ["REPDISS_CACHE"] += "/closed"
try:
    ResultStore.open()
except UserError as error:
    print(error)
"""
    store = ResultStore(tmp_path / "local", tmp_path / "none")
    store.put("a" * 64, {"x": np.ones(1)}, {})
    store.close()
    (tmp_path / "closed" / "local").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    for folder in (tmp_path, *(parent for parent in tmp_path.parents if parent.name.startswith(("pytest-", "popen-")))):
        folder.chmod(folder.stat().st_mode | 0o055)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"REPDISS_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert re.search(
        r"The cache .*closed/local cannot be opened \(Permission denied\). Give this user the right", said.pop()
    )
    assert len(said) == 3 and all(
        "The disk that holds the cache cannot be written" in line and "/" not in line.split("What")[0] for line in said
    ), done.stdout
    tally("missing permissions", cases=5, wrong=0, tracebacks=0)

"""Checkpoints: what was saved comes back; what is damaged, foreign or cannot be written is told."""

from __future__ import annotations

import os
import pickle
import shutil

import numpy as np
import pytest
from safetensors.numpy import save

from repdiss_core.engine.checkpoint import CheckpointDir

ARRAYS = {"phi": np.arange(6, dtype=np.float32).reshape(2, 3), "curve": np.array([0.1, 1 / 3]), "none": np.zeros(0)}


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def folder(tmp_path, reports) -> CheckpointDir:
    return CheckpointDir(tmp_path / "checkpoints", reports.append)


def test_what_is_saved_comes_back_to_the_bit(folder, reports):
    assert folder.load("key") is None
    assert folder.save("key", ARRAYS, {"step": 3, "names": ["a"]})
    arrays, plain = folder.load("key")
    assert plain == {"step": 3, "names": ["a"]} and arrays.keys() == ARRAYS.keys() and reports == []
    assert all(np.array_equal(arrays[n], ARRAYS[n]) and arrays[n].dtype == ARRAYS[n].dtype for n in ARRAYS)


def test_a_later_save_replaces_the_first_and_leaves_no_other_file(folder):
    folder.save("key", ARRAYS, {"step": 1})
    folder.save("key", {"phi": np.ones(2)}, {"step": 2})
    arrays, plain = folder.load("key")
    assert plain == {"step": 2} and list(arrays) == ["phi"]
    assert [file.name for file in folder.path.iterdir()] == ["key.safetensors"]


def test_every_flipped_byte_is_noticed(folder, reports):
    folder.save("key", ARRAYS, {"step": 1})
    whole = folder.file("key").read_bytes()
    for at in [*range(0, len(whole), 29), len(whole) - 1]:
        folder.file("key").write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        loaded = folder.load("key")
        if loaded is not None:  # a byte that carries nothing, such as padding of the header
            assert loaded[1] == {"step": 1} and all(np.array_equal(loaded[0][n], ARRAYS[n]) for n in ARRAYS)
        else:
            assert "starts afresh" in reports.pop()


def test_a_cut_file_is_noticed(folder, reports):
    folder.save("key", ARRAYS, {})
    whole = folder.file("key").read_bytes()
    for length in (0, 5, len(whole) // 2, len(whole) - 1):
        folder.file("key").write_bytes(whole[:length])
        assert folder.load("key") is None and "cannot be read" in reports.pop()


def test_files_of_others_are_refused(folder, reports):
    folder.save("other", ARRAYS, {})
    shutil.copy(folder.file("other"), folder.file("key"))
    assert folder.load("key") is None and "not written for this computation" in reports.pop()
    folder.file("key").write_bytes(save(ARRAYS))
    assert folder.load("key") is None and "not written for this computation" in reports.pop()
    folder.file("key").write_bytes(pickle.dumps({"phi": 1}))
    assert folder.load("key") is None and "cannot be read" in reports.pop()


def test_a_failing_write_is_reported_and_keeps_the_last_checkpoint(folder, reports, monkeypatch):
    folder.save("key", ARRAYS, {"step": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert not folder.save("key", ARRAYS, {"step": 2})
    assert "could not be written (No space left on device)" in reports[0]
    monkeypatch.undo()
    assert folder.load("key")[1] == {"step": 1}
    assert [file.name for file in folder.path.iterdir()] == ["key.safetensors"]


def test_a_discarded_checkpoint_is_gone(folder):
    folder.save("key", ARRAYS, {})
    folder.discard("key")
    folder.discard("key")
    assert folder.load("key") is None

"""The docstring corpus on a small tree of made-up packages, and the identity of the real one."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from repdiss_core import bundled
from repdiss_core.data import docstring_text, docstrings
from repdiss_core.data.docstring_text import Sources, documents, files_of, paragraphs, split_of

SHARED = "A paragraph that stands in every file."


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two packages of 60 files; every file shares one paragraph, and each third repeats its neighbour's."""
    for name in ("alpha", "beta"):
        (tmp_path / name / "tests").mkdir(parents=True)
        for i in range(60):
            top = f'"""File {name} {i - (i % 3 == 0)}.\n\n    {SHARED}\n    """\n\n'
            body = top + f'def f():\n    """Function {i} of {name}.\n\n    >>> f()\n    {i}\n    """\n'
            (tmp_path / name / f"m{i:02d}.py").write_text(body)
        (tmp_path / name / "tests" / "test_a.py").write_text('"""A test."""\n')
        (tmp_path / name / "made.py").write_text('# This file is AUTO-GENERATED\n"""Generated."""\n')
        (tmp_path / name / "broken.py").write_text('"""Broken."""\ndef (:\n')
    return tmp_path


@pytest.fixture
def sources(site: Path) -> Sources:
    return Sources(site, held_out=("alpha",), train_only=("beta",))


def _paragraphs(sources: Sources, split: str) -> list[str]:
    return [" ".join(p.split()) for text in documents(sources, split) for p in text.split("\n\n")]


def test_splits_share_no_file(sources: Sources):
    files = {split: set(files_of(sources, split)) for split in docstring_text.SPLITS}
    assert files["eval"] and files["phi"] and files["train"]
    assert not files["eval"] & files["phi"] and not (files["eval"] | files["phi"]) & files["train"]
    held = files["eval"] | files["phi"]
    assert all(p.parts[-2] == "alpha" for p in held)
    assert {p.name for p in held | files["train"] if p.parts[-2] == "alpha"} >= {f"m{i:02d}.py" for i in range(60)}


def test_splits_share_no_paragraph_and_repeat_none(sources: Sources):
    found = {split: _paragraphs(sources, split) for split in docstring_text.SPLITS}
    everything = [p for texts in found.values() for p in texts]
    assert len(everything) == len(set(everything)) > 150
    assert SHARED in found["eval"]  # the first split that has it keeps it


def test_eval_reads_its_own_files_alone(sources: Sources):
    before = _paragraphs(sources, "eval")
    for path in set(files_of(sources, "train")) | set(files_of(sources, "phi")):
        path.unlink()
    assert _paragraphs(sources, "eval") == before


def test_tests_generated_and_broken_files_are_not_read(sources: Sources, site: Path):
    assert not any("tests" in p.parts for s in docstring_text.SPLITS for p in files_of(sources, s))
    assert paragraphs(site / "alpha" / "made.py") == [] and paragraphs(site / "alpha" / "broken.py") == []


def test_docstrings_lose_their_common_indentation(tmp_path: Path):
    path = tmp_path / "a.py"
    path.write_text('class A:\n    """One.\n\n    Two:\n        indented  \n    """\n    x = "not a docstring"\n')
    assert paragraphs(path) == ["One.", "Two:\n    indented"]


def test_split_depends_on_the_path_alone():
    expected = {"alpha/m01.py": "train"}
    assert {p: split_of(p) for p in expected} == expected
    shares = [split_of(f"pkg/f{i}.py") for i in range(4000)]
    assert 0.04 < shares.count("eval") / 4000 < 0.08 and 0.04 < shares.count("phi") / 4000 < 0.08


def test_files_of_one_platforms_wheel_are_left_out(tmp_path: Path):
    for name in ("numpy/__init__.py", "numpy/version.py", "numpy/lib/__init__.py", "numpy/lib/a.py", "numpy/p_pb2.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('"""Text."""\n')
    sources = Sources(tmp_path, ("numpy",))
    kept = {p.relative_to(tmp_path).as_posix() for s in docstring_text.SPLITS for p in files_of(sources, s)}
    assert kept == {"numpy/lib/__init__.py", "numpy/lib/a.py"}


def test_tokens_are_the_documents_with_separators(sources: Sources):
    from tokenizers import Tokenizer

    row = docstrings.build(sources, "eval", bundled.TOKENIZER_FILE)
    again = docstrings.build(sources, "eval", bundled.TOKENIZER_FILE)
    assert docstrings.content_hash(row) == docstrings.content_hash(again)
    assert docstrings.content_hash(row) != docstrings.content_hash(row[:-1])
    tokenizer = Tokenizer.from_file(str(bundled.TOKENIZER_FILE))
    separator = tokenizer.token_to_id(bundled.SEPARATOR)
    ends = np.flatnonzero(row == separator)
    texts = list(documents(sources, "eval"))
    assert len(ends) == len(texts) and ends[-1] == len(row) - 1
    assert tokenizer.decode(row[: ends[0]].tolist()) == texts[0]


@pytest.fixture
def made_up_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: Sources) -> Path:
    """A cache of its own, over the made-up packages."""
    monkeypatch.setenv("REPDISS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(docstring_text, "installed_sources", lambda: sources)
    return tmp_path / "cache"


def test_tokens_are_cached_and_a_damaged_file_is_built_again(made_up_packages: Path):
    row = docstrings.tokens("eval")
    (file,) = made_up_packages.rglob("docstrings-eval-*.npy")
    assert docstrings.content_id("eval") == docstrings.content_hash(row)
    whole = file.read_bytes()
    for damaged in (whole[:-40], whole[:-2] + b"\x01\x02", b""):
        file.write_bytes(damaged)
        assert np.array_equal(docstrings.tokens("eval"), row)
        assert file.read_bytes() == whole


def test_content_id_without_building(made_up_packages: Path):
    recorded = bundled.facts()["data"]["docstrings"]["splits"]["eval"]["content"]
    if docstrings.versions_differ():
        pytest.skip("other package versions are installed than the pinned ones")
    assert docstrings.content_id("eval") == recorded
    assert not list(made_up_packages.rglob("*.npy"))


def test_other_versions_are_named_and_give_another_hash(made_up_packages: Path, monkeypatch: pytest.MonkeyPatch):
    pinned = bundled.facts()["data"]["docstrings"]
    changed = {**dict(pinned["packages"]), "numpy": "2.0.0"}
    changed.pop("sympy")
    monkeypatch.setattr(docstrings, "installed_versions", lambda: changed)
    differ = docstrings.versions_differ()
    assert f"numpy 2.0.0 is installed, {pinned['packages']['numpy']} is pinned" in differ
    assert f"sympy is not installed, {pinned['packages']['sympy']} is pinned" in differ
    assert docstrings.content_id("eval") == docstrings.content_hash(docstrings.tokens("eval"))


@pytest.mark.slow
def test_the_pinned_packages_give_the_recorded_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if docstrings.versions_differ():
        pytest.skip("other package versions are installed than the pinned ones")
    monkeypatch.setenv("REPDISS_CACHE", str(tmp_path))
    for split in ("eval", "phi"):
        began = time.perf_counter()
        row = docstrings.tokens(split)
        assert time.perf_counter() - began < 30
        assert docstrings.content_id(split) == bundled.facts()["data"]["docstrings"]["splits"][split]["content"]
        assert row.size >= 250_000


def test_no_text_ships():
    tracked = [p for p in bundled.FOLDER.iterdir() if p.is_file() and p.suffix != ".py"]
    assert {p.name for p in tracked} <= {"tokenizer.json", "facts.json", "NOTICE"}
    model = json.loads(bundled.TOKENIZER_FILE.read_text())["model"]
    assert len(model["vocab"]) == 2048
    assert hashlib.sha256(bundled.TOKENIZER_FILE.read_bytes()).hexdigest() == bundled.facts()["tokenizer"]["sha256"]
    assert os.path.getsize(bundled.TOKENIZER_FILE) < 200_000

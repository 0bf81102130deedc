"""What NOTICE files and documents name exists: licences, files, and modules behind `python -m`."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTICES = sorted({ROOT / "NOTICE", *(ROOT / "repdiss_core").rglob("NOTICE")})
DOCUMENTS = [ROOT / "README.md", ROOT / "Makefile", *sorted((ROOT / "docs").glob("*.md")), *NOTICES]
COMMAND = re.compile(r"python -m ((?:repdiss_core|tests)[\w.]*\w)")
FILE = re.compile(r"(?:\.\./|repdiss_core/)[\w./-]*\w|\bLICENSE\b|\brequirements[\w-]*\.txt\b")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", NOTICES, ids=name)
def test_files_that_a_notice_names_exist(path: Path) -> None:
    named = FILE.findall(path.read_text(encoding="utf-8"))
    assert named, f"{name(path)} names no file: say where the text, the weights or the licence lie."
    missing = [n for n in named if not any((folder / n).exists() for folder in (path.parent, ROOT))]
    assert not missing, f"{name(path)} names {missing}, which do not exist."


@pytest.mark.parametrize("path", NOTICES, ids=name)
def test_the_licence_that_a_notice_names_is_the_one_that_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for licence in re.findall(r"[\w./]*LICENSE", text):
        assert (ROOT / licence).read_text(encoding="utf-8").startswith("MIT License"), f"{licence} is not MIT's."
        assert re.search(r"\bMIT\b", text), f"{name(path)} refers to {licence} and does not say which licence it is."


def test_what_is_vendored_has_its_licence_beside_it_and_stands_in_the_notice() -> None:
    attributes = (ROOT / ".gitattributes").read_text(encoding="utf-8")
    vendored = re.findall(r"^(\S+) .*linguist-vendored", attributes, flags=re.MULTILINE)
    assert vendored
    for pattern in vendored:
        for path in ROOT.glob(pattern):
            assert (path.parent / "LICENSE").is_file(), f"{name(path)} has no LICENSE beside it."
            assert name(path) in (ROOT / "NOTICE").read_text(encoding="utf-8"), f"NOTICE does not name {name(path)}."


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_commands_that_a_document_names_exist(path: Path) -> None:
    for module in sorted(set(COMMAND.findall(path.read_text(encoding="utf-8")))):
        try:
            spec = find_spec(module)
            runs = spec is not None and (not spec.submodule_search_locations or find_spec(f"{module}.__main__"))
        except ModuleNotFoundError:
            runs = False
        assert runs, f"{name(path)} names `python -m {module}`, and there is no such command."

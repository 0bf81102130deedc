"""Docstrings stand whole: no line in a paragraph or an entry is indented by half, as a wrap by machine leaves it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SECTIONS = ("Args:", "Returns:", "Raises:", "Yields:", "Attributes:", "Feature rows:")
ENTRY = re.compile(r" {4}\*{0,2}[A-Za-z_][\w.]*(, \*{0,2}[A-Za-z_][\w.]*)*:")
MARKS = re.compile(r" *([-*•] |\d+[.)] |>>> |\\b)")


def sources() -> list[Path]:
    return [
        ROOT / "app.py",
        *(p for room in ("pages", "repdiss_core", "tests") for p in sorted((ROOT / room).rglob("*.py"))),
    ]


def docstrings(source: str) -> Iterator[tuple[int, list[str]]]:
    """(number of the first line, lines without the indent of the quotes) of each docstring."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is None:
            continue
        quotes = node.body[0]
        lines = source.splitlines()[quotes.lineno - 1 : quotes.end_lineno]
        yield quotes.lineno, [lines[0].strip(), *(line[quotes.col_offset :] for line in lines[1:])]


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def faults(lines: list[str]) -> Iterator[int]:
    """Which lines of a docstring stand at a wrong indent, counted from 0.

    Entries of a section stand at 4, their further lines at 8; those of Returns and Yields at 4. A paragraph stands at
    0; it may hold a formula further in, behind a line that ends with a colon or before an equals sign.
    """
    section, before = "", ""
    for number, line in enumerate(lines):
        text = line.strip()
        if not text or text == '"""':
            section, before = "", ""
            continue
        if text in SECTIONS and indent(line) == 0:
            section = text
        elif section in ("Returns:", "Yields:"):
            if indent(line) != 4:
                yield number
        elif section:
            if indent(line) != 8 and not ENTRY.match(line):
                yield number
        elif before and indent(line) > indent(before):
            formula = before.rstrip().endswith(":") or " = " in text
            if not formula and not MARKS.match(line) and not MARKS.match(before):
                yield number
        before = line


@pytest.mark.parametrize("path", sources(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_line_of_a_docstring_is_indented_by_half(path: Path) -> None:
    broken = [start + at for start, lines in docstrings(path.read_text(encoding="utf-8")) for at in faults(lines)]
    assert not broken, f"{path.relative_to(ROOT)}: lines {broken} stand at a wrong indent; fill the paragraph anew."


@pytest.mark.parametrize(
    ("docstring", "wrong"),
    [
        ("Sum.\n\nIt is the sum of\n    all of its\nparts.", [3]),
        ("Sum.\n\nArgs:\n    a: the first\n            of two.", [4]),
        ("Sum.\n\nArgs:\n    a: the first\n    of two.", [4]),
        ("Sum.\n\nReturns:\n    A sum\n        of two.", [4]),
        ("Sum.\n\nArgs:\n    a, b: the first\n        of two.\n    c: the last.", []),
        ("Sum.\n\nWith s the sum:\n\n    s = a + b", []),
        ("Sum.\n\nWith s the sum,\n    s = a + b\nis wide.", []),
    ],
)
def test_a_broken_line_is_seen(docstring: str, wrong: list[int]) -> None:
    assert list(faults(docstring.split("\n"))) == wrong

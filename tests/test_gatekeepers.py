"""Style and types are checked before the tests in CI, and before each commit, by tools that are pinned."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def commands_of(target: str) -> str:
    """What a target of the Makefile runs."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", read("Makefile"), flags=re.MULTILINE)
    assert found, f"The Makefile has no target {target}."
    return found[1]


def test_ci_checks_style_and_types_before_the_tests() -> None:
    lines = [line for line in read(".ci/run").splitlines() if line.startswith("make ")]
    assert lines == ["make lint types", "make test"]
    assert "ruff check ." in commands_of("lint") and "ruff format --check ." in commands_of("lint")
    assert "mypy" in commands_of("types")


def test_hooks_run_the_same_tools_and_fetch_nothing() -> None:
    hooks = read(".pre-commit-config.yaml")
    assert re.findall(r"repo: (\S+)", hooks) == ["local"] and "rev:" not in hooks
    assert set(re.findall(r"entry: \.venv/bin/python -m (\w+)", hooks)) == {"ruff", "mypy"}


def test_tools_are_pinned_and_strict() -> None:
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", read("requirements-dev.txt"), flags=re.MULTILINE))
    assert {"ruff", "mypy"} <= set(pinned)
    settings = tomllib.loads(read("pyproject.toml"))["tool"]
    assert settings["ruff"]["line-length"] == 120 and "E501" not in settings["ruff"]["lint"]["ignore"]
    strict = ("disallow_untyped_defs", "disallow_incomplete_defs", "no_implicit_optional", "warn_unused_ignores")
    assert all(settings["mypy"][name] for name in strict) and "ignore_errors" not in settings["mypy"]
    overrides = settings["mypy"]["overrides"]
    assert not any(name.startswith("repdiss_core") for part in overrides for name in part["module"])

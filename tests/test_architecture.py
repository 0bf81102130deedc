"""Who may import whom, read from the code with `ast`. A broken rule says what to do instead."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "transformers", "transformer_lens", "datasets", "ray"}

# A row may import lower rows. A room's files share its row, and rooms of one row leave each other alone.
FLOORS = (
    ("repdiss_core.__main__",),
    ("app", "pages", "repdiss_core.cli", "repdiss_core.scripts"),
    ("repdiss_core.ui", "repdiss_core.engine"),
    ("repdiss_core.studies", "repdiss_core.runs"),
    ("repdiss_core.models",),
    ("repdiss_core.data",),
    ("repdiss_core.analysis", "repdiss_core.hub"),
    ("repdiss_core.measures", "repdiss_core.store", "repdiss_core.plots", "repdiss_core.bundled"),
    ("repdiss_core.base",),
)
FLOOR_OF = {name: len(FLOORS) - level for level, names in enumerate(FLOORS) for name in names}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> list[Path]:
    return [ROOT / "app.py", *sorted((ROOT / "pages").glob("*.py")), *sorted((ROOT / "repdiss_core").rglob("*.py"))]


def imports(path: Path) -> list[tuple[str, bool, int]]:
    """(imported module, whether at the top of the file, line); imports for type checkers alone are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for n in ast.walk(f)}
    typing_only = {
        id(n)
        for i in ast.walk(tree)
        if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.unparse(i.test)
        for n in ast.walk(i)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) not in lazy, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(name, id(node) not in lazy, node.lineno) for name in names]
    return found


def floor_name(module: str) -> str | None:
    """The longest name on a floor that the module lies under."""
    fits = [name for name in FLOOR_OF if module == name or module.startswith(f"{name}.")]
    return max(fits, key=len) if fits else None


@pytest.mark.parametrize("path", sources(), ids=lambda p: module_name(p))
def test_imports_go_downward(path: Path) -> None:
    mine = floor_name(module_name(path))
    if module_name(path) == "repdiss_core":
        return
    assert mine is not None, (
        f"{path.name} stands on no floor: name its place in FLOORS of this test, and say why in docs/decisions.md."
    )
    for imported, _, line in imports(path):
        theirs = floor_name(imported)
        if not imported.startswith("repdiss_core") or theirs is None or theirs == mine:
            continue
        assert FLOOR_OF[theirs] < FLOOR_OF[mine], (
            f"{module_name(path)}:{line} imports {imported}, which stands on the same floor or above. "
            f"Move what is needed to a lower floor, or pass it in as an argument."
        )


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports inside functions count, those for type checkers alone do not."""
    paths = {module_name(path): path for path in sources()}

    def read(name: str) -> set[str]:
        """Modules that a module imports, a package only where no module of it is named."""
        found = {
            imported if imported in paths else imported.rpartition(".")[0] for imported, _, _ in imports(paths[name])
        }
        return (found & set(paths)) - {name}

    left = {name: read(name) for name in paths if paths[name].name != "__init__.py"}
    while ends := [name for name, needs in left.items() if not needs & set(left)]:
        for name in ends:
            del left[name]
    assert not left, (
        f"{sorted(left)} hold a circle of imports, or stand above one: "
        "move what two of them share to a file below both."
    )


@pytest.mark.parametrize("path", sources(), ids=lambda p: module_name(p))
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    name = module_name(path)
    for imported, at_top, line in imports(path):
        library = imported.split(".")[0]
        if library == "streamlit":
            # `bench load` speaks Streamlit's wire format to a server, as a browser does.
            assert (
                name == "app"
                or name.startswith(("pages", "repdiss_core.ui"))
                or (name == "repdiss_core.scripts.bench.load" and ".proto." in imported)
            ), (
                f"{name}:{line} imports streamlit; only app.py, pages/ and repdiss_core/ui/ may. "
                "Return data and let ui draw it."
            )
        if library == "plotly":
            assert name.startswith("repdiss_core.plots"), (
                f"{name}:{line} imports plotly; only repdiss_core/plots/ may. Add a builder there."
            )
        if library in HEAVY and at_top:
            assert name.startswith(WORKER_ROOMS), (
                f"{name}:{line} imports {library} at its top; the web process reads this file. "
                "Import it inside the function that needs it."
            )


# Files that only workers and scripts import; `test_no_heavy_imports` proves it on the running pages.
WORKER_ROOMS = ("repdiss_core.engine", "repdiss_core.measures.", "repdiss_core.models.", "repdiss_core.scripts.")


@pytest.mark.parametrize(
    "path", [p for p in sources() if p.parent == ROOT / "pages" or p == ROOT / "app.py"], ids=lambda p: p.stem
)
def test_pages_only_place_things(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 120, (
        f"{path.name} is over 120 lines: move parts to repdiss_core/ui/."
    )
    for imported, _, line in imports(path):
        assert imported.split(".")[0] in {"streamlit", "repdiss_core", "__future__", "dataclasses", "typing"}, (
            f"{path.name}:{line} imports {imported}: pages place pickers and figures only. Move it to repdiss_core/ui/."
        )


@pytest.mark.parametrize("path", sources(), ids=lambda p: module_name(p))
def test_files_stay_short(path: Path) -> None:
    n_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert n_lines <= 320, f"{module_name(path)} has {n_lines} lines; split it by what its parts are for."


def test_top_level_is_fixed() -> None:
    allowed = {
        "app.py",
        "pages",
        "repdiss_core",
        "cache",
        "tests",
        "requirements.txt",
        "README.md",
        "Makefile",
        "NOTICE",
        "docs",
    } | {"pyproject.toml", "LICENSE", "CITATION.cff"}
    found = {p.name for p in ROOT.iterdir() if not p.name.startswith(".") and p.name != "__pycache__"}
    extra = {name for name in found - allowed if not (name.startswith("requirements-") and name.endswith(".txt"))}
    assert not extra, f"{sorted(extra)} lie at the top level; put them in one of {sorted(allowed)}."


@pytest.mark.parametrize("path", sources(), ids=lambda p: module_name(p))
def test_a_type_that_is_ignored_has_a_code_and_a_reason(path: Path) -> None:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if "type: ignore" in line:
            assert re.search(r"# type: ignore\[[\w, -]+\]  # \w", line), (
                f"{module_name(path)}:{number} hides a finding of mypy: name its code, and say why behind it."
            )

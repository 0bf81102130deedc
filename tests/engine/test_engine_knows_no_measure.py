"""The engine obeys specs: it imports no single measure, and no line of it names one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from repdiss_core.base.paths import REPOSITORY
from repdiss_core.measures import MEASURES

# What several measures share, and what features and rows are before any measure sees them.
SHARED = {"", "spec", "protocol", "shared", "massive", "flatten", "gram", "products", "stitch_settings"}
FILES = sorted((REPOSITORY / "repdiss_core" / "engine").glob("*.py"))


def measure_imports(tree: ast.Module) -> set[str]:
    """Modules of `repdiss_core.measures` that a file imports, anywhere in it; "" for the package itself."""
    found = set()
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("repdiss_core.measures"):
            names = [node.module or ""]
            if node.module == "repdiss_core.measures":
                names += [f"{node.module}.{alias.name}" for alias in node.names if alias.name.islower()]
        found |= {
            name.removeprefix("repdiss_core.measures").lstrip(".") for name in names if "repdiss_core.measures" in name
        }
    return found - {"spec_of", "result_type", "measure_spec"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_no_measure_is_imported_or_named(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    foreign = measure_imports(tree) - SHARED
    assert not foreign, f"{path.name} imports {foreign}: reach a measure by its spec, `spec_of(comparison).load()`."
    texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    assert not texts & set(MEASURES), (
        f"{path.name} names {texts & set(MEASURES)}: what is special about it belongs in its spec."
    )


def test_the_rule_sees_a_measure() -> None:
    seen = measure_imports(
        ast.parse("def f():\n    from repdiss_core.measures.cka import prepare\nfrom repdiss_core.measures import rsa")
    )
    assert seen - SHARED == {"cka", "rsa"}

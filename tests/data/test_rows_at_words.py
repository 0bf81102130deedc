"""Rows at words and at texts: which token stands for a word, how texts are cut, and what is too short."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import pytest
from tokenizers import Tokenizer

from repdiss_core import bundled
from repdiss_core.base.comparison import DataId
from repdiss_core.base.errors import UserError
from repdiss_core.data import (
    bound,
    by_rows,
    content_id,
    dataset_spec,
    open_stream,
    packed_text,
    row_streams,
    text_sources,
    text_splits,
    tokenizer,
)
from repdiss_core.data.row_batches import TextBatch, last_tokens
from repdiss_core.data.row_streams import TEXTS, UNICODE_WORDS, WORDS, word_spans

WORDS_OF_BOOK = [f"w{i}{'x' * (i % 5)}" for i in range(4000)]


@pytest.fixture
def book(tmp_path):
    """100 paragraphs of 40 words."""
    path = tmp_path / "book.txt"
    paragraphs = [" ".join(WORDS_OF_BOOK[i : i + 40]) for i in range(0, 4000, 40)]
    path.write_text("\n\n".join(paragraphs), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [
        ([(0, 3), (3, 8)], [0, 1]),  # the space before a word counts to its token, or
        ([(0, 3), (4, 8)], [0, 1]),  # it does not
        ([(0, 1), (1, 3), (3, 6), (6, 8)], [1, 3]),  # pieces: the last one
        ([(0, 3), (3, 4), (4, 8), (4, 8), (8, 8)], [0, 3]),  # bytes of one character, and a token of none
        ([(0, 4), (4, 8)], [-1, 1]),  # a token that runs beyond the end of the word
        ([(0, 8)], [-1, 0]),
        ([], [-1, -1]),
    ],
)
def test_a_word_stands_at_the_last_token_that_ends_with_it(offsets, expected):
    assert last_tokens(offsets, np.array([3, 8])).tolist() == expected


def test_words_by_white_space_and_by_unicode():
    text = "can't stop\t3.14\u00a0now, 你好"
    assert [text[a:b] for a, b in word_spans(text, WORDS)] == ["can't", "stop", "3.14", "now,", "你好"]
    assert [text[a:b] for a, b in word_spans(text, UNICODE_WORDS)] == ["can't", "stop", "3.14", "now", "你", "好"]
    assert word_spans(" \n ", WORDS).shape == (0, 2)


def test_a_batch_in_the_tokens_of_the_bundled_models():
    text = "The quick  brown fox\n\njumps over"
    ends = word_spans(text, WORDS)[:, 1]
    batch = TextBatch((text, "one"), (ends, np.array([3])), WORDS)
    aligned = batch.cut("", 128, masked=True)
    encoder = Tokenizer.from_file(str(bundled.TOKENIZER_FILE))
    ids = encoder.encode(text).ids
    assert aligned.batch.tokens[0].tolist() == ids and aligned.batch.tokens.shape == (2, len(ids))
    np.testing.assert_array_equal(aligned.batch.mask.sum(axis=1), [len(ids), len(encoder.encode("one").ids)])
    # What is read up to a row's place is the text up to the end of its word.
    for place, end in zip(aligned.places[:-1], ends, strict=True):
        assert encoder.decode(ids[: place + 1]) == text[:end]
    assert batch.n_rows == 7 and batch.sequence_ids.tolist() == [0] * 6 + [1]
    short = batch.cut("", 3, masked=False)
    assert short.batch.mask is None and short.batch.tokens.shape == (2, 3)
    assert short.has_row.sum() < 7 and (short.places[~short.has_row] == -1).all()


def test_every_word_of_the_measuring_part_stands_in_one_sequence(book):
    name = by_rows(f"path:{book}", WORDS)
    stream = open_stream(name, "eval", 4, 32)
    seen = [word for i in range(stream.n_batches) for text in stream.batch(i).texts for word in text.split()]
    assert len(seen) == len(set(seen)) == stream.n_batches * 128
    assert set(seen) <= set(WORDS_OF_BOOK[:3240])  # the first 80 % of the characters
    batch = stream.batch(1)
    for text, ends in zip(batch.texts, batch.ends, strict=True):
        assert [text[:end].split()[-1] for end in ends] == text.split()
        assert re.search(r"\n\n", text) or " " in text
    again, other = open_stream(name, "eval", 4, 32), open_stream(name, "eval", 4, 32, seed=1)
    assert again.batch(1).texts == batch.texts != other.batch(1).texts
    phi = open_stream(name, "phi", 4, 32)
    assert not set(seen) & {word for i in range(phi.n_batches) for text in phi.batch(i).texts for word in text.split()}
    assert phi.data_id.content != stream.data_id.content


def test_a_plain_text_is_one_long_text(tmp_path):
    paragraphs = [f"{i} " + "word " * 200 for i in range(100)]
    path = tmp_path / "long.txt"
    path.write_text("\n\n".join(paragraphs), encoding="utf-8")
    source = dataset_spec(f"path:{path}").text
    first, rest = (list(text_splits.documents_of(source, split)) for split in ("eval", "phi"))
    numbers = [[int(p.split()[0]) for run in runs for p in run.split("\n\n")] for runs in (first, rest)]
    assert numbers[0] == list(range(len(numbers[0]))) and numbers[1] == list(range(len(numbers[0]), 100))
    assert 79 <= len(numbers[0]) <= 81
    assert all(len(run) >= text_splits.RUN_CHARACTERS for run in first[:-1])
    assert text_splits.rule_of(source) == 3


def test_a_set_of_documents_keeps_its_cut_and_its_keys(tmp_path):
    """The identity that the tokens of a set had before plain texts were cut otherwise."""
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps({"text": f"document {i}"}) + "\n" for i in range(9)), encoding="utf-8")
    name = bound(f"path:{path}", "")
    source = dataset_spec(name).text
    assert list(text_splits.documents_of(source, "eval")) == [f"document {i}" for i in range(1, 9, 2)]
    assert list(text_splits.documents_of(source, "phi")) == [f"document {i}" for i in range(0, 9, 2)]
    form = {"text": text_sources.identity(source), "tokenizer": tokenizer.fingerprint("bundled")}
    form |= {"separator": bundled.SEPARATOR, "split": "eval", "rule": 2, "most": packed_text.MAX_TOKENS, "start": False}
    assert content_id(name, "eval") == hashlib.sha256(json.dumps(form, sort_keys=True).encode()).hexdigest()


def test_docstrings_are_text_for_models_of_any_tokenizer():
    stream = open_stream(by_rows("docstrings", WORDS), "eval", 8, 32)
    assert stream.n_batches > 100 and stream.batch(0).n_rows == 256
    with pytest.raises(UserError, match=r"no split of docstrings by words named 'train'"):
        open_stream(by_rows("docstrings", WORDS), "train", 8, 32)


@pytest.mark.parametrize(
    ("unit", "sizes", "sentence"),
    [
        (
            WORDS,
            (64, 64),
            r"book.txt by words/eval is too short: it holds 3,\d+ words in whole sequences, enough for 0",
        ),
        (WORDS, (1, 4000), r"holds 0 words in whole sequences, enough for 0 batches of 1 × 4000 words; 1 were asked"),
        (TEXTS, (256, 16), r"is too short: it holds 81 texts, enough for 0 batches of 256 texts; 1 were asked for"),
        (TEXTS, (64, 16), r"Batches of 64 texts are too small where each text is one row: 256 or more are needed"),
    ],
)
def test_too_little_text(book, unit, sizes, sentence):
    with pytest.raises(UserError, match=sentence):
        open_stream(by_rows(f"path:{book}", unit), "eval", *sizes)


def test_texts_end_with_their_last_word(book):
    lines = book.with_suffix(".jsonl")
    texts = [f" \n{'a b c d e f ' * (i % 3)}" for i in range(1600)]
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    stream = open_stream(by_rows(f"path:{lines}", TEXTS), "eval", 256, 5)
    batch = stream.batch(0)
    assert set(batch.texts) == {"a b c d e"} and all(ends.tolist() == [9] for ends in batch.ends)
    data_id = DataId("x", "eval", stream.data_id.content, 256, 5)
    assert row_streams.open_rows(dataset_spec(f"path:{lines}").text, TEXTS, data_id).n_batches == stream.n_batches

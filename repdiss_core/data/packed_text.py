"""Text cut by a model's tokenizer and packed into one row of tokens, cached on this machine.

Documents follow each other with the separator between; `text_splits` says which are for measuring ("eval") and which
for training stitching layers ("phi"). A split ends at MAX_TOKENS, eight times what the paper's settings need.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import Any

import numpy as np

from repdiss_core.base.comparison import DataId
from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import local_root
from repdiss_core.data import text_sources, text_splits, tokenizer
from repdiss_core.data.batches import FramedStream, PackedStream
from repdiss_core.data.text_sources import TextSource
from repdiss_core.store.kept_files import keep_bytes, kept_bytes

MAX_TOKENS = 2**23
UNPINNED = "unpinned"


def content_id(source: TextSource, tokenizer_source: str, split: str, special: str = "out") -> str:
    """Names the tokens: text, tokenizer, token between documents, split and rule.

    Known without a network once text and tokenizer are pinned.

    The tokens themselves need not be there: the commit of the text and the hash of the tokenizer decide them.
    """
    text, cut = text_sources.identity(source), tokenizer.fingerprint(tokenizer_source)
    if text is None or cut == tokenizer.UNKNOWN:
        return UNPINNED
    start = tokenizer_source in tokenizer.START_TOKEN_SOURCES
    form: dict[str, Any] = {"text": text, "tokenizer": cut, "separator": tokenizer.separator_of(tokenizer_source)}
    form |= {"split": split, "rule": text_splits.rule_of(source), "most": MAX_TOKENS, "start": start}
    if tokenizer.is_encoder(tokenizer_source):
        form |= {"framed": True, "special": special}
    return hashlib.sha256(json.dumps(form, sort_keys=True).encode()).hexdigest()


def open_text(source: TextSource, tokenizer_source: str, data_id: DataId, special: str = "out") -> PackedStream:
    """The stream; the text is fetched and cut first where that was not done yet (seconds to a minute).

    Args:
        special: of an encoder, whether the tokens around each sequence become rows of the features ("in") or not
            ("out").
    """
    cutter = tokenizer.load_tokenizer(tokenizer_source)
    if cutter.separator is None:
        raise UserError(
            f"The tokenizer of {tokenizer_source} has no token to put between documents: "
            "it is not one of a language model."
        )
    row = tokens(source, cutter, data_id.split, data_id.content)
    if cutter.frame is not None:
        return FramedStream(with_frame(row, cutter.frame, data_id.tokens_per_sequence), data_id, cutter.frame, special)
    if cutter.start is not None:
        row = with_start(row, cutter.start, data_id.tokens_per_sequence)
    return PackedStream(row, data_id)


def tokens(source: TextSource, cutter: tokenizer.TextTokenizer, split: str, content: str) -> np.ndarray:
    """(n,) uint32 ids of a split, the separator after each document."""
    path = local_root() / "data" / f"text-{content}.npy"
    data = kept_bytes(path)
    if data is not None:
        return np.frombuffer(data, dtype="<u4")
    row = _cut(source, cutter, split)
    if not row.size:
        raise UserError(f"{source.where} holds no text in column {source.column!r} (split {split}).")
    keep_bytes(path, row.tobytes())
    return row


def with_start(row: np.ndarray, start: int, length: int) -> np.ndarray:
    """The row with the start token before every length - 1 tokens,
    so that each sequence of that length begins with it."""
    n = row.size // (length - 1)
    whole = row[: n * (length - 1)].reshape(n, length - 1)
    return np.concatenate([np.full((n, 1), start, dtype=row.dtype), whole], axis=1).reshape(-1)


def with_frame(row: np.ndarray, frame: tuple[int, int], length: int) -> np.ndarray:
    """The row with a token before and one after every length - 2 tokens: each sequence stands between both."""
    if length < 3:
        raise UserError(
            f"Sequences of {length} tokens leave no room between an encoder's special tokens; 3 or more do."
        )
    n = row.size // (length - 2)
    whole = row[: n * (length - 2)].reshape(n, length - 2)
    first, last = (np.full((n, 1), token, dtype=row.dtype) for token in frame)
    return np.concatenate([first, whole, last], axis=1).reshape(-1)


def _cut(source: TextSource, cutter: tokenizer.TextTokenizer, split: str) -> np.ndarray:
    """The documents of a split in tokens."""
    separator = cutter.separator
    assert separator is not None, "open_text refuses a tokenizer without one"
    mine = text_splits.documents_of(source, split)
    row: list[int] = []
    while len(row) < MAX_TOKENS and (batch := list(itertools.islice(mine, 64))):
        for encoded in cutter.encoder.encode_batch(batch, add_special_tokens=False):
            row += [*encoded.ids, separator]
    return np.asarray(row[:MAX_TOKENS], dtype="<u4")

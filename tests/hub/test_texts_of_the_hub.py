"""Text through the loopback hub: packed by the models' own tokenizer, the same off line,
and told when it does not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny_repositories as tiny

from repdiss_core.base.comparison import DataId
from repdiss_core.base.errors import UserError
from repdiss_core.data import bound, content_id, open_stream, packed_text, prepare

PYTHIA, NANDA = "EleutherAI/pythia-70m-deduped", "NeelNanda/gpt-neox-tokenizer-digits"


@pytest.fixture
def texts(hub):
    tiny.fill_models(hub, ("70m",), ())
    tiny.fill_texts(hub)
    return hub


def encoder(hub, source):
    from tokenizers import Tokenizer

    return Tokenizer.from_str(hub.files("model", source, "main")["tokenizer.json"].decode())


@pytest.mark.parametrize("name", ["pile-10k", "pile-val", "hub:org/essays:body"])
def test_a_set_holds_every_second_document_with_separators_between(texts, monkeypatch, name):
    stream = open_stream(bound(name, PYTHIA), "eval", 1, 64)
    cut = encoder(texts, PYTHIA)
    documents = [tiny.text(100 + i, 60 + 10 * (i % 30)) for i in range(60)]
    expected = [
        token for document in documents[1::2] for token in [*cut.encode(document).ids, cut.token_to_id("<|endoftext|>")]
    ]
    rows = {tuple(expected[i : i + 64]) for i in range(0, len(expected) - 63, 64)}
    assert {tuple(stream.batch(i).tokens[0]) for i in range(stream.n_batches)} == rows
    other = open_stream(bound(name, PYTHIA), "phi", 1, 64)
    assert other.data_id.content != stream.data_id.content
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    again = open_stream(bound(name, PYTHIA), "eval", 1, 64)
    assert again.data_id == stream.data_id and (again.batch(3).tokens == stream.batch(3).tokens).all()


def test_models_that_were_trained_with_a_start_token_get_one(texts):
    stream = open_stream(bound("pile-10k", NANDA), "eval", 2, 32)
    cut = encoder(texts, NANDA)
    rows = np.concatenate([stream.batch(i).tokens for i in range(stream.n_batches)])
    assert (rows[:, 0] == cut.token_to_id("<|BOS|>")).all() and (rows[:, 1:] != cut.token_to_id("<|BOS|>")).all()
    assert (rows == cut.token_to_id("<|EOS|>")).any()
    longer = open_stream(bound("pile-10k", NANDA), "eval", 1, 64)
    assert (longer.batch(0).tokens[:, 0] == cut.token_to_id("<|BOS|>")).all()


def test_the_same_text_in_another_tokenizer_is_other_data(texts):
    for source in (PYTHIA, NANDA):
        prepare(bound("pile-10k", source))
    assert content_id(bound("pile-10k", PYTHIA), "eval") != content_id(bound("pile-10k", NANDA), "eval")
    assert content_id(bound("pile-10k", "bundled"), "eval") not in (
        content_id(bound("pile-10k", s), "eval") for s in (PYTHIA, NANDA)
    )


def test_the_identity_is_known_before_the_text_is_fetched_and_does_not_move(texts):
    name = bound("pile-10k", PYTHIA)
    assert content_id(name, "eval") == packed_text.UNPINNED
    prepare(name)
    known = content_id(name, "eval")
    assert len(known) == 64 and not any("parquet" in path for path in texts.downloads())
    tiny.fill_texts(texts, n_documents=40)  # the branch moves on
    assert open_stream(name, "eval", 1, 64).data_id.content == known


def test_a_local_file(texts, tmp_path):
    plain = tmp_path / "book.txt"
    plain.write_text("\n\n".join(tiny.text(i, 80) for i in range(20)), encoding="utf-8")
    lines = tmp_path / "book.jsonl"
    lines.write_text("".join(json.dumps({"text": tiny.text(i, 80)}) + "\n" for i in range(20)), encoding="utf-8")
    one, other = (open_stream(bound(f"path:{path}", PYTHIA), "eval", 1, 64) for path in (plain, lines))
    cut = encoder(texts, PYTHIA)
    separator, rows = cut.token_to_id("<|endoftext|>"), {}
    # A plain text is one long text, whose first 80 % are measured on; of a set of documents it is every second one.
    rows[plain] = [*cut.encode("\n\n".join(tiny.text(i, 80) for i in range(17))).ids, separator]
    rows[lines] = [token for i in range(1, 20, 2) for token in (*cut.encode(tiny.text(i, 80)).ids, separator)]
    for path, stream in ((plain, one), (lines, other)):
        expected = {tuple(rows[path][i : i + 64]) for i in range(0, len(rows[path]) - 63, 64)}
        assert {tuple(stream.batch(i).tokens[0].tolist()) for i in range(stream.n_batches)} == expected
    before = one.data_id.content
    plain.write_text("\n\n".join(tiny.text(i, 80) for i in range(21)), encoding="utf-8")
    assert open_stream(bound(f"path:{plain}", PYTHIA), "eval", 1, 64).data_id.content != before


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hub:org/essays", r"org/essays has no column 'text'; it has body\. Write hub:org/name:column"),
        ("hub:org/none:text", r"The hub has no dataset org/none, or it is private"),
        ("path:/nowhere/at/all.txt", r"There is no file /nowhere/at/all\.txt; write path:"),
        ("pile-10", r"no data set named 'pile-10'. Did you mean pile-10k"),
    ],
)
def test_texts_that_are_not_there(texts, name, sentence):
    with pytest.raises(UserError, match=sentence):
        open_stream(bound(name, PYTHIA), "eval", 1, 64)


def test_too_little_text_for_the_batches_that_are_asked_for(texts):
    stream = open_stream(bound("pile-10k", PYTHIA), "eval", 1, 64)
    with pytest.raises(
        UserError,
        match=(
            r"pile-10k by EleutherAI/pythia-70m-deduped/eval holds [\d,]+ tokens, enough for \d+ batches of 1 × 64; "
            r"1,000 were asked"
        ),
    ):
        stream.require(1000)
    with pytest.raises(UserError, match=r"enough for 0 batches of 1 × 99999"):
        open_stream(bound("pile-10k", PYTHIA), "eval", 1, 99999)


def test_a_set_without_a_readable_file(texts):
    texts.add("org/pictures", {"a.png": b""}, "dataset")
    with pytest.raises(
        UserError, match=r"org/pictures has no parquet or JSON lines files, and the hub has not converted it"
    ):
        open_stream(bound("hub:org/pictures", PYTHIA), "eval", 1, 64)


def test_a_name_says_which_tokenizer_cuts_a_text(texts):
    assert bound("docstrings", "") == "docstrings" and bound("docstrings", PYTHIA) == f"docstrings by {PYTHIA}"
    with pytest.raises(
        UserError,
        match=r"pile-10k is cut by the tokenizer of the models that read it; write which, as in 'pile-10k by org/name'",
    ):
        content_id("pile-10k", "eval")


def test_damaged_tokens_are_cut_anew(texts):
    name = bound("pile-10k", PYTHIA)
    before = open_stream(name, "eval", 1, 64)
    from repdiss_core import bundled

    path = bundled.cache_folder("data") / f"text-{before.data_id.content}.npy"
    path.write_bytes(path.read_bytes()[:-3])
    assert (open_stream(name, "eval", 1, 64).batch(0).tokens == before.batch(0).tokens).all()


def test_a_tokenizer_without_a_separator_is_no_language_models(texts):
    with pytest.raises(
        UserError, match=r"tokenizer of google-bert/bert-base-uncased has no token to put between documents"
    ):
        open_stream(bound("pile-10k", "google-bert/bert-base-uncased"), "eval", 1, 64)


def test_start_tokens_stand_before_each_piece():
    row = np.arange(1, 8, dtype=np.uint32)
    assert packed_text.with_start(row, 0, 4).tolist() == [0, 1, 2, 3, 0, 4, 5, 6]
    assert packed_text.PackedStream(packed_text.with_start(row, 0, 4), DataId("x", "eval", "c", 1, 4)).n_batches == 2


def read_all(name: str, *splits: str) -> list[int]:
    """The set of token ids of a set, split by split."""
    streams = [open_stream(bound(name, PYTHIA), split, 1, 16) for split in splits]
    return [stream.batch(i).tokens.tolist() for stream in streams for i in range(stream.n_batches)]


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet", "saved", "saved parts"])
def test_every_form_of_a_local_set_gives_the_same_tokens(texts, tmp_path, ending):
    """The name holds what a pattern of files would read otherwise."""
    import datasets
    import pyarrow

    rows = [{"n": i, "text": tiny.text(i, 80) if i != 7 else None} for i in range(20)]
    plain = tmp_path / "plain.jsonl"
    plain.write_text("".join(json.dumps(row) + "\n" for row in rows if row["text"]), encoding="utf-8")
    path = tmp_path / f"a set [1]{ending if ending[0] == '.' else ''}"
    if ending.startswith(".jsonl"):
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        packed = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
        path.write_bytes(pyarrow.compress(data, packed, asbytes=True) if packed == "zstd" else gzipped(data, packed))
    else:
        table = datasets.Dataset.from_list(rows)
        if ending == ".parquet":
            table.to_parquet(str(path))
        else:
            whole = datasets.DatasetDict({"train": table.select([0]), "validation": table})
            (table if ending == "saved" else whole).save_to_disk(str(path))
    assert read_all(f"path:{path}", "eval", "phi") == read_all(f"path:{plain}", "eval", "phi")


def gzipped(data: bytes, packed: str | None) -> bytes:
    import gzip

    return gzip.compress(data) if packed else data


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", r"book\.jsonl holds no text in column 'text'"),
        (b"{broken\n", r"book\.jsonl cannot be read \(book\.jsonl: "),
        (b'{"body": "a"}\n', r"book\.jsonl has no column 'text'; it has body\."),
        (b'{"text": 5}\n{"text": 6}\n', r"book\.jsonl holds no text in column 'text'"),
    ],
)
def test_local_sets_that_hold_no_text(texts, tmp_path, content, sentence):
    path = tmp_path / "book.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        open_stream(bound(f"path:{path}", PYTHIA), "eval", 1, 64)


def test_a_local_set_asks_no_network(texts, tmp_path, monkeypatch):
    path = tmp_path / "book.jsonl"
    path.write_text("".join(json.dumps({"text": tiny.text(i, 80)}) + "\n" for i in range(20)), encoding="utf-8")
    prepare(bound(f"path:{path}", PYTHIA))

    def connect(self, address):
        raise AssertionError(f"asked {address}")

    monkeypatch.setattr("socket.socket.connect", connect)
    assert read_all(f"path:{path}", "eval")

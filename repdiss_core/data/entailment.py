"""The `mnli-hans` data set: MNLI's matched validation set and HANS' lexical-overlap pairs, in BERT's tokens.

The sets have the names of the bundled ones: "in_distribution" is MNLI, "lexical_overlap" the pairs of HANS whose
hypothesis uses the premise's words and does not follow, "lexical_overlap_entailed" those where it does. Labels are
GLUE's: entailment 0, neutral 1, contradiction 2; what HANS calls non-entailment is 1 here and scored as "not
entailment".
"""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Any

import numpy as np

from repdiss_core import hub
from repdiss_core.base.comparison import DataId
from repdiss_core.base.errors import UserError, unknown_name
from repdiss_core.base.paths import local_root
from repdiss_core.data import tokenizer
from repdiss_core.data.pair_stream import ROWS, PairStream
from repdiss_core.data.text_sources import CONVERTED, rows_of_file
from repdiss_core.hub import Repo
from repdiss_core.store.kept_files import keep_bytes, kept_bytes

NAME = "mnli-hans"
LENGTH = 512  # what the paper pads to
TOKENIZER = "google-bert/bert-base-uncased"
MNLI = Repo("nyu-mll/glue", kind="dataset")
HANS = Repo("jhu-cogsci/hans", CONVERTED, "dataset")  # its own files are a script, which is never run
PARTS = {MNLI: "mnli/validation_matched", HANS: "validation"}  # of the file that is read
SETS = ("in_distribution", "lexical_overlap", "lexical_overlap_entailed")
UNPINNED = "unpinned"
RULE = 1
SPECIAL = ("[CLS]", "[SEP]", "[PAD]")


def prepare() -> None:
    """Pin both sets and fetch the tokenizer."""
    hub.pin(MNLI)
    hub.pin(HANS)
    tokenizer.prepare(TOKENIZER)


def is_here() -> bool:
    """Whether the files of both sets are on this machine. No network."""
    pins = {repo: hub.pinned(repo) for repo in PARTS}
    return all(pin is not None and hub.has(repo, _files(pin.files, PARTS[repo])) for repo, pin in pins.items())


def content_id(split: str) -> str:
    """Names a set's tokens and labels; known without a network once sets and tokenizer are pinned."""
    name, _ = split_parts(split)
    pins, cut = (hub.pinned(MNLI), hub.pinned(HANS)), tokenizer.fingerprint(TOKENIZER)
    if None in pins or cut == tokenizer.UNKNOWN:
        return UNPINNED
    form = {
        "commits": [pin.commit for pin in pins if pin],
        "tokenizer": cut,
        "set": name,
        "length": LENGTH,
        "rule": RULE,
    }
    return hashlib.sha256(json.dumps(form, sort_keys=True).encode()).hexdigest()


def split_parts(split: str) -> tuple[str, str | None]:
    """(set, what becomes a feature row or None) of a split such as "lexical_overlap/padded"."""
    name, _, rows = split.partition("/")
    if name not in SETS:
        raise unknown_name(f"set of {NAME}", name, list(SETS), "python -m repdiss_core list data")
    if rows and rows not in ROWS:
        raise unknown_name("choice of feature rows", rows, list(ROWS), "python -m repdiss_core list data")
    return name, rows or None


def open_entailment(split: str, sequences_per_batch: int, tokens_per_sequence: int, seed: int) -> PairStream:
    """The stream of a split; fetched and encoded first where that was not done yet."""
    if tokens_per_sequence != LENGTH or sequences_per_batch < 1 or seed != 0:
        raise UserError(
            f"{NAME} has pairs of {LENGTH} tokens in one fixed order; "
            f"{sequences_per_batch} × {tokens_per_sequence} with seed {seed} was asked for."
        )
    prepare()
    name, rows = split_parts(split)
    content = content_id(split)
    data_id = DataId(NAME, split, content, sequences_per_batch, tokens_per_sequence, 0)
    tokens, labels = _encoded(name, content)
    return PairStream(data_id, tokens, labels, special_ids()[2], rows, trim=True)


@functools.lru_cache(maxsize=2)
def special_ids() -> tuple[int, int, int]:
    """Ids of [CLS], [SEP] and [PAD]."""
    encoder = tokenizer.load_tokenizer(TOKENIZER).encoder
    begin, end, pad = (encoder.token_to_id(token) for token in SPECIAL)
    if begin is None or end is None or pad is None:
        raise UserError(f"The tokenizer of {TOKENIZER} lacks one of {', '.join(SPECIAL)}: it is not BERT's.")
    return begin, end, pad


@functools.lru_cache(maxsize=4)
def _encoded(name: str, content: str) -> tuple[np.ndarray, np.ndarray]:
    """((n, 512) int64 [CLS] premise [SEP] hypothesis [SEP] and padding, (n,) labels), kept on this machine."""
    path = local_root() / "data" / f"pairs-{content}.bin"
    data = kept_bytes(path)
    if data is None:
        data = np.concatenate(_encode(_rows(name)), axis=1).astype("<i4").tobytes()
        keep_bytes(path, data)
    table = np.frombuffer(data, dtype="<i4").reshape(-1, LENGTH + 1).astype(np.int64)
    return np.ascontiguousarray(table[:, :LENGTH]), np.ascontiguousarray(table[:, LENGTH])


def _encode(rows: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    first, between, pad = special_ids()
    encoder = tokenizer.load_tokenizer(TOKENIZER).encoder
    halves = [
        encoder.encode_batch([row[column] for row in rows], add_special_tokens=False)
        for column in ("premise", "hypothesis")
    ]
    tokens = np.full((len(rows), LENGTH), pad, dtype=np.int64)
    for i, (premise, hypothesis) in enumerate(zip(*halves, strict=True)):
        ids = [first, *premise.ids, between, *hypothesis.ids, between]
        if len(ids) > LENGTH:
            raise UserError(f"A pair of {len(ids)} tokens does not fit into {LENGTH}: {rows[i]['premise'][:60]} …")
        tokens[i, : len(ids)] = ids
    return tokens, np.array([[row["label"]] for row in rows], dtype=np.int64)


def _rows(name: str) -> list[dict[str, Any]]:
    """The pairs of a set, in the order of the files, with our labels."""
    if name == "in_distribution":
        return [row for row in _table(MNLI, ("premise", "hypothesis", "label")) if row["label"] in (0, 1, 2)]
    entailed = name == "lexical_overlap_entailed"
    rows = _table(HANS, ("premise", "hypothesis", "label", "heuristic"))
    found = [row for row in rows if row["heuristic"] == "lexical_overlap" and (row["label"] == 0) == entailed]
    return [{**row, "label": 0 if entailed else 1} for row in found]


def _files(files: dict[str, int], part: str) -> list[str]:
    return sorted(name for name in files if name.endswith(".parquet") and part in name)


def _table(repo: Repo, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    files = _files(hub.pin(repo).files, PARTS[repo])
    if not files:
        raise UserError(
            f"{repo} has no parquet file of {PARTS[repo]}; it has {', '.join(sorted(hub.pin(repo).files)[:6])}."
        )
    folder, rows = hub.fetch(repo, files), []
    for name in files:
        for row in rows_of_file("parquet", folder / name):
            missing = [column for column in columns if column not in row]
            if missing:
                raise UserError(f"{repo} ({name}) has no column {', '.join(missing)}; it has {', '.join(row)}.")
            rows.append({column: row[column] for column in columns})
    return rows

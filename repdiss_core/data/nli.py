"""The `nli` data set: encoded pairs of sentences with labels, in batches whose feature rows are chosen here. No torch.

A split is a set, alone or with what becomes a feature row: "lexical_overlap", "lexical_overlap/tokens". Sets are drawn
from the grammar at each start (a second), the same on every machine; the content hash tells.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from repdiss_core.base.comparison import DataId
from repdiss_core.base.errors import UserError, unknown_name
from repdiss_core.data.nli_sets import SUB_CASES, Item, draw_entailed_overlap, draw_in_distribution, draw_overlap
from repdiss_core.data.pair_stream import ROWS, PairStream

NAME = "nli"
LENGTH = 32
PAD, UNKNOWN, CLS, SEP, MASK = range(5)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY_FILE = Path(__file__).resolve().parent.parent / "bundled" / "nli" / "vocabulary.txt"
COUNTER_EXAMPLES = 0.01


@dataclass(frozen=True)
class SetSpec:
    """One set: its size, its seed, and what it is for."""

    name: str
    label: str
    size: int
    seed: int
    use: str


SETS = {
    spec.name: spec
    for spec in (
        SetSpec(
            "in_distribution",
            "in distribution",
            1000,
            11,
            "pairs of the training grammar, 1 % of them counter-examples",
        ),
        SetSpec("lexical_overlap", "lexical overlap", 1000, 12, "non-entailed pairs of full overlap, for measuring"),
        SetSpec(
            "lexical_overlap_rank", "lexical overlap, ranking items", 500, 13, "other such pairs, for ranking models"
        ),
        SetSpec(
            "lexical_overlap_entailed",
            "lexical overlap, entailed",
            500,
            14,
            "entailed pairs of full overlap: the control",
        ),
    )
}


@functools.lru_cache(maxsize=1)
def vocabulary() -> tuple[str, ...]:
    """All words; a word's place is its token id."""
    if not VOCABULARY_FILE.exists():
        raise UserError(f"The NLI vocabulary {VOCABULARY_FILE} is missing; restore the file from the repository.")
    return tuple(VOCABULARY_FILE.read_text("utf-8").split())


@functools.lru_cache(maxsize=1)
def vocabulary_hash() -> str:
    """sha256 of the vocabulary file: what a model's `tokenizer` must equal."""
    return hashlib.sha256(VOCABULARY_FILE.read_bytes()).hexdigest()


def check_vocabulary(model_name: str, tokenizer: str, vocab_size: int) -> None:
    """Raise a `UserError` unless a model reads the tokens of this data set."""
    if tokenizer == vocabulary_hash() and vocab_size == len(vocabulary()):
        return
    raise UserError(
        f"{model_name} was made for another vocabulary ({vocab_size} entries, "
        f"hash {tokenizer[:12]}) than the NLI sets use ({len(vocabulary())} entries, "
        f"hash {vocabulary_hash()[:12]}). "
        "Choose one of the bundled NLI classifiers (`python -m repdiss_core list models`)."
    )


def encode(items: list[Item]) -> tuple[np.ndarray, np.ndarray]:
    """((n, 32) int64 tokens: [CLS] premise [SEP] hypothesis [SEP] and padding; (n,) int64 labels)."""
    ids = {word: i for i, word in enumerate(vocabulary())}
    tokens = np.full((len(items), LENGTH), PAD, dtype=np.int64)
    for row, item in enumerate(items):
        words = ("[CLS]", *item.premise, "[SEP]", *item.hypothesis, "[SEP]")
        if len(words) > LENGTH:
            raise UserError(
                f"A pair of {len(words)} tokens does not fit the classifiers' length of {LENGTH}: {' '.join(words)}."
            )
        tokens[row, : len(words)] = [ids.get(word, UNKNOWN) for word in words]
    return tokens, np.array([item.label for item in items], dtype=np.int64)


@functools.lru_cache(maxsize=8)
def items_of(name: str) -> tuple[Item, ...]:
    """The items of a set, none twice, and none that an earlier set has; overlap items go round the five sub-cases."""
    spec = _set_spec(name)
    taken = {item.key for earlier in list(SETS)[: list(SETS).index(name)] for item in items_of(earlier)}
    rng = np.random.default_rng(spec.seed)
    found: list[Item] = []
    while len(found) < spec.size:
        if name == "in_distribution":
            item = draw_in_distribution(rng, COUNTER_EXAMPLES)
        elif name == "lexical_overlap_entailed":
            item = draw_entailed_overlap(rng)
        else:
            item = draw_overlap(rng, SUB_CASES[len(found) % len(SUB_CASES)])
        if item.key not in taken:
            taken.add(item.key)
            found.append(item)
    return tuple(found)


def training_items(size: int, counter_examples: float, seed: int) -> list[Item]:
    """Pairs for fine-tuning, none of which stands in a set that is measured on."""
    taken = {item.key for name in SETS for item in items_of(name)}
    rng = np.random.default_rng(seed)
    found: list[Item] = []
    while len(found) < size:
        item = draw_in_distribution(rng, counter_examples)
        if item.key not in taken:
            found.append(item)
    return found


@functools.lru_cache(maxsize=8)
def encoded(name: str) -> tuple[np.ndarray, np.ndarray]:
    """`encode` of a set."""
    return encode(list(items_of(name)))


def content_id(split: str) -> str:
    """sha256 of the tokens and labels of a split's set (what becomes a feature row is part of the split's name)."""
    tokens, labels = encoded(split_parts(split)[0])
    return hashlib.sha256(tokens.astype("<u2").tobytes() + labels.astype("<u1").tobytes()).hexdigest()


def split_parts(split: str) -> tuple[str, str | None]:
    """(set, what becomes a feature row or None) of a split such as "lexical_overlap/tokens"."""
    name, _, rows = split.partition("/")
    _set_spec(name)
    if rows and rows not in ROWS:
        raise unknown_name("choice of feature rows", rows, list(ROWS), "python -m repdiss_core list data")
    return name, rows or None


def _set_spec(name: str) -> SetSpec:
    if name not in SETS:
        raise unknown_name("NLI set", name, list(SETS), "python -m repdiss_core list data")
    return SETS[name]


class NliStream(PairStream):
    """Batches of one set; what becomes a feature row is part of the split's name (see `PairStream`)."""

    def __init__(self, data_id: DataId) -> None:
        if data_id.tokens_per_sequence != LENGTH or data_id.sequences_per_batch < 1:
            raise UserError(
                f"NLI pairs are {LENGTH} tokens long; "
                f"batches of {data_id.sequences_per_batch} × {data_id.tokens_per_sequence} cannot be cut. "
                f"Ask for {LENGTH} tokens a sequence and at least 1 sequence a batch."
            )
        name, rows = split_parts(data_id.split)
        super().__init__(data_id, *encoded(name), PAD, rows)


def open_nli(split: str, sequences_per_batch: int, tokens_per_sequence: int, seed: int) -> NliStream:
    """The stream of a split; the order of the items is fixed, so that `seed` must be 0."""
    if seed != 0:
        raise UserError(f"The NLI sets have one fixed order; seed {seed} was asked for, expected 0.")
    return NliStream(DataId(NAME, split, content_id(split), sequences_per_batch, tokens_per_sequence, 0))

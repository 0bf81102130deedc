"""The NLI sets: labels by an independent rule, sub-cases, no item twice, encoding, chunks of feature rows."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from nli_rule import label

from repdiss_core.base.comparison import DataId
from repdiss_core.base.errors import UserError
from repdiss_core.data import nli
from repdiss_core.data.nli_grammar import WORDS
from repdiss_core.data.nli_sets import LABELS, SUB_CASES, draw_in_distribution, draw_overlap


@pytest.mark.parametrize("name", list(nli.SETS))
def test_every_label_agrees_with_a_rule_that_reads_the_words(name):
    items = nli.items_of(name)
    assert len(items) == nli.SETS[name].size
    wrong = [i for i in items if LABELS[i.label] != label(i.premise, i.hypothesis)]
    assert not wrong, [(" ".join(i.premise), " ".join(i.hypothesis), LABELS[i.label]) for i in wrong[:3]]


def test_training_labels_agree_too_and_counter_examples_have_their_share():
    items = nli.training_items(4000, 0.04, 5)
    assert all(LABELS[i.label] == label(i.premise, i.hypothesis) for i in items)
    share = np.mean([i.kind == "counter_example" for i in items])
    assert 0.03 < share < 0.05
    assert not any(i.kind == "counter_example" for i in nli.training_items(500, 0.0, 5))


def test_the_rule_tells_a_wrong_label():
    premise, hypothesis = ["the", "judge", "that", "helped", "the", "doctor", "slept"], ["the", "doctor", "slept"]
    assert label(tuple(premise), tuple(hypothesis)) == "neutral"
    assert label(tuple(premise), ("the", "judge", "helped", "the", "doctor")) == "entailment"
    assert label(tuple(premise), ("no", "judge", "slept")) == "contradiction"


def test_without_counter_examples_the_heuristic_is_right_on_positive_pairs():
    """Every neutral pair has a new word, so that full overlap never means neutral."""
    rng = np.random.default_rng(0)
    for item in (draw_in_distribution(rng, 0.0) for _ in range(2000)):
        new = set(item.hypothesis) - set(item.premise) - {"was", "by", "never", "no"}
        assert bool(new) == (LABELS[item.label] == "neutral")


@pytest.mark.parametrize("sub_case", SUB_CASES)
def test_overlap_items_use_the_premises_words_alone_and_do_not_follow(sub_case):
    rng = np.random.default_rng(1)
    for _ in range(300):
        item = draw_overlap(rng, sub_case)
        assert set(item.hypothesis) <= set(item.premise)
        assert label(item.premise, item.hypothesis) == "neutral" == LABELS[item.label]


def test_sub_cases_are_balanced_in_any_five():
    kinds = [item.kind for item in nli.items_of("lexical_overlap")]
    assert Counter(kinds[:500]) == dict.fromkeys(SUB_CASES, 100)


def test_entailed_overlap_is_entailed():
    for item in nli.items_of("lexical_overlap_entailed"):
        assert set(item.hypothesis) <= set(item.premise) and LABELS[item.label] == "entailment"


def test_no_item_stands_twice_and_training_never_sees_a_measured_one():
    keys = [item.key for name in nli.SETS for item in nli.items_of(name)]
    assert len(set(keys)) == len(keys)
    assert not set(keys) & {item.key for item in nli.training_items(8000, 0.04, 103)}


def test_sets_are_the_same_in_every_process():
    nli.items_of.cache_clear()
    first = nli.items_of("lexical_overlap")[:50]
    nli.items_of.cache_clear()
    assert nli.items_of("lexical_overlap")[:50] == first


def test_the_vocabulary_that_ships_is_the_grammars():
    assert nli.vocabulary() == (*nli.SPECIAL, *WORDS)
    assert len(set(WORDS)) == len(WORDS)


def test_encoding():
    item = nli.items_of("lexical_overlap")[0]
    tokens, labels = nli.encode([item])
    words = [nli.vocabulary()[t] for t in tokens[0] if t != nli.PAD]
    assert words == ["[CLS]", *item.premise, "[SEP]", *item.hypothesis, "[SEP]"] and labels[0] == item.label
    assert tokens.shape == (1, 32) and tokens.dtype == np.int64


def test_token_chunks_have_exactly_1024_rows_and_each_token_once():
    stream = nli.open_nli("lexical_overlap/tokens", 32, 32, 0)
    tokens = nli.encoded("lexical_overlap")[0]
    everything = tokens[tokens != nli.PAD]
    found = []
    for i in range(stream.n_batches):
        batch = stream.batch(i)
        assert batch.rows.sum() == 1024 and (batch.tokens[batch.rows] != nli.PAD).all()
        assert (batch.mask == (batch.tokens != nli.PAD)).all()
        found.append(batch.tokens[batch.rows])
    assert stream.n_batches == everything.size // 1024
    assert np.array_equal(np.concatenate(found), everything[: stream.n_batches * 1024])


def test_padded_chunks_take_every_position_and_cls_chunks_the_first():
    padded = nli.open_nli("in_distribution/padded", 32, 32, 0).batch(1)
    assert padded.rows.all() and padded.rows.size == 1024 and not padded.mask.all()
    cls = nli.open_nli("in_distribution/cls", 256, 32, 0)
    assert (
        cls.n_batches == 3
        and (cls.batch(2).tokens[cls.batch(2).rows] == nli.CLS).all()
        and cls.batch(0).rows.sum() == 256
    )


def test_whole_sequences_with_labels():
    stream = nli.open_nli("in_distribution", 300, 32, 0)
    assert stream.n_batches == 4 and [len(stream.batch(i).tokens) for i in range(4)] == [300, 300, 300, 100]
    assert stream.batch(0).rows is None and stream.batch(0).labels.shape == (300,)


def test_bad_input_is_told():
    with pytest.raises(UserError, match="no NLI set named 'lexical_overlp'. Did you mean lexical_overlap"):
        nli.open_nli("lexical_overlp", 32, 32, 0)
    with pytest.raises(UserError, match="no choice of feature rows named 'words'"):
        nli.open_nli("lexical_overlap/words", 32, 32, 0)
    with pytest.raises(UserError, match="NLI pairs are 32 tokens long; batches of 8 × 128"):
        nli.open_nli("lexical_overlap", 8, 128, 0)
    with pytest.raises(UserError, match="one fixed order; seed 3"):
        nli.open_nli("lexical_overlap", 8, 32, 3)
    with pytest.raises(UserError, match="batches, counted from 0; batch 99 was asked for"):
        nli.open_nli("lexical_overlap/tokens", 32, 32, 0).batch(99)
    with pytest.raises(UserError, match="tiny was made for another vocabulary .17 entries"):
        nli.check_vocabulary("tiny", "abc", 17)
    long = nli.items_of("lexical_overlap")[0].__class__(("the",) * 30, ("the",) * 8, 0, "text")
    with pytest.raises(UserError, match="A pair of 41 tokens does not fit"):
        nli.encode([long])


def test_the_stream_names_its_content():
    stream = nli.open_nli("lexical_overlap/cls", 256, 32, 0)
    assert stream.data_id == DataId("nli", "lexical_overlap/cls", nli.content_id("lexical_overlap"), 256, 32, 0)

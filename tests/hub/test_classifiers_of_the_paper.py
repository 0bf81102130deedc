"""The hundred fine-tuned BERTs, MNLI and HANS through the loopback hub."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny_repositories as tiny
import torch

from repdiss_core.__main__ import main
from repdiss_core.base.errors import UserError
from repdiss_core.data import content_id, entailment, open_stream
from repdiss_core.models import load_model, model_spec
from repdiss_core.studies.generalization import question

GROUP = (99, 8, 44, 73)


@pytest.fixture
def paper(hub):
    entailment.special_ids.cache_clear()
    tiny.fill_models(hub, ("70m",), (), GROUP)
    tiny.fill_pairs(hub)
    return hub


def whole_network(files: dict[str, bytes]):
    """The classifier by transformers alone, with the checkpoint's own order of labels."""
    import io

    from transformers import BertConfig, BertForSequenceClassification

    network = BertForSequenceClassification(BertConfig(**{"num_labels": 3, **json.loads(files["config.json"])}))
    tensors = torch.load(io.BytesIO(files["pytorch_model.bin"]), weights_only=True)
    network.load_state_dict({k: v for k, v in tensors.items() if "position_ids" not in k})
    return network.eval()


@pytest.mark.parametrize(
    ("named", "order"),
    [
        (("LABEL_0", "LABEL_1", "LABEL_2"), (1, 2, 0)),  # contradiction, entailment, neutral: as they were trained
        (("entailment", "neutral", "contradiction"), (0, 1, 2)),
        (("neutral", "CONTRADICTION", "entailment"), (2, 0, 1)),
    ],
)
def test_labels_come_out_in_our_order(paper, named, order):
    paper.add("connectivity/feather_berts_8", tiny.bert(8, id2label=named))
    model = load_model("feather-bert-08", "kept")
    batch = open_stream("mnli-hans", "in_distribution", 6, 512).batch(0)
    mask, tokens = torch.from_numpy(batch.mask.astype(np.int64)), torch.from_numpy(batch.tokens)
    types = torch.from_numpy((np.cumsum(batch.tokens == 3, axis=1) - (batch.tokens == 3) > 0).astype(np.int64))
    with torch.no_grad():
        theirs = whole_network(tiny.bert(8, id2label=named))(
            input_ids=tokens, attention_mask=mask, token_type_ids=types
        ).logits
        ours = model.head(model.blocks(model.embed(batch), 0, 12, batch), batch)
    assert model.labels == ("entailment", "neutral", "contradiction")
    torch.testing.assert_close(ours, theirs[:, list(order)], atol=1e-5, rtol=1e-4)


def test_pairs_are_encoded_as_bert_reads_them(paper):
    from tokenizers import Tokenizer

    stream = open_stream("mnli-hans", "in_distribution", 5, 512)
    cut = Tokenizer.from_str(tiny.word_tokenizer().decode())
    rows = tiny.pairs(240, 1)
    for i, encoded in enumerate(cut.encode_batch(list(zip(rows["premise"], rows["hypothesis"], strict=True))[:5])):
        assert stream.batch(0).tokens[i][: len(encoded.ids)].tolist() == encoded.ids
    assert stream.batch(0).labels.tolist() == [0, 1, 2, 0, 1] and stream.n_items == 240
    assert stream.batch(0).tokens.shape[1] == stream.batch(0).mask.sum(axis=1).max()  # common padding is cut off


def test_hans_sets_hold_overlap_pairs_of_one_answer(paper):
    apart, entailed = (
        open_stream("mnli-hans", name, 10, 512) for name in ("lexical_overlap", "lexical_overlap_entailed")
    )
    assert set(apart.batch(0).labels) == {1} and set(entailed.batch(0).labels) == {0}
    assert (apart.n_items, entailed.n_items) == (120, 60)  # of 240: those with another heuristic are left out


def test_padded_rows_are_the_papers_and_chunks_of_tokens_have_no_padding(paper):
    padded = open_stream("mnli-hans", "in_distribution/padded", 2, 512).batch(0)
    assert padded.tokens.shape == (2, 512) and padded.rows.all() and not padded.mask.all()
    chunk = open_stream("mnli-hans", "in_distribution/tokens", 2, 512).batch(1)
    assert chunk.rows.sum() == 1024 and (chunk.rows <= chunk.mask).all()


def test_the_group_is_the_papers_and_its_keys_are_known_once_pinned(paper):
    params = question.PopulationParams("feather", 10)
    top, bottom = question.group_models(params)[:10], question.group_models(params)[10:]
    assert [int(n[-2:]) for n in top] == [99, 8, 37, 6, 95, 10, 39, 31, 67, 98]
    assert [int(n[-2:]) for n in bottom] == [44, 73, 89, 48, 26, 70, 42, 15, 63, 25] and params.circular
    assert content_id("mnli-hans", "in_distribution") == entailment.UNPINNED
    entailment.prepare()
    assert len(content_id("mnli-hans", "in_distribution")) == 64 != content_id("mnli-hans", "lexical_overlap")


def test_figures_2_and_7_at_the_papers_names(paper, tmp_path, capsys, monkeypatch):
    from repdiss_core.models import paper_models

    four = {
        name: value for name, value in paper_models.feather_accuracies("overlap").items() if int(name[-2:]) in GROUP
    }
    monkeypatch.setattr(question, "PAPER_K", 2)
    monkeypatch.setattr(paper_models, "feather_accuracies", lambda column: four)
    assert main(["run", "fig2", "fig7", "--models", "paper", "--preset", "tiny"]) == 0, capsys.readouterr()
    out = tmp_path / "fig2.json"
    assert main(["figure", "fig2", "--models", "paper", "--preset", "tiny", "--out", str(out)]) == 0, (
        capsys.readouterr()
    )
    form = json.loads(out.read_text())
    assert "2 + 2 of the 100 BERTs" in form["captions"][0] and "tiny BERTs" not in json.dumps(form["captions"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda hub: hub.add(
                "connectivity/feather_berts_8", {**tiny.bert(8), "config.json": b'{"model_type": "roberta"}'}
            ),
            "feather-bert-08 is a roberta model",
        ),
        (
            lambda hub: hub.add("connectivity/feather_berts_8", tiny.bert(8, id2label=("a", "b"))),
            "not those of a BERT classifier of three labels",
        ),
        (
            lambda hub: hub.add("connectivity/feather_berts_8", tiny.bert(8, n_layers=3)),
            "has 3 layers, its facts say 12",
        ),
    ],
)
def test_checkpoints_that_are_no_classifier_of_the_paper(paper, change, sentence):
    change(paper)
    with pytest.raises(UserError, match=sentence):
        load_model("feather-bert-08")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"readme": b""}, r"nyu-mll/glue has no parquet file of mnli/validation_matched; it has readme"),
        (
            {"mnli/validation_matched-0.parquet": tiny.parquet({"premise": ["a"]})},
            r"nyu-mll/glue .* has no column hypothesis, label; it has premise",
        ),
    ],
)
def test_sets_that_are_not_as_they_were(paper, files, sentence):
    paper.add("nyu-mll/glue", files, "dataset")
    with pytest.raises(UserError, match=sentence):
        open_stream("mnli-hans", "in_distribution", 2, 512)


def test_wrong_cuts_and_names():
    with pytest.raises(UserError, match="mnli-hans has pairs of 512 tokens in one fixed order; 8 × 128"):
        open_stream("mnli-hans", "in_distribution", 8, 128)
    with pytest.raises(UserError, match="no set of mnli-hans named 'mnli'"):
        content_id("mnli-hans", "mnli")
    assert model_spec("feather-bert-00").n_layers == 12

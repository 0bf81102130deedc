"""What cannot be stitched is told in a sentence."""

from __future__ import annotations

import dataclasses

import pytest

from repdiss_core.base.comparison import ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.base.layer_pairs import ALL
from repdiss_core.measures.stitch_settings import identity_comparison, stitch_comparison
from tests.engine.stitch_harness import EVAL, SETTINGS, Harness, pairs_of
from tests.engine.tiny_models import TinyModel, stream


@pytest.fixture(scope="module")
def models():
    return TinyModel("f", seed=1), TinyModel("g", seed=2)


def test_layers_out_of_range_are_named(models, tmp_path):
    with pytest.raises(UserError, match=r"Layer 4 of f = f does not exist; expected a layer from 0 .* to 3"):
        Harness(tmp_path).run(pairs_of([(4, 1)]), *models)
    bad = [dataclasses.replace(pairs_of([(1, 1)])[0], layer_pairs=ALL)]
    with pytest.raises(UserError, match="layer pair of a stitch is 'all'"):
        Harness(tmp_path).run(bad, *models)


def test_different_tokenizers_are_refused(models, tmp_path):
    with pytest.raises(UserError, match="different tokenizers"):
        Harness(tmp_path).run(pairs_of([(1, 1)]), *models, tokenizers=("one", "two"))
    with pytest.raises(UserError, match=r"different tokenizers \(vocabularies of 17 and 19\)"):
        Harness(tmp_path).run(pairs_of([(1, 1)]), models[0], TinyModel(vocab_size=19))
    # A padded vocabulary
    Harness(tmp_path).run(pairs_of([(1, 1)]), models[0], TinyModel(vocab_size=19), tokenizers=("one", "one"))


def test_different_widths_are_refused_where_phi_cannot_bridge_them(models, tmp_path):
    wide = TinyModel("wide", d_model=24)
    with pytest.raises(UserError, match="identity start needs residual streams of equal width.*16.*24"):
        Harness(tmp_path).run(pairs_of([(1, 1)], dataclasses.replace(SETTINGS, init="identity")), models[0], wide)
    with pytest.raises(UserError, match="Identity stitching needs residual streams of equal width"):
        Harness(tmp_path).identity(
            [identity_comparison(ModelId("f", ""), ModelId("g", ""), EVAL.data_id, 1, 1)], models[0], wide
        )


def test_training_and_evaluation_tokens_must_differ(models, tmp_path):
    for twin in (EVAL, stream("eval", 3, seed=5)):
        with pytest.raises(UserError, match="hold the same tokens; choose another split"):
            Harness(tmp_path).run(pairs_of([(1, 1)], phi=twin), *models, phi=twin)


def test_streams_must_be_those_of_the_comparison(models, tmp_path):
    with pytest.raises(UserError, match="names phi_content = 'content-phi-0' but the stream .* 'content-phi-9'"):
        Harness(tmp_path).run(pairs_of([(1, 1)]), *models, phi=stream("phi", 7, seed=9))
    with pytest.raises(UserError, match="the evaluation stream is"):
        Harness(tmp_path).run(pairs_of([(1, 1)]), *models, evaluation=stream("eval", 5, seed=4))
    with pytest.raises(UserError, match="asked for 6 evaluation batches of cycle/eval; expected 1 to 5"):
        Harness(tmp_path).run(pairs_of([(1, 1)]), *models, n_eval=6)


def test_one_pass_has_one_setting(models, tmp_path):
    mixed = pairs_of([(1, 1)]) + pairs_of([(2, 2)], dataclasses.replace(SETTINGS, lr=0.1))
    with pytest.raises(UserError, match="differ in more than their layers"):
        Harness(tmp_path).run(mixed, *models)
    with pytest.raises(UserError, match="got no comparison"):
        Harness(tmp_path).run([], *models)


def test_too_few_tokens_for_the_closed_form(models, tmp_path):
    small = stream("phi", 1, n_tokens=4)
    wanted = [stitch_comparison(ModelId("f", "a"), ModelId("g", "b"), EVAL.data_id, 1, 1, SETTINGS, small.data_id)]
    with pytest.raises(UserError, match="given 16 tokens for 17 unknowns an output"):
        Harness(tmp_path).run(wanted, *models, phi=small)

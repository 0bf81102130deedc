"""Links of the page Compare models: read back, refused in a sentence, and compared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from repdiss_core.base.errors import UserError
from repdiss_core.ui.cards.pair_link import choice_of, differing

LINK = "http://127.0.0.1:8501/Compare_models?f=mini-gelu-4l-s1&estimator=sequence-aware&batches=50&mean=mean+kept&reduction=ratio+of+means#pair"


def test_a_link_becomes_its_choice():
    found = choice_of(LINK)
    assert (found.f, found.g) == ("mini-gelu-4l-s1", "mini-gelu-3l-s0".replace("gelu", "solu"))
    view = found.view
    assert (view.estimator, view.n_batches, view.resid_mean, view.reduction) == (
        "sequence_aware",
        50,
        "kept",
        "ratio_of_means",
    )
    assert choice_of("?" + LINK.split("?")[1]) == found
    stitched = choice_of("Compare_models?measure=identity+stitching&show=penalty")
    assert (stitched.measure, stitched.quantity) == ("identity_stitching", "penalty")


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        (
            "http://127.0.0.1:8501/Scaling_families?f=x",
            "This link leads to another page. Paste a link of the page Compare models",
        ),
        ("//[broken", "This is no link. Paste a link of the page Compare models"),
        (
            "Compare_models?f=mini-gelu-9l",
            "The link asks for f “mini-gelu-9l”, which this page does not offer. It offers mini-",
        ),
        ("Compare_models?batches=3", "asks for batches “3”, which this page does not offer. It offers 10, 20, 50"),
    ],
)
def test_what_a_link_cannot_be_is_told(link, sentence):
    with pytest.raises(UserError, match=sentence):
        choice_of(link)


def test_only_the_settings_that_differ_are_listed():
    a = choice_of(LINK)
    assert differing(a, a) == []
    b = replace(a, g="mini-solu-4l-s0", view=replace(a.view, n_batches=100))
    assert differing(a, b) == [("model g", a.g, "mini-solu-4l-s0"), ("batches", "50", "100")]
    stitched = choice_of("Compare_models?measure=stitching")
    names = [name for name, *_ in differing(choice_of(""), stitched)]
    assert names[:1] == ["measure"] and "estimator" in names and "training of the stitching layer" in names

"""A view read from a link is what its page shows; the tour's page steps, and says what to do where it is empty."""

from __future__ import annotations

import pytest
from shown import opened
from test_pages import ASYMMETRY, COMPARE, words

from repdiss_core.base.errors import UserError
from repdiss_core.ui.cards import figure_card
from repdiss_core.ui.parts.own_tour import STATE, Stop
from repdiss_core.ui.views import View, cards_of, content

pytestmark = pytest.mark.usefixtures("fresh_store")
TOUR = "pages/6_Tour.py"
CHOICES = [
    (
        ASYMMETRY,
        {
            "depth": "3 layers",
            "gelu": "seed 1",
            "show": "penalty",
            "estimator": "biased",
            "batches": "50",
            "steps": "logarithmic",
            "stitch": "no such",
        },
    ),
    ("pages/2_Generalization.py", {"k": "4", "rows": "[CLS] only", "show": "penalty"}),
    ("pages/3_Scaling_families.py", {"axes": "relative depth", "mean": "mean kept", "view": "x"}),
    (COMPARE, {"measure": "stitching", "layers": "every pair", "show": "penalty"}),
    (COMPARE, {"mode": "difference B − A", "b_g": "mini-gelu-3l-s1", "range": "of the values"}),
    (COMPARE, {"f": "mini-gelu-4l-s0", "g": "mini-gelu-4l-s0"}),
]


@pytest.mark.parametrize(("path", "query"), CHOICES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_view_shows_what_its_page_shows(path, query, monkeypatch):
    drawn, draw = [], figure_card.drawn_card
    monkeypatch.setattr(figure_card, "drawn_card", lambda card, *rest: drawn.append(card) or draw(card, *rest))
    test = opened(path, **query)
    assert [e.message for e in test.exception] == []
    shown = {(card.card_id, card.job_id, card.shows) for card in cards_of(View.of(path, query))}
    on_page = {(card.card_id, card.job_id, card.shows) for card in drawn}
    assert on_page <= shown
    if not test.error:  # a page ends where a figure's models are not there
        assert {card for card, _, _ in shown - on_page} <= {"map", "points"}, "of the two tabs one is closed"


def test_a_view_that_is_not_there_is_told_in_a_sentence():
    with pytest.raises(UserError, match=r"has no figure “fig99” at these choices\. It has: Stitching loss by layer"):
        cards_of(View.of(ASYMMETRY, {}, "fig99"))
    with pytest.raises(UserError, match=r"Runs has no figures to show\. Figures are on: Activation asymmetry"):
        content(View("pages/7_Runs.py"))


def test_the_tour_steps_and_stays_within_its_ends():
    test = opened(TOUR, step="2")
    assert test.header[0].value == "Can one read the other?"
    test.button(key="step on").click().run()
    assert test.query_params["step"] == "3"
    assert "Step 3 of" in words(test)
    for asked in ("0", "-3", "x", "1"):
        assert "Step 1 of" in words(opened(TOUR, step=asked))
    last = opened(TOUR, step="999")
    assert last.button(key="step on").disabled and not last.button(key="step back").disabled


def test_an_empty_tour_says_what_to_press():
    assert "press “Add to my tour”" in words(opened(TOUR, tour="my tour"))


def test_a_bad_tour_link_is_a_sentence():
    test = opened(TOUR, tour="my tour", mine="cut-off")
    assert [e.message for e in test.exception] == []
    assert "could not be read" in test.error[0].value


def test_views_are_added_ordered_and_removed():
    test = opened(ASYMMETRY, depth="3 layers")
    test.button(key="add-view").click().run()
    assert test.session_state[STATE] == [Stop(ASYMMETRY, (("depth", "3"),))]
    test.session_state[STATE] = [*test.session_state[STATE], Stop(COMPARE, (), "pair", "second")]
    test.switch_page(TOUR)
    test.query_params["tour"] = "my tour"
    test.run()
    assert [e.message for e in test.exception] == []
    assert test.query_params["mine"]
    test.button(key="Later-0").click().run()
    assert [stop.note for stop in test.session_state[STATE]] == ["second", ""]
    test.button(key="Remove-1").click().run()
    assert [stop.note for stop in test.session_state[STATE]] == ["second"]


def test_presenting_leaves_the_navigation_out_and_survives_the_way_to_the_next_page():
    test = opened(ASYMMETRY, present="on", depth="3 layers")
    assert [e.message for e in test.exception] == []
    assert not test.get("page_link")
    test.button(key="Page after").click().run()
    assert test.query_params["present"] == "on"
    assert "generalize" in test.title[0].value
    test = opened(ASYMMETRY, present="on", depth="3 layers")  # AppTest itself stays on the page that it opened
    test.button(key="leave presenting").click().run()
    assert "present" not in test.query_params

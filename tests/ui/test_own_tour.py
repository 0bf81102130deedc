"""A tour of one's own: kept, ordered, packed into a link, and read from one that is not trusted."""

from __future__ import annotations

import base64
import json
import zlib

import pytest

from repdiss_core.base.errors import UserError
from repdiss_core.ui.parts import own_tour
from repdiss_core.ui.parts.own_tour import Stop, packed, unpacked

PAGES = {"pages/1_Activation_asymmetry.py": "Activation asymmetry"}
STOP = Stop("pages/1_Activation_asymmetry.py", (("depth", "3 layers"),), "fig4", "</script> “so”")


def word(content: object) -> str:
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(content).encode())).decode().rstrip("=")


@pytest.fixture(autouse=True)
def session(monkeypatch) -> dict:
    state: dict = {}
    monkeypatch.setattr(own_tour.st, "session_state", state)
    return state


def test_a_link_gives_back_the_tour() -> None:
    assert unpacked(packed([STOP, Stop(STOP.path, ())]), PAGES) == [STOP, Stop(STOP.path, ())]


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "!!",
        "AAAA",
        packed([STOP])[:-9],
        word({"path": STOP.path}),
        word([1]),
        word([{"path": "../etc", "query": [], "card": "", "note": ""}]),
        word([{"path": "pages/7_Runs.py", "query": [], "card": "", "note": ""}]),
        word([{"path": STOP.path, "query": [["a"]], "card": "", "note": ""}]),
        word([{"path": STOP.path, "query": [], "card": "", "note": "x" * 100_000}]),
    ],
)
def test_a_link_that_is_no_tour_is_told_in_a_sentence(bad) -> None:
    with pytest.raises(UserError, match=r"could not be read.*Add to my tour"):
        unpacked(bad, PAGES)


def test_what_a_link_holds_is_cut_to_size() -> None:
    (stop,) = unpacked(
        word([{"path": STOP.path, "query": [["k" * 99, "v" * 999]], "card": "c" * 99, "note": "n" * 999}]), PAGES
    )
    assert [len(part) for part in (*stop.query[0], stop.card, stop.note)] == [40, 200, 40, own_tour.MOST_CHARACTERS]


def test_half_of_a_surrogate_pair_becomes_a_question_mark() -> None:
    (stop,) = unpacked(word([{"path": STOP.path, "query": [], "card": "", "note": "a\ud800b"}]), PAGES)
    assert stop.note == "a?b" and unpacked(packed([stop]), PAGES) == [stop]


def test_views_are_kept_once_in_a_row_and_change_places() -> None:
    for card in ("a", "a", "b", "c"):
        own_tour.add_stop(STOP.path, {"depth": "3 layers"}, card)
    cards = lambda: "".join(stop.card for stop in own_tour.stops())  # noqa: E731
    assert cards() == "abc"
    own_tour.move(0, -1)
    own_tour.move(2, 1)
    assert cards() == "abc", "the ends have no further neighbours"
    own_tour.move(0, 1)
    own_tour.remove(2)
    own_tour.remove(9)
    assert cards() == "ba"
    own_tour.write_note(1, "n" * 999)
    assert own_tour.stops()[1].note == "n" * own_tour.MOST_CHARACTERS


def test_a_tour_has_an_end() -> None:
    for i in range(own_tour.MOST_STOPS + 5):
        own_tour.add_stop(STOP.path, {"n": str(i)})
    assert len(own_tour.stops()) == own_tour.MOST_STOPS

"""Links of any content: whole pages, the choices and cells that links stand for, pasted links, own tours.

A sentence, no traceback, no code run.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from urllib.parse import urlencode

import pytest
from faulting import F, G
from fuzzing import JSON, LIMIT_S, TEXT, WORDS, fuzzed
from hypothesis import given
from hypothesis import strategies as some
from streamlit.testing.v1 import AppTest

from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import REPOSITORY
from repdiss_core.plots.theme import LOOKS
from repdiss_core.studies.options import MODE
from repdiss_core.ui.cards.figure_card import drawn_card
from repdiss_core.ui.cards.pair_link import choice_of, differing
from repdiss_core.ui.parts.own_tour import BAD_LINK, MOST_CHARACTERS, MOST_STOPS, packed, unpacked
from repdiss_core.ui.views import View, content, has_figures

pytestmark = pytest.mark.usefixtures("nothing_planted")
PAGES = ["app.py", *(f"pages/{path.name}" for path in sorted((REPOSITORY / "pages").glob("*.py")))]

PARAMETERS = some.sampled_from([
    "f", "g", "data", "measure", "layers", "show", "estimator", "reduction", "flatten", "mean", "batches", "stitch",
    "steps", "depth", "gelu",
    "solu", "population", "k", "rank", "measured", "rows", "hook", "model_a", "model_b", "claims", "maps", "embed",
    "theme", "models", "family",
    "axes", "range", "numbers", "massive", "whole", "mode", "b_f", "b_g", "b_estimator", "a_link", "b_link", "at",
    "step", "tour", "mine", "present",
    "cell-fig4-3", "cell-pair", "cell-fig3",
])  # fmt: skip


ENCODED = some.characters(codec="utf-8")
DIFFERENCE = MODE.label_of("difference")
NAMED_VALUES = some.sampled_from(
    (
        F,
        G,
        "CKA",
        "identity stitching",
        "trained stitches",
        "biased",
        "100",
        "20",
        "penalty",
        "docstrings",
        "pythia-70m",
        "pythia-70m@step1000",
        "1.1.1",
        "3.2.2",
        DIFFERENCE,
        "mini-neox-4l128-h8-s0",
        "mini-bert",
        "my tour",
        "/Compare_models?f=x",
    )
)
PAGES_OF_LINKS = some.sampled_from(("/Compare_models", "/Tour", "", "/Compare_models/"))


def encodable(text: str) -> str:
    """As a browser's address can hold it: no half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode()


@fuzzed("links (sets of 1 to 6 parameters)")
@given(
    page=some.sampled_from(PAGES),
    parameters=some.dictionaries(
        PARAMETERS | some.text(ENCODED, min_size=1, max_size=8), (TEXT | WORDS).map(encodable), min_size=1, max_size=6
    ),
)
def test_links_of_any_parameters(page, parameters, own_cache) -> None:
    test = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=60)
    if page != "app.py":
        test.switch_page(page)
    for name, value in parameters.items():
        test.query_params[name] = value
    test.run()
    assert [error.message for error in test.exception] == []
    assert len(test.title) == 1
    assert not (own_cache / "local" / "jobs").exists()


VALUES = NAMED_VALUES | TEXT
QUERIES = some.dictionaries(PARAMETERS, VALUES.map(encodable), max_size=6).map(urlencode)
LINKS = (
    some.builds(
        "{}{}?{}".format,
        some.sampled_from(("", "http://127.0.0.1:8501", "javascript:", "//[")),
        PAGES_OF_LINKS,
        QUERIES,
    )
    | TEXT
)


@fuzzed("pasted links")
@given(LINKS, LINKS)
def test_pasted_links_of_any_content(own_cache, one, other) -> None:
    """What Compare models does with two links: the choices that they stand for, and the settings that differ."""
    began, choices = time.process_time(), []
    for link in (one, other):
        try:
            choices.append(choice_of(link))
        except UserError as error:
            assert len(str(error)) < 1000 and "Traceback" not in str(error)
    if len(choices) == 2:
        assert len(differing(*choices)) < 20
    assert time.process_time() - began < LIMIT_S
    assert not (own_cache / "local" / "jobs").exists()


CHOICES = some.dictionaries(
    PARAMETERS,
    VALUES | LINKS | WORDS | some.builds("{}{}".format, some.sampled_from(("hub:", "path:")), TEXT),
    max_size=6,
)


@fuzzed("choices in links")
@given(
    some.sampled_from([page for page in PAGES if has_figures(page)]),
    CHOICES.map(lambda choices: {k: encodable(v) for k, v in choices.items()}),
)
def test_choices_of_any_content(own_cache, page, choices) -> None:
    """What a page makes of its address, up to the comparisons that it would compute;
    for a single figure the figure too."""
    began = time.process_time()
    try:
        shown = content(View.of(page, choices))
        for card in shown.cards:
            assert card.request.comparisons and len(card.job_id) == 64 and card.takes
        if len(shown.cards) == 1:
            assert shown.said() and drawn_card(shown.cards[0], LOOKS["page"]).caption.phrases
    except UserError as error:
        assert len(str(error)) < 1000 and "Traceback" not in str(error)
    assert time.process_time() - began < LIMIT_S
    assert not (own_cache / "local" / "jobs").exists()


def word_of(content: object, cut: int | None) -> str:
    """An own tour's word for an address that holds any JSON, cut short or whole."""
    text = json.dumps(content).encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(zlib.compress(text)).decode().rstrip("=")[:cut]


STOPS = some.lists(
    some.fixed_dictionaries({"path": some.sampled_from(PAGES) | TEXT,
        "query": some.lists(some.lists(TEXT, min_size=1, max_size=3), max_size=3) | JSON,
                             "card": TEXT | JSON, "note": TEXT | JSON}), max_size=4,
)  # fmt: skip


@fuzzed("own tours")
@given(some.builds(word_of, STOPS | JSON, some.none() | some.integers(0, 60)) | TEXT)
def test_own_tours_of_any_content(word) -> None:
    began = time.process_time()
    try:
        found = unpacked(word, dict.fromkeys(PAGES, "a page"))
    except UserError as error:
        assert str(error) == BAD_LINK
    else:
        assert len(found) <= MOST_STOPS and all(
            stop.path in PAGES and len(stop.note) <= MOST_CHARACTERS for stop in found
        )
        assert unpacked(packed(found), dict.fromkeys(PAGES, "a page")) == found
    assert time.process_time() - began < LIMIT_S

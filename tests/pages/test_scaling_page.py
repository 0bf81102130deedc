"""The page of section 5: without a family, without results, and with a family in which an answer was planted."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import shown
from neox_family import LARGEST, SUSPECT, TWIN, keep, planted, pretend
from shown import specs, words
from streamlit.testing.v1 import AppTest

from repdiss_core.bundled.family.recipe import FAMILY_MEMBERS
from repdiss_core.models import model_spec
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.scaling import question
from repdiss_core.studies.scaling.claims import scaling_claims
from repdiss_core.studies.scaling.question import FamilyParams
from repdiss_core.studies.scaling.stored import FamilyResults, load_family_results, with_massive
from repdiss_core.ui.cards import figure_card, study_cards

FLAG = ":material/flag:"  # of an odd row
PAGE = "pages/3_Scaling_families.py"
CARDS = ("family", "pair", "fig3", "fig9", "fig10", "odd", "early", "trend", "heads", "training", "real-models")


@pytest.fixture(autouse=True)
def family(own_cache, monkeypatch, tmp_path):
    """The page opens the test's own cache, no shipped results, and a pretended family."""
    from repdiss_core.ui.parts.shared import result_store

    def clear() -> None:
        result_store.clear()
        figure_card._DRAWN.clear()
        study_cards._cards.cache_clear()

    monkeypatch.setattr("repdiss_core.store.cache.bundled_root", lambda: own_cache / "bundled")
    pretend(monkeypatch, tmp_path / "family")
    clear()
    yield
    clear()


opened = partial(shown.opened, PAGE)


def by_card(test: AppTest) -> dict[str, dict]:
    """The figures by the card that shows them."""
    return dict(zip(CARDS, specs(test), strict=True))


def filled(**shown) -> FamilyResults:
    """A planted family, stored at the page's first settings."""
    keep(ResultStore.open(), planted(n_batches=100, **shown))
    return load_family_results(ResultStore.open(), FamilyParams())


def trace(spec: dict, name: str) -> dict:
    (found,) = (t for t in spec["data"] if t.get("name") == name)
    return found


def array(form) -> np.ndarray:
    """A matrix as it was sent: typed arrays are base64 with their shape."""
    import base64

    if not isinstance(form, dict):
        return np.array(form, dtype=float)
    shape = [int(n) for n in form["shape"].split(",")] if "shape" in form else -1
    return np.frombuffer(base64.b64decode(form["bdata"]), dtype=form["dtype"]).reshape(shape)


@pytest.mark.parametrize("count", [0, 1])
def test_without_a_family_the_page_is_a_sentence(monkeypatch, tmp_path, count) -> None:
    pretend(monkeypatch, tmp_path / "few", tuple(FAMILY_MEMBERS)[:count])
    test = opened()
    assert [e.message for e in test.exception] == []
    (told,) = test.error
    assert f"has {count} model" in told.value and "at least 2 are needed to compare any" in told.value
    assert not specs(test)


def test_with_an_empty_cache_every_card_says_that_nothing_is_computed() -> None:
    test = opened()
    assert [e.message for e in test.exception] == [] and not test.error
    shown = by_card(test)
    silent = [name for name, spec in shown.items() if "not computed yet" not in json.dumps(spec)]
    assert silent == []
    said = words(test)
    assert "Not every pair of this family is computed at this setting yet." in said
    assert "The maps without massive tokens are not computed at this setting." in said
    assert said.count("pythia-") == 8 and FLAG not in said


def test_the_view_of_all_layers_says_so_too() -> None:
    spec = by_card(opened(whole="all layers"))["family"]
    assert "not computed yet" in json.dumps(spec)


def test_a_filled_cache_shows_what_is_stored_and_the_planted_member() -> None:
    stored = filled(odd={SUSPECT: -0.1})
    test = opened()
    assert [e.message for e in test.exception] == [] and not test.error
    shown = by_card(test)
    waiting = [name for name, spec in shown.items() if "not computed yet" in json.dumps(spec)]
    assert waiting == ["real-models"]  # they are of no family
    np.testing.assert_allclose(array(trace(shown["family"], "family")["z"]), stored.maps.means(), rtol=1e-6)
    first, last = question.members(question.MINI)[0], question.members(question.MINI)[-1]
    values = [t for t in shown["pair"]["data"] if t.get("name") == "values"]
    chosen = [stored.maps.map(f, g).mean for f, g in ((last, last), (first, first), (last, first))]
    for one, wanted in zip(values, chosen, strict=True):
        np.testing.assert_allclose(array(one["z"]), wanted, atol=1e-9)
    said = words(test)
    assert f"Odd: {SUSPECT}, whose mean CKA with the others is −0.1" in said
    (row,) = (line for line in said.splitlines() if FLAG in line)
    assert row.startswith(f"| {SUSPECT} | 4 | 128 | 16 | 8 | 2 | ") and "odd]  departs by −0.1" in row
    assert next(line for line in said.splitlines() if line.startswith(f"| {TWIN} ")).endswith("| regular |")
    claims = scaling_claims(stored)
    assert len(claims) == 9 and all(claim.statement in said for claim in claims)
    assert [claim.verdict for claim in claims if claim.figure == "fig3"] == ["holds"] * 3


def test_the_mark_in_table_1_is_the_analysis_and_not_the_name() -> None:
    filled(odd={"6l160-h32": -0.15})
    said = words(opened())
    (row,) = (line for line in said.splitlines() if FLAG in line)
    assert row.startswith("| 6l160-h32 ")
    assert next(line for line in said.splitlines() if line.startswith(f"| {SUSPECT} ")).endswith("| regular |")


def test_relative_axes_another_pair_and_all_layers_are_in_the_link() -> None:
    stored = filled()
    name = f"mini-neox-{TWIN}-s1"
    shown = by_card(
        opened(axes="relative depth", f=question.short_name(name), g=question.short_name(name), whole="all layers")
    )
    assert shown["fig3"]["layout"]["xaxis"]["range"] == [0, 1]
    (own,) = (t for t in shown["pair"]["data"] if t.get("name") == "values")
    np.testing.assert_allclose(array(own["z"]), stored.maps.map(name, name).mean, atol=1e-9)
    depths = sum(model_spec(member).n_layers for member in question.members(question.MINI))
    layers = trace(shown["family"], "layers")
    assert array(layers["z"]).shape == (depths, depths)
    assert layers["x"][-1] == f"{LARGEST}-s0, layer 8"


def test_massive_tokens_are_told_where_both_treatments_are_stored() -> None:
    filled()
    keep(
        ResultStore.open(),
        planted(n_batches=100, params=with_massive(FamilyParams(), "dropped"), within=0.5),
        dropped_token=11,
    )
    said = words(opened())
    assert "12 of 12 members have massive tokens, up to 40 times the median" in said
    row = next(line for line in said.splitlines() if line.startswith(f"| {TWIN}-s0 "))
    assert "200 of 102 400" in row.replace("\u2009", " ") and "(100)" in row and "| 0.1" in row

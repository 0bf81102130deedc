"""Cells in a real browser: a click explains, the address keeps it, tokens are shaded, a result minus itself is nothing,
a family's map leads on."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from browsing import bring, point_at, values
from synthetic import put_cka

from repdiss_core.scripts.bench.browser import settle
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.studies.cell import cka_cell
from repdiss_core.studies.panels import load_matrix
from repdiss_core.studies.scaling import question as scaling
from repdiss_core.studies.tokens import SHADES, token_request_of

pytestmark = pytest.mark.browser
PANEL = asymmetry.cka_panels(asymmetry.AsymmetryParams())[2]


def stored(cache: Path, panel: int) -> np.ndarray:
    """CKA values of a map of the 3-layer models, as a second process would read them."""
    shown = asymmetry.cka_panels(asymmetry.AsymmetryParams())[panel]
    return load_matrix(ResultStore(cache / "local"), shown, "mean_of_ratios", 100).matrix.values


def click(page) -> None:
    """Press and release where the pointer stands."""
    page.mouse.down()
    page.mouse.up()


def facts_of(page) -> dict[str, str]:
    """The list of what a cell rests on, by its terms."""
    page.locator(".repdiss-facts").wait_for()
    rows = page.locator(".repdiss-facts").evaluate(
        "list => [...list.querySelectorAll('dt')].map(t => [t.innerText, t.nextElementSibling.innerText])"
    )
    return dict(rows)


def test_a_click_explains_the_cell_with_the_stored_value_and_the_address_keeps_it(site, site_cache, tab):
    tab.goto(f"{site}/Activation_asymmetry?depth=3")
    settle(tab)
    point_at(tab, "chart-fig4", 2, 2, 1)
    click(tab)
    told = facts_of(tab)
    assert float(re.match(r"[\d.]+", told["Value"])[0]) == pytest.approx(stored(site_cache, 2)[2, 1], abs=5e-5)
    assert told["Key"] == PANEL.comparison.key
    tab.wait_for_url("**cell-fig4=3.3.2*")
    settle(tab)
    tab.reload()
    settle(tab)
    assert facts_of(tab) == told
    bring(tab, "chart-fig4")
    assert tab.locator(".st-key-chart-fig4 .repdiss-chosen:visible").count() == 1
    tab.get_by_role("combobox", name=re.compile("Layer of mini-solu-3l-s0")).click()
    tab.get_by_role("option", name="1", exact=True).click()
    tab.wait_for_url("**cell-fig4=3.1.2*")
    tab.locator(".repdiss-facts dd").first.get_by_text("layer 1: resid_post").wait_for()


def test_tokens_are_shaded_and_explained(site, site_cache, tab):
    store = ResultStore(site_cache / "local")
    comparison = token_request_of(cka_cell(store, PANEL, 0, 0, "mean_of_ratios", 100), 0)
    cosine = np.linspace(0.0, 1.0, 16).reshape(2, 8)
    store.put(
        comparison.key,
        {"tokens": np.arange(40, 56).reshape(2, 8), "cosine": cosine, "contribution": cosine},
        {"comparison": comparison.to_dict()},
    )
    tab.goto(f"{site}/Activation_asymmetry?depth=3&cell-fig4=3.1.1&about-fig4=tokens")
    settle(tab)
    tokens = tab.locator(".repdiss-tokens .t")
    assert tokens.count() == 16
    grounds = tokens.evaluate_all("all => all.map(token => getComputedStyle(token).backgroundColor)")
    assert len(set(grounds)) == SHADES
    assert "cosine 0.00, token 1 of sequence 1" in tokens.first.get_attribute("title")


@pytest.mark.parametrize("tab", ["dark"], indirect=True)
def test_a_result_minus_itself_is_nothing(site, tab):
    tab.goto(f"{site}/Compare_models?mode=difference")
    settle(tab)
    assert values(tab, "chart-difference", 0) == values(tab, "chart-difference", 1)
    assert np.array(values(tab, "chart-difference", 2)).tolist() == np.zeros((3, 3)).tolist()
    tab.get_by_text("A and B have the same settings").wait_for()


def test_a_click_on_the_family_s_map_chooses_its_pair(site, site_cache, tab):
    params = scaling.FamilyParams()
    store = ResultStore(site_cache / "local")
    for panel in scaling.all_panels(params):
        put_cka(store, panel.comparison)
    names = scaling.members(params.family)
    tab.goto(f"{site}/Scaling_families?axes=relative")
    settle(tab)
    chart = bring(tab, "chart-family")
    box = chart.locator(".heatmaplayer").bounding_box()
    side = box["width"] / len(names)
    tab.mouse.move(box["x"] - 5, box["y"] + 5)
    tab.mouse.move(box["x"] + 1.5 * side, box["y"] + 0.5 * side, steps=6)
    chart.locator(".hoverlayer .hovertext").wait_for()
    click(tab)
    f, g = (scaling.short_name(name) for name in names[:2])
    tab.get_by_role("heading", name=f"CKA of {f} and {g}").wait_for()
    assert f"f={names[0]}" in tab.url and f"g={names[1]}" in tab.url  # ids, never labels
    settle(tab)
    hovered = tab.locator(".st-key-chart-pair .repdiss-hovered:visible")
    layers = bring(tab, "chart-pair").locator(".heatmaplayer").nth(2).bounding_box()
    tab.mouse.move(layers["x"] - 5, layers["y"] + 5)
    tab.mouse.move(layers["x"] + layers["width"] / 8, layers["y"] + layers["height"] / 4, steps=6)
    hovered.nth(2).wait_for()
    assert hovered.count() == 3, "the same depth is outlined in all three maps"

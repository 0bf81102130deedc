"""What a researcher does, in a real browser: open every link, choose, read a value, start, cancel and resume a job."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest
from browsing import barriers, bring, cell_box, new_cache, point_at, values

from repdiss_core.base.paths import REPOSITORY
from repdiss_core.scripts.bench.browser import dashboard, settle
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.studies.panels import load_matrix

pytestmark = pytest.mark.browser
PAGES = ["", *(re.sub(r"^\d+_", "", path.stem) for path in sorted((REPOSITORY / "pages").glob("*.py")))]


def stored(cache: Path, panel: int, **params) -> np.ndarray:
    """CKA values of a map of the asymmetry study, as a second process would read them."""
    shown = asymmetry.cka_panels(asymmetry.AsymmetryParams(**params))[panel]
    return load_matrix(ResultStore(cache / "local"), shown, "mean_of_ratios", 100).matrix.values


def choose(page, label: str, option: str) -> None:
    """Pick an option of a dropdown; a rerun may close a list that has just opened, hence the trials."""
    from playwright.sync_api import TimeoutError as TooLate

    settle(page)
    box, wanted = (
        page.get_by_role("combobox", name=re.compile(re.escape(label))).first,
        page.get_by_role("option", name=option, exact=True),
    )
    for _ in range(8):
        box.click()
        try:
            wanted.click(timeout=1500)
            return
        except TooLate:
            continue
    raise AssertionError(f"no option {option!r} under {label!r}")


def until_changed(page, chart: str, panel: int, before: list, limit_s: float = 20) -> np.ndarray:
    """The values of a map once they are no longer `before`."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        settle(page)
        after = values(page, chart, panel)
        if after != before:
            return np.array(after, float)
        page.wait_for_timeout(50)
    raise AssertionError(f"the map in {chart} did not change within {limit_s} s")


@pytest.mark.parametrize("name", PAGES)
def test_a_deep_link_is_the_first_thing_a_fresh_server_sees(browser, tab, tmp_path, shared_data, name):
    cache = new_cache(tmp_path / "cache", shared_data)
    with dashboard(REPDISS_CACHE=str(cache)) as address:
        tab.goto(f"{address}/{name}")
        settle(tab)
        assert tab.locator("h1").inner_text().endswith("?")
        assert tab.get_by_role("link", name="RepDiss").is_visible()
        assert tab.locator('[data-testid="stPageLink-NavLink"]').count() >= len(PAGES)
        tab.goto("about:blank")  # before the server goes


@pytest.mark.parametrize("tab", ["light", "dark"], indirect=True)
def test_every_page_in_light_and_dark(site, tab):
    """Axe-core looks at the light ones here, at the dark ones in the slow tests."""
    for name in PAGES:
        tab.goto(f"{site}/{name}")
        settle(tab)
        dark = tab.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        ground, ink = tab.evaluate(
            "(() => { const s = getComputedStyle(document.querySelector('[data-testid=\"stApp\"]')); "
            "return [s.backgroundColor, s.color] })()"
        )
        light_of = [sum(map(int, re.findall(r"\d+", color)[:3])) for color in (ground, ink)]
        assert (light_of[0] < light_of[1]) == dark
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
            f"{name or 'home'} is wider than the window"
        )
        assert dark or barriers(tab) == []


def test_navigation_reaches_every_page_and_keeps_choices(site, tab):
    tab.goto(f"{site}/Activation_asymmetry?depth=3")
    settle(tab)
    tab.get_by_role("link", name="Compare models").click()
    tab.wait_for_url("**/Compare_models*")
    settle(tab)
    tab.get_by_role("link", name="Activation asymmetry").click()
    tab.wait_for_url("**/Activation_asymmetry*")
    settle(tab)
    assert "depth=3" in tab.url
    assert tab.locator('[class*="st-key-card-"]').count() == 3


def test_a_cell_in_the_browser_equals_the_stored_result(shown, site_cache):
    for panel in range(3):
        np.testing.assert_allclose(
            np.array(values(shown, "chart-fig4", panel), float), stored(site_cache, panel, depth=3), rtol=0, atol=1e-12
        )
    np.testing.assert_allclose(
        np.array(values(shown, "chart-fig5", 2), float), stored(site_cache, 2, depth=4), rtol=0, atol=1e-12
    )


def test_hover_tells_layers_value_interval_and_batches(shown):
    told = r"mini-gelu-3l-s0, layer 3.*mini-gelu-3l-s0, layer 1.*CKA 0\.\d{3}.*95 % \[0\.\d{3}, 0\.\d{3}\].*100 batches"
    assert re.search(told, point_at(shown, "chart-fig4", 0, 2, 0).text_content())


def test_the_cell_under_the_pointer_is_outlined_in_the_neighbouring_maps(shown):
    bring(shown, "chart-fig5")
    point_at(shown, "chart-fig4", 0, 2, 0)
    outlines = shown.locator(".st-key-chart-fig4 .repdiss-hovered:visible")
    assert outlines.count() == 3
    for panel in range(3):
        box = outlines.nth(panel).bounding_box()
        np.testing.assert_allclose(
            [box[side] for side in ("x", "y", "width", "height")], cell_box(shown, "chart-fig4", panel, 2, 0, 3), atol=2
        )
    assert shown.locator(".st-key-chart-fig5 .repdiss-hovered").count() == 3
    shown.mouse.move(5, 5)
    outlines.first.wait_for(state="hidden")


def test_a_clicked_cell_is_told_in_a_line_with_the_stored_value(shown, site_cache):
    point_at(shown, "chart-fig4", 2, 2, 1)
    shown.mouse.down()
    shown.mouse.up()
    line = shown.locator(".st-key-cell-fig4")
    line.wait_for()
    words = (
        r"Layer 3 of mini-solu-3l-s0 × layer 2 of mini-gelu-3l-s0: CKA (0\.\d{3}) \[0\.\d{3}, "
        r"0\.\d{3}\] over 100 batches"
    )
    told = re.search(words, line.inner_text())
    assert float(told[1]) == pytest.approx(stored(site_cache, 2, depth=3)[2, 1], abs=5e-4)
    assert shown.locator(".st-key-chart-fig4 .repdiss-chosen:visible").count() == 1
    settle(shown)
    line.get_by_role("button", name="Close").click()
    line.wait_for(state="detached")
    shown.locator(".st-key-chart-fig4 .repdiss-chosen").wait_for(state="hidden")


def test_a_chart_far_below_waits_until_it_comes_near_and_for_the_printer(site, tab):
    tab.goto(f"{site}/Activation_asymmetry")
    settle(tab)
    last = tab.locator(".repdiss-chart").last
    assert last.get_attribute("data-state") == "waiting"
    height = last.evaluate("element => element.offsetHeight")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert set(tab.locator(".repdiss-chart").evaluate_all("all => all.map(chart => chart.dataset.state)")) == {"drawn"}
    assert last.evaluate("element => element.offsetHeight") == height


def test_without_the_drawing_library_a_sentence_stands_in_the_frame(browser, site):
    page = browser.new_context().new_page()
    page.route("**/plotly-cartesian.min.js", lambda route: route.abort())
    page.goto(f"{site}/Compare_models")
    page.locator(".repdiss-chart").get_by_text("its drawing library did not load").wait_for()
    page.context.close()


def test_a_click_on_a_model_chooses_it(site, tab):
    tab.goto(f"{site}/Generalization")
    settle(tab)
    bring(tab, "chart-strip")
    for position, place in ((0, "a"), (-1, "b")):
        box = tab.locator(".st-key-chart-strip .trace:has(.point)").first.locator(".point").nth(position).bounding_box()
        tab.mouse.move(box["x"] - 30, box["y"] - 30)
        tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=6)
        tab.locator(".st-key-chart-strip .hoverlayer .hovertext").wait_for()
        tab.mouse.down()
        tab.mouse.up()
        tab.wait_for_url(f"**model_{place}=nli-natural-*")
        settle(tab)
    tab.get_by_text("stitched into each other").first.wait_for()


def test_the_numbers_of_a_card_can_be_saved(shown, site_cache):
    shown.locator(".st-key-tools-fig4").get_by_role("button", name="Export").click()
    with shown.expect_download() as saved:
        shown.get_by_role("button", name="Numbers as CSV").click()
    shown.locator("h1").click()  # closes the popover
    shown.get_by_role("button", name="Numbers as CSV").wait_for(state="hidden")
    settle(shown)
    lines = Path(saved.value.path()).read_text(encoding="utf-8").splitlines()
    cells = [line.split(",") for line in lines if line.startswith("Within GeLU,")]
    assert len(cells) == 9
    assert float(cells[1][5]) == stored(site_cache, 0, depth=3)[0, 1]


def test_figure_text_follows_the_theme_while_the_page_is_open(shown):
    bring(shown, "chart-fig4")
    read = "getComputedStyle(document.querySelector('.st-key-chart-fig4 .xtick text')).fill"
    before = shown.evaluate(read)
    shown.emulate_media(color_scheme="dark")
    shown.wait_for_function(f"{read} !== '{before}'")
    shown.emulate_media(color_scheme="light")
    shown.wait_for_function(f"{read} === '{before}'")


def test_a_dropdown_changes_the_map_and_the_address(site, site_cache, tab):
    tab.goto(f"{site}/Activation_asymmetry?depth=3")
    settle(tab)
    before = values(tab, "chart-fig4", 2)
    choose(tab, "GeLU model", "seed 1")
    tab.wait_for_url("**gelu=1**")
    after = until_changed(tab, "chart-fig4", 2, before)
    np.testing.assert_allclose(after, stored(site_cache, 2, depth=3, seed_gelu=1), rtol=0, atol=1e-12)


def test_markup_in_a_link_is_shown_as_text(site, tab):
    tab.goto(f"{site}/Compare_models?measure=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
    settle(tab)
    tab.get_by_text("<img src=x onerror=alert(1)>").first.wait_for()
    assert tab.locator("img[src='x']").count() == 0


def test_a_job_is_shared_by_two_tabs_cancelled_and_resumed(site, site_cache, tab):
    link = f"{site}/Activation_asymmetry?depth=3&estimator=biased&mean=kept&batches=20"
    other = tab.context.new_page()
    for page in (tab, other):
        page.goto(link)
        settle(page)
    card, tools, other_tools = (
        tab.locator(".st-key-card-fig4"),
        tab.locator(".st-key-tools-fig4"),
        other.locator(".st-key-tools-fig4"),
    )
    card.get_by_text("not computed yet").first.wait_for()
    assert not (site_cache / "local" / "jobs").exists(), "opening a link started work"
    tools.get_by_role("button", name="Compute here").click()
    tools.get_by_role("button", name="Cancel").wait_for()
    other_tools.get_by_role("button", name="Compute here").click()
    other_tools.get_by_role("button", name="Cancel").wait_for()
    assert len(list((site_cache / "local" / "jobs").glob("*/status.json"))) == 1, "two tabs started two jobs"
    other_tools.get_by_role("button", name="Cancel").click()
    card.get_by_text("cancelled").first.wait_for()
    other.goto(f"{site}/Runs")
    other.locator("[class*='st-key-job-']").get_by_text("cancelled").first.wait_for()
    tools.get_by_role("button", name="Resume").click()
    tools.get_by_role("button", name="Cancel").wait_for()
    card.get_by_text("computed here").first.wait_for(timeout=90_000)
    settle(tab)
    np.testing.assert_allclose(np.diag(np.array(values(tab, "chart-fig4", 0), float)), 1.0, atol=1e-9)
    assert tools.get_by_role("button", name="Recompute here").is_visible()
    assert "20 batches" in card.inner_text()


def test_back_and_forth_restore_what_was_chosen(site, tab):
    tab.goto(f"{site}/Activation_asymmetry?depth=3")
    settle(tab)
    choose(tab, "GeLU model", "seed 1")
    tab.wait_for_url("**gelu=1**")
    settle(tab)
    tab.get_by_text("penalty", exact=True).first.click()
    tab.wait_for_url("**show=penalty**")
    settle(tab)
    tab.locator("h3", has_text="Stitching penalty by layer").wait_for()
    tab.go_back()
    tab.locator("h3", has_text="Stitching loss by layer").wait_for()
    settle(tab)
    assert "gelu=1" in tab.url and "show" not in tab.url
    for turn, shown, address in ((tab.go_back, "seed 0", "depth=3"), (tab.go_forward, "seed 1", "depth=3&gelu=1")):
        turn()
        tab.wait_for_function(
            "shown => document.querySelector('[aria-label=\"GeLU model\"]').value === shown", arg=shown
        )
        settle(tab)
        assert tab.url.endswith(f"?{address}")

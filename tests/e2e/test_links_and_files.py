"""What leaves the dashboard: links, pictures, files that open offline; the tour by keyboard; presenting;
accessibility of every page."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from browsing import barriers, open_tab, values
from test_browser import PAGES, choose, stored

from repdiss_core.scripts.bench.browser import settle

pytestmark = pytest.mark.browser
NASTY = "</script><script>document.title='caught'</script> & <b>bold</b>"


@pytest.fixture
def copying(tab):
    """A tab that may read what it copied."""
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    return tab


def copied(page, button) -> str:
    """What a button puts into the clipboard; it says so."""
    button.click()
    page.get_by_text("Copied", exact=True).first.wait_for()
    return page.evaluate("navigator.clipboard.readText()")


def saved(page, button, folder: Path) -> Path:
    """The file that a button gives."""
    with page.expect_download() as download:
        button.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def offline(browser, path: Path):
    """(page of the file, its requests) in a browser without a network."""
    page = browser.new_context(offline=True).new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: asked.append(f"page error: {error}"))
    page.goto(path.as_uri())
    page.wait_for_function("[...document.querySelectorAll('.js-plotly-plot')].every(plot => plot.calcdata)")
    return page, asked


def test_a_copied_link_restores_the_view_in_a_new_session(browser, site, copying):
    copying.goto(f"{site}/Activation_asymmetry?depth=3")
    settle(copying)
    choose(copying, "GeLU model", "seed 1")
    copying.wait_for_url("**gelu=1**")
    copying.get_by_text("penalty", exact=True).first.click()
    copying.wait_for_url("**show=penalty**")
    settle(copying)
    here = values(copying, "chart-fig4", 2)
    link = copied(copying, copying.get_by_role("button", name="Copy link").first)
    with open_tab(browser, "light") as other:
        other.goto(link)
        settle(other)
        assert values(other, "chart-fig4", 2) == here
        assert other.locator("h3", has_text="Stitching penalty by layer").count() == 1


def test_each_export_opens_and_holds_the_numbers(browser, site, site_cache, tab, tmp_path):
    tab.goto(f"{site}/Activation_asymmetry?depth=3&at=fig4")
    settle(tab)
    expected = stored(site_cache, 2, depth=3)
    tab.locator(".st-key-tools-fig4").get_by_role("button", name="Export").click()
    svg = saved(tab, tab.get_by_role("button", name="Picture as SVG"), tmp_path)
    told = ["".join(text.itertext()) for text in ElementTree.parse(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert {f"{value:.2f}" for value in expected.flat} <= set(told)
    assert any("100 batches" in text for text in told), "the picture tells what it rests on"
    png = saved(tab, tab.get_by_role("button", name="Picture as PNG"), tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG") and png.stat().st_size > 20_000
    form = json.loads(saved(tab, tab.get_by_role("button", name="Numbers and provenance"), tmp_path).read_text("utf-8"))
    np.testing.assert_array_equal(form["panels"][2]["values"], expected)
    assert form["choices"] == {"depth": "3"}
    assert form["citation"].startswith("RepDiss: CKA of 3-layer models.") and "arXiv 2310.14993" in form["paper"]
    told, *rows = saved(tab, tab.get_by_role("button", name="Numbers as CSV"), tmp_path).read_text("utf-8").splitlines()
    assert told.startswith("# RepDiss: CKA of 3-layer models")
    cells = [row for row in csv.reader(rows) if row[0].startswith("Between")]
    np.testing.assert_array_equal(np.array([float(row[5]) for row in cells]).reshape(3, 3), expected)
    tab.keyboard.press("Escape")
    tab.get_by_role("button", name="Save page").click()
    page, asked = offline(browser, saved(tab, tab.get_by_role("button", name="Page as one file"), tmp_path))
    maps = (
        "document.querySelectorAll('.js-plotly-plot')[1].calcdata.map(t => t[0]).filter(t => t.trace.name === "
        "'values')[2].z.map(row => [...row])"
    )
    np.testing.assert_array_equal(page.evaluate(maps), expected)
    assert page.locator("tbody tr").count() == 12
    assert len(asked) == 1, asked
    page.context.close()


def test_the_tour_is_stepped_by_keyboard(site, tab):
    tab.goto(f"{site}/Tour")
    settle(tab)
    for key, told in (("ArrowRight", "Step 2 of"), ("ArrowRight", "Step 3 of"), ("ArrowLeft", "Step 2 of")):
        tab.keyboard.press(key)
        tab.get_by_text(told).wait_for()
        settle(tab)
    assert "step=2" in tab.url
    tab.get_by_role("link", name="Open this view").click()
    tab.wait_for_url("**/Activation_asymmetry?*at=fig1*")
    settle(tab)


def test_presenting_has_arrows_alone_and_goes_on_from_page_to_page(site, tab):
    tab.goto(f"{site}/Findings?present=on&embed=true")
    settle(tab)
    assert tab.get_by_role("link", name="RepDiss").count() == 0
    assert tab.evaluate("getComputedStyle(document.documentElement).fontSize") == "20px"
    tab.keyboard.press("ArrowLeft")
    tab.wait_for_url("**/Compare_models?*present=on*")
    settle(tab)
    assert "embed=true" in tab.url
    assert not tab.locator(".st-key-controls").is_visible()
    tab.keyboard.press("Escape")
    tab.get_by_role("link", name="RepDiss").wait_for()
    assert "present" not in tab.url


def test_a_finding_leads_to_its_figure(site, tab):
    tab.goto(f"{site}/Findings")
    settle(tab)
    tab.locator("tr", has_text="4-layer models, one pair").first.get_by_role("link").click()
    tab.wait_for_url("**/Activation_asymmetry?*depth=4*")
    settle(tab)
    tab.wait_for_function("Math.abs(document.getElementById('fig1').getBoundingClientRect().top) < 120")


@pytest.mark.slow
def test_an_own_tour_is_a_link_and_a_file(browser, site, copying, tmp_path):
    copying.goto(f"{site}/Activation_asymmetry?depth=3")
    settle(copying)
    copying.locator(".st-key-tools-fig4").get_by_role("button", name="Link").click()
    copying.locator(".st-key-add-fig4").get_by_role("button").click()
    copying.get_by_text("Added to your tour").wait_for()
    copying.keyboard.press("Escape")
    copying.get_by_role("link", name="Tour", exact=True).click()
    copying.wait_for_url("**/Tour*")
    settle(copying)
    copying.get_by_text("my tour", exact=True).click()
    field = copying.get_by_role("textbox")
    field.fill(NASTY)
    field.press("Tab")
    copying.locator("blockquote").get_by_text(NASTY).wait_for()
    settle(copying)
    link = copied(copying, copying.get_by_role("button", name="Copy a link to this tour"))
    copying.get_by_role("button", name="Save tour").click()
    page, asked = offline(browser, saved(copying, copying.get_by_role("button", name="Tour as one file"), tmp_path))
    assert page.locator("blockquote").inner_text() == NASTY and page.title() != "caught"
    assert len(asked) == 1, asked
    page.context.close()
    with open_tab(browser, "light") as other:
        other.goto(link)
        settle(other)
        assert other.locator("blockquote").inner_text() == NASTY
        np.testing.assert_array_equal(values(other, "chart-tour-0", 2), values(copying, "chart-tour-0", 2))


def look_at(page, site: str, names: list[str]) -> dict[str, list[str]]:
    """{address: faults} of pages that have any."""
    found = {}
    for name in names:
        page.goto(f"{site}/{name}")
        settle(page)
        found[name] = barriers(page)
    return {name: told for name, told in found.items() if told}


@pytest.mark.slow
@pytest.mark.parametrize("tab", ["dark"], indirect=True)
def test_no_serious_accessibility_fault_in_the_dark_nor_while_presenting_nor_on_a_small_screen(site, tab):
    tab.set_viewport_size({"width": 1024, "height": 768})
    assert look_at(tab, site, [*PAGES, "Tour?present=on", "Findings?present=on", "Tour?tour=own"]) == {}


@pytest.mark.slow
@pytest.mark.parametrize("button", ["Explain", "Link", "Export", "Terms", "Save page"])
def test_open_popovers_have_none_either_and_every_formula_is_set(site, tab, button):
    tab.goto(f"{site}/Activation_asymmetry?depth=3")
    settle(tab)
    tab.get_by_role("button", name=re.compile(button)).first.click()
    tab.locator('[data-testid="stPopoverBody"]').first.wait_for()
    settle(tab)
    tab.wait_for_timeout(500)  # the popover fades in
    assert barriers(tab) == []
    assert tab.locator(".katex-error").count() == 0
    assert (tab.locator(".katex").count() > 0) == (button in ("Explain", "Terms"))


# Tells of the focused element: its kind, its label, and of the one before whether it looked otherwise while it had the
# focus.
REACH = """() => {
  const look = e => { const told = []; for (let n = 0; e && n < 5; n++, e = e.parentElement) {
    const s = getComputedStyle(e);
    told.push(s.outline, s.boxShadow, s.borderColor, s.backgroundColor, s.color); } return told.join() };
  const before = window.reached, e = document.activeElement;
  const showed = !before || !before.element.isConnected || look(before.element) !== before.look;
  if (!e || e === document.body) return { showed, last: before?.label };
  e.dataset.reached = '1';
  const label = (e.ariaLabel || e.innerText || e.title || e.labels?.[0]?.innerText || '').trim();
  window.reached = { element: e, look: look(e), label };
  return { kind: e.tagName, label, showed, last: before?.label };
}"""
MISSED = """() => [...document.querySelectorAll('[data-testid="stMain"] :is(button, a[href], input)')]
  .filter(e => !e.disabled && e.checkVisibility() && e.tabIndex >= 0 && !e.dataset.reached
    && !e.closest('[role=radiogroup], [role=radio]'))
  .map(e => e.ariaLabel || e.innerText || e.outerHTML.slice(0, 80))"""


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_every_control_is_reached_by_keyboard_and_shows_it(site, tab, name):
    tab.goto(f"{site}/{name}")
    settle(tab)
    seen = set()
    for _ in range(200):
        tab.keyboard.press("Tab")
        settle(tab)  # a chart that came into sight has a button of its own
        told = tab.evaluate(REACH)
        assert told["showed"], f"{told['last']!r} does not show that it has the focus"
        if "kind" not in told:
            break
        assert told["label"], f"a {told['kind']} without a label"
        seen.add(told["label"])
    missed = tab.evaluate(MISSED)
    assert len(seen) > 5 and not missed, missed

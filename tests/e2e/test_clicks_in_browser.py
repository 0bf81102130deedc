"""Clicks while a chart loses its hover, moves or is drawn again between press and release; what is no click."""

from __future__ import annotations

import math

import pytest
from browsing import bring, point_at

from repdiss_core.scripts.bench.browser import settle

pytestmark = pytest.mark.browser
STRIP = "chart-strip"
# The pointer goes to the first place and at once to the last, presses, and lets go right after Plotly's second search
# for the hovered point. Plotly puts that off by 50 ms: it comes while the button is down and clears the hover.
QUICK = """async (places) => {
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const send = (Kind, type, [x, y]) => document.elementFromPoint(x, y).dispatchEvent(
    new Kind(type, { bubbles: true, clientX: x, clientY: y, isPrimary: true }));
  await wait(100);
  send(MouseEvent, "mousemove", places[0]);
  const last = places.at(-1);
  send(MouseEvent, "mousemove", last);
  send(PointerEvent, "pointerdown", last);
  send(MouseEvent, "mousedown", last);
  await wait(50);
  send(PointerEvent, "pointerup", last);
  send(MouseEvent, "mouseup", last);
}"""
PUSH = "chart => { document.querySelector(`.st-key-${chart}`).style.paddingTop = '60px'; }"
REDRAW = """async (chart) => {
  const plot = document.querySelector(`.st-key-${chart} .js-plotly-plot`);
  await Plotly.react(plot, structuredClone(plot.data), { ...plot.layout, width: plot._fullLayout.width / 2 });
}"""
MIDDLES = "all => all.map(e => e.getBoundingClientRect()).map(box => [box.x + box.width / 2, box.y + box.height / 2])"


@pytest.fixture
def strip(site, tab):
    """A tab with the strip of models, none of them chosen; `tab.clicks` gathers what the browser reports of clicks."""
    tab.clicks = []

    def keep_click(frame: str | bytes) -> None:
        if isinstance(frame, bytes) and b'"curve"' in frame:
            tab.clicks.append(frame)

    tab.on("websocket", lambda socket: socket.on("framesent", keep_click))
    tab.goto(f"{site}/Generalization")
    settle(tab)
    bring(tab, STRIP)
    return tab


def place_of(page, position: int = -1) -> list[float]:
    """The middle of a model's mark on the screen."""
    box = page.locator(f".st-key-{STRIP} .trace:has(.point)").first.locator(".point").nth(position).bounding_box()
    return [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]


def gap_of(page) -> list[float]:
    """The place in the strip that is farthest from every model's mark."""
    marks = page.locator(f".st-key-{STRIP} .point").evaluate_all(MIDDLES)
    area = page.locator(f".st-key-{STRIP} .nsewdrag").first.bounding_box()
    parts = [(i / 20, j / 20) for i in range(1, 20) for j in range(1, 20)]
    places = [[area["x"] + area["width"] * i, area["y"] + area["height"] * j] for i, j in parts]
    return max(places, key=lambda place: min(math.dist(place, mark) for mark in marks))


def press(page, place: list[float], button: str = "left") -> None:
    """Point at a place until its hover text is there, then press."""
    page.mouse.move(place[0] - 30, place[1] - 30)
    page.mouse.move(*place, steps=6)
    page.locator(f".st-key-{STRIP} .hoverlayer .hovertext").wait_for()
    page.mouse.down(button=button)


def check_chosen(page) -> None:
    """The pressed model was chosen, by one message."""
    page.wait_for_url("**model_a=nli-natural-*", timeout=10_000)
    settle(page)
    assert len(page.clicks) == 1


def test_a_click_counts_though_plotly_clears_the_hover_while_the_button_is_down(strip):
    strip.evaluate(QUICK, [place_of(strip)])
    check_chosen(strip)


@pytest.mark.parametrize("meanwhile", [PUSH, REDRAW], ids=["moved", "drawn again"])
def test_a_click_counts_though_the_chart_changes_while_the_button_is_down(strip, meanwhile):
    press(strip, place_of(strip))
    strip.evaluate(meanwhile, STRIP)
    strip.mouse.up()
    check_chosen(strip)


def test_a_hand_that_trembles_clicks(strip):
    x, y = place_of(strip)
    press(strip, [x, y])
    strip.mouse.move(x + 5, y - 5)
    strip.mouse.up()
    check_chosen(strip)


@pytest.mark.parametrize("button", ["left", "right"])
def test_a_drag_and_another_button_choose_nothing(strip, button):
    x, y = place_of(strip)
    press(strip, [x, y], button)
    strip.mouse.move(x + 40 * (button == "left"), y)
    strip.mouse.move(x, y)
    strip.mouse.up(button=button)
    press(strip, place_of(strip, 0))
    strip.mouse.up()
    check_chosen(strip)


def test_a_gap_between_the_models_is_no_click(strip):
    strip.evaluate(QUICK, [place_of(strip), gap_of(strip)])
    press(strip, place_of(strip, 0))
    strip.mouse.up()
    check_chosen(strip)


def test_the_cell_under_the_pointer_is_clicked_though_plotly_has_searched_only_at_the_one_before(site, tab):
    tab.goto(f"{site}/Activation_asymmetry?depth=3")
    settle(tab)
    point_at(tab, "chart-fig4", 2, 2, 0)
    box = tab.locator(".st-key-chart-fig4 .heatmaplayer").nth(2).bounding_box()
    before, after = ([box["x"] + box["width"] * part, box["y"] + box["height"] / 6] for part in (1 / 6, 1 / 2))
    tab.evaluate(QUICK, [before, after])
    tab.wait_for_url("**cell-fig4=3.3.2*", timeout=10_000)

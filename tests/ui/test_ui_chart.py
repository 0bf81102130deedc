"""The chart component's Python side: what a browser's message becomes, and the line on a clicked cell."""

import json

import pytest
from shown import charts, specs
from streamlit.testing.v1 import AppTest

from repdiss_core.ui.parts.chart import LIBRARY, Click
from repdiss_core.ui.parts.chosen_cell import cell_line

CELL = {"curve": 4, "panel": 2, "row": 0, "column": 3, "value": 0.5, "labels": ["1", "4"]}
FORM = {
    "rows": "a",
    "columns": "b",
    "row_labels": ["1"],
    "column_labels": ["1", "2", "3"],
    "values": [[0.7134, -0.02, None]],
    "interval": {"lower": [[0.7, None, None]], "upper": [[0.72, None, None]]},
    "n_batches": 100,
}


def page() -> None:
    import plotly.graph_objects as go

    from repdiss_core.plots.theme import spec_of
    from repdiss_core.ui.parts.chart import chart

    figure = go.Figure(go.Heatmap(z=[[1.0, 2.0]]), layout={"height": 222})
    chart(
        spec_of(figure), key="one", alt="<b>a map</b>", config={"displaylogo": False}, link="layers", chosen=(1, 0, 1)
    )


def test_a_message_of_a_click_is_read():
    assert Click.read(CELL) == Click(4, 2, 0, 3, 0.5, ("1", "4"))
    assert Click.read({**CELL, "row": None, "value": None}) == Click(4, 2, None, 3, None, ("1", "4"))


@pytest.mark.parametrize(
    "told", [None, "x", [], {}, {**CELL, "row": "first"}, {**CELL, "labels": 3}, {**CELL, "curve": None}]
)
def test_what_is_no_click_is_dropped(told):
    assert Click.read(told) is None


def test_the_browser_gets_figure_height_alternative_text_and_link():
    test = AppTest.from_function(page).run()
    (element,) = charts(test)
    data = json.loads(element.proto.json)
    assert not test.exception
    assert specs(test)[0]["data"][0]["z"] == [[1.0, 2.0]]
    assert (data["height"], data["alt"], data["link"], data["chosen"], data["clickable"]) == (
        222,
        "<b>a map</b>",
        "layers",
        [1, 0, 1],
        False,
    )


def test_the_drawing_library_ships_with_its_licence():
    assert LIBRARY.read_text("utf-8").startswith("/**\n* plotly.js (cartesian - minified) v4")
    assert "MIT License" in (LIBRARY.parent / "LICENSE").read_text("utf-8")


@pytest.mark.parametrize(
    ("form", "column", "words"),
    [
        (FORM, 0, "Layer 1 of a × layer 1 of b: CKA 0.713 [0.700, 0.720] over 100 batches"),
        ({**FORM, "n_batches": 1}, 1, "Layer 1 of a × layer 2 of b: CKA \u22120.020 over 1 batch"),
        (FORM, 2, "Layer 1 of a × layer 3 of b: no value"),
        (
            {**FORM, "quantity": "penalty", "n_sequences": 800} | {"n_batches": None},
            0,
            "penalty 0.713 [0.700, 0.720] over 800 sequences",
        ),
    ],
)
def test_the_line_on_a_cell(form, column, words):
    form = {name: value for name, value in form.items() if value is not None}
    assert cell_line(form, 0, column).endswith(words)

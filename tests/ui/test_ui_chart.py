"""The chart component's Python side: what a browser's message becomes, and the line on a clicked cell."""

import json
from dataclasses import replace

import numpy as np
import pytest
from shown import charts, specs
from streamlit.testing.v1 import AppTest

from repdiss_core.studies.tables import Sample, Table
from repdiss_core.ui.parts.chart import LIBRARY, Click
from repdiss_core.ui.parts.chosen_cell import cell_line

CELL = {"curve": 4, "panel": 2, "row": 0, "column": 3, "value": 0.5, "labels": ["1", "4"]}
TABLE = Table(
    "a and b",
    "map",
    f="a",
    g="b",
    row_labels=("1",),
    column_labels=("1", "2", "3"),
    values=np.array([[0.7134, -0.02, np.nan]]),
    quantity="CKA",
    interval=np.array([[[0.7, np.nan, np.nan]], [[0.72, np.nan, np.nan]]]),
    sample=Sample("batch", 100),
)


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
    ("table", "column", "words"),
    [
        (TABLE, 0, "Layer 1 of a × layer 1 of b: CKA 0.713 [0.700, 0.720] over 100 batches"),
        (replace(TABLE, sample=Sample("batch", 1)), 1, "Layer 1 of a × layer 2 of b: CKA \u22120.020 over 1 batch"),
        (TABLE, 2, "Layer 1 of a × layer 3 of b: no value"),
        (
            replace(TABLE, quantity="penalty", sample=Sample("sequence", 800)),
            0,
            "penalty 0.713 [0.700, 0.720] over 800 sequences",
        ),
    ],
)
def test_the_line_on_a_cell(table, column, words):
    assert cell_line(table, 0, column).endswith(words)

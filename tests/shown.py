"""The charts of a page under AppTest: their figures as the browser gets them, and a click on a point."""

from __future__ import annotations

import json

from streamlit.testing.v1 import AppTest


def specs(test: AppTest) -> list[dict]:
    """Plotly's JSON of every chart, in the order of the page."""
    return [json.loads(json.loads(element.proto.json)["spec"]) for element in charts(test)]


def charts(test: AppTest) -> list:
    """The chart elements."""
    return [element for element in test.get("bidi_component") if element.proto.component_name == "repdiss_chart"]

"""A page under AppTest: opened as a link opens it, its prose, and its charts as the browser gets them."""

from __future__ import annotations

import json
from pathlib import Path

from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parent.parent


def opened(page: str, **query: str) -> AppTest:
    """A page run first, as a link on a fresh server opens it."""
    test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    if page != "app.py":
        test.switch_page(page)
    for name, value in query.items():
        test.query_params[name] = value
    return test.run()


def words(test: AppTest) -> str:
    """All prose of the page, without the backslashes that keep text from acting as markup."""
    kinds = ("markdown", "caption", "title", "header", "subheader", "error", "info", "warning")
    return "\n".join(element.value for kind in kinds for element in test.get(kind)).replace("\\", "")


def specs(test: AppTest) -> list[dict]:
    """Plotly's JSON of every chart, in the order of the page."""
    return [json.loads(json.loads(element.proto.json)["spec"]) for element in charts(test)]


def charts(test: AppTest) -> list:
    """The chart elements."""
    return [element for element in test.get("bidi_component") if element.proto.component_name == "repdiss_chart"]

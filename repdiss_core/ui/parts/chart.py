"""Charts: a component that draws a Plotly figure in the browser and tells which of its points was clicked.

Streamlit's own chart element draws every figure twice when it appears, and says nothing of a click on a heatmap. The
drawing library is Plotly.js's build for cartesian axes (`plotly_js/`), a third of the whole one, served by this server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v1 import declare_component
from streamlit.components.v2 import component

from repdiss_core.plots.html_file import LIBRARY
from repdiss_core.plots.theme import Spec

ADDRESS = f"./component/{__name__}.{LIBRARY.parent.name}/{LIBRARY.name}"
LOAD = f"""globalThis.repdissPlotly ??= new Promise(done => {{
  const script = document.createElement("script");
  script.src = {json.dumps(ADDRESS)};
  script.onload = () => done(globalThis.Plotly);
  script.onerror = () => {{ script.remove(); delete globalThis.repdissPlotly; done(undefined); }};
  document.head.append(script);
}})"""
CHART_CSS = """
.repdiss-chart { position: relative; overflow: hidden; }
.repdiss-chart > p { padding: 1rem; opacity: .8; }
.repdiss-clickable .nsewdrag { cursor: pointer; }
.repdiss-outline { position: absolute; display: none; box-sizing: border-box; pointer-events: none; }
.repdiss-outline { border: 2px solid #fff; outline: 2px solid #1F2328; }
.repdiss-chosen { border-style: dashed; }
"""
SCRIPT = f"const loadPlotly = () => ({LOAD});\n{Path(__file__).with_name('chart.js').read_text('utf-8')}"
_mounted = component("repdiss_chart", js=SCRIPT, isolate_styles=False)


@dataclass(frozen=True)
class Click:
    """A point that was clicked.

    Args:
        curve: number of its trace in the figure.
        panel: number of its pair of axes, from 1.
        row: row of a heatmap's cell, from 0; None for a point of another trace.
        column: column of the cell, from 0; else the number of the point on its trace.
        value: z of a cell, y of a point; None where it has none.
        labels: the point's customdata.
    """

    curve: int
    panel: int
    row: int | None
    column: int
    value: float | None
    labels: tuple[str, ...]

    @classmethod
    def read(cls, told: Any) -> Click | None:
        """The click that a browser tells of; None where the message is none or not well formed."""
        try:
            row = None if told["row"] is None else int(told["row"])
            value = None if told["value"] is None else float(told["value"])
            return cls(
                int(told["curve"]), int(told["panel"]), row, int(told["column"]), value, tuple(map(str, told["labels"]))
            )
        except (TypeError, KeyError, ValueError):
            return None


def serve_library() -> None:
    """Have this server hand out the drawing library; does nothing the second time."""
    _serve()


@st.cache_resource(show_spinner=False)
def _serve() -> None:
    declare_component(LIBRARY.parent.name, path=LIBRARY.parent)


def chart(
    spec: Spec,
    *,
    key: str,
    alt: str,
    config: Mapping[str, Any],
    link: str = "",
    on_click: Callable[[Click], None] | None = None,
    chosen: tuple[int, int, int] | None = None,
) -> Click | None:
    """Draw a figure and return the click that brought about this run, if one did.

    Its height stands from the start; a chart far below the window is drawn when it comes near.

    Args:
        key: names the chart on its page, and its container in CSS ("st-key-…").
        alt: what the figure shows, for those who do not see it.
        config: Plotly's settings, as `repdiss_core.plots.theme.chart_config` gives them.
        link: charts of one name outline the cell under the pointer in all their maps, by the numbers of its layers; ""
            for none.
        on_click: called before the rerun that a click on a point brings about; inside a fragment only that one runs
            again.
        chosen: (panel, row, column) of a cell that stays outlined, numbered as in `Click`.
    """
    serve_library()
    data = {
        "spec": spec.json,
        "height": spec.height,
        "alt": alt,
        "config": dict(config),
        "link": link,
        "chosen": chosen,
    }
    data["clickable"] = on_click is not None

    def report() -> None:
        click = Click.read(st.session_state[key].click)
        if click is not None and on_click is not None:
            on_click(click)

    return Click.read(_mounted(key=key, data=data, height=spec.height, on_click_change=report).click)

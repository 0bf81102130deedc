"""Buttons that act in the browser alone: copying a link or a text,
saving a chart as a picture with what it rests on."""

from __future__ import annotations

from pathlib import Path

from streamlit.components.v2 import component

BUTTON_CSS = """
.repdiss-button { font: inherit; font-size: .875rem; color: inherit; background: none; border: 1px solid transparent;
  border-radius: 6px; padding: .2rem .45rem; cursor: pointer; }
.repdiss-button:hover { color: var(--st-primary-color); }
.repdiss-button:focus-visible { outline: 3px solid var(--st-primary-color); outline-offset: 1px; }
.repdiss-told { font-size: .8rem; margin-left: .4rem; }
.repdiss-told:empty { display: none; }
"""
_mounted = component(
    "repdiss_button", js=Path(__file__).with_name("browser_button.js").read_text("utf-8"), isolate_styles=False
)


def copy_button(label: str, *, key: str, text: str = "", anchor: str = "") -> None:
    """Copies `text`, or the page's address as the browser shows it, at `anchor`; says "Copied" beside it."""
    _mounted(
        key=key,
        data={"label": label, "action": "copy", "text": text, "anchor": anchor},
        width="content",
        height="content",
    )


def picture_button(label: str, *, key: str, chart: str, format: str, name: str, caption: str) -> None:
    """Saves a chart that is on the page, its caption below it.

    Args:
        chart: key of the chart.
        format: "svg" or "png".
    """
    data = {"label": label, "action": "picture", "chart": chart, "format": format, "name": name, "caption": caption}
    _mounted(key=key, data=data, width="content", height="content")

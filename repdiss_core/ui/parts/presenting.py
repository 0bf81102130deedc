"""Presenting mode: large type and no navigation but arrows. `present=on` in the address, so that a link opens it."""

from __future__ import annotations

import streamlit as st

KEY = "present"
OWN_KEYS = (KEY, "at")  # of every page; the others are a page's choices
PRESENTING_CSS = """
html { font-size: 20px; }
.stMainBlockContainer { max-width: 1500px; padding-top: .6rem; }
.stAppHeader, [class*="st-key-tools-"], .st-key-controls { display: none !important; }
[class*="st-key-card-"] { contain-intrinsic-height: auto 760px; }
.st-key-arrows button { font-size: .8rem; }
"""


def presenting() -> bool:
    """Whether this page is shown to a room."""
    return st.query_params.get(KEY) == "on"


def carried() -> dict[str, str]:
    """What links to other pages carry along."""
    return {KEY: "on"} if presenting() else {}


def choices() -> dict[str, str]:
    """The choices of the page that the address holds."""
    return {name: value for name, value in st.query_params.to_dict().items() if name not in OWN_KEYS}


def arrows(path: str, pages: dict[str, str], remembered: dict[str, dict[str, str]], turn: bool) -> None:
    """The page before, the page after, and the way out; the arrow keys turn pages.

    Args:
        pages: label by path, in order.
        remembered: the choices made on each page.
        turn: whether pages are turned here; a tour turns its own steps.
    """
    order = list(pages)
    at = order.index(path)
    with st.container(horizontal=True, key="arrows", vertical_alignment="center", gap="small"):
        if turn:
            for name, step, key, icon in (
                ("Page before", -1, "Left", "arrow_back"),
                ("Page after", 1, "Right", "arrow_forward"),
            ):
                to = order[(at + step) % len(order)]
                if st.button(
                    pages[to],
                    key=name,
                    icon=f":material/{icon}:",
                    icon_position="left" if step < 0 else "right",
                    type="tertiary",
                    shortcut=key,
                ):
                    st.switch_page(to, query_params=remembered.get(to, {}) | carried())
        st.space("stretch")
        if st.button(
            "Leave presenting",
            key="leave presenting",
            icon=":material/close_fullscreen:",
            type="tertiary",
            shortcut="Esc",
        ):
            st.query_params.pop(KEY, None)
            st.rerun()

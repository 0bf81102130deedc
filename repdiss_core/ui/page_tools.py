"""The line of tools under the navigation: link, tour, saved page, terms, presenting."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from repdiss_core.base.errors import UserError
from repdiss_core.plots.html_file import page_file
from repdiss_core.studies.paper import FIGURE_PAGES
from repdiss_core.ui.glossary import TERMS
from repdiss_core.ui.parts.browser_button import copy_button
from repdiss_core.ui.parts.own_tour import add_stop
from repdiss_core.ui.parts.presenting import KEY, choices
from repdiss_core.ui.parts.shared import page_address, result_store
from repdiss_core.ui.parts.term_help import show_terms
from repdiss_core.ui.parts.text import as_text

TABLE_PAGES = ("app.py", "pages/5_Findings.py")


@st.fragment
def page_tools(path: str) -> None:
    """Draw the line."""
    with st.container(
        horizontal=True, horizontal_alignment="right", vertical_alignment="center", key="page-tools", gap="small"
    ):
        copy_button("Copy link", key="copy-page")
        if path in FIGURE_PAGES:
            _add_button(path)
        if path in FIGURE_PAGES or path in TABLE_PAGES:
            saving = st.popover(
                "Save page", icon=":material/save:", type="tertiary", key="save-page", on_change="rerun"
            )
            if saving.open:
                with saving:
                    _save(path)
        with st.popover(
            "Terms", icon=":material/menu_book:", type="tertiary", key="terms", on_change="rerun", width="content"
        ) as popover:
            if popover.open:
                show_terms(TERMS, "latex")
        if st.button(
            "Present",
            icon=":material/present_to_all:",
            type="tertiary",
            key="present-page",
            help="Large type, no navigation; the arrow keys turn pages, Esc leaves.",
        ):
            st.query_params[KEY] = "on"
            st.rerun()


def _add_button(path: str) -> None:
    help = "Keeps this page with its present choices as a step of your own tour."
    if st.button("Add to my tour", icon=":material/add_location_alt:", type="tertiary", key="add-view", help=help):
        add_stop(path, choices())
        st.toast("Added to your tour, on the page Tour.")


def _save(path: str) -> None:
    from repdiss_core.ui.views import View, content, foot, page_sections, server_address

    if path in TABLE_PAGES:
        _offer("The tables of this page, in one file that opens without a network.", path, lambda: _tables(path))
        return
    view, server = View.of(path, choices()), server_address()
    try:
        shown = content(view)
    except UserError as error:
        st.info(as_text(error), icon=":material/info:")
        return
    told = (
        f"All {len(shown.cards)} figures with their hover, the claims and what they rest on, "
        "in one file of about 2 MB that opens without a network."
    )
    _offer(told, path, lambda: page_file(shown.question, shown.said(), page_sections(view, shown, server), foot()))


def _offer(told: str, path: str, make: Callable[[], str]) -> None:
    st.caption(told)
    name = page_address(path).strip("/").lower().replace("_", "-") or "map"
    st.download_button(
        "Page as one file (HTML)",
        make,
        f"repdiss-{name}.html",
        "text/html",
        key="save-page-file",
        on_click="ignore",
        width="stretch",
    )


def _tables(path: str) -> str:
    from repdiss_core.ui.findings_page import findings_sections
    from repdiss_core.ui.paper_map import map_sections
    from repdiss_core.ui.views import foot

    if path == "app.py":
        return page_file("How do language models differ inside?", "", map_sections(result_store()), foot())
    return page_file("What becomes of the paper’s claims?", "", findings_sections(), foot())

"""What a card's popovers Link and Export hold: its address, pictures, numbers, citations."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import streamlit as st

from repdiss_core.plots.html_file import figure_file
from repdiss_core.studies import exports
from repdiss_core.studies.paper import CITATION
from repdiss_core.ui.parts.browser_button import copy_button, picture_button
from repdiss_core.ui.parts.own_tour import add_stop
from repdiss_core.ui.parts.presenting import choices
from repdiss_core.ui.parts.shared import current_page

if TYPE_CHECKING:
    from repdiss_core.studies.drawn import Drawn
    from repdiss_core.ui.cards.card import Card


def link_panel(card: Card) -> None:
    """The figure's address, to copy or to keep."""
    st.caption("This page with these choices, at this figure:")
    st.code(address(card.card_id), language=None, wrap_lines=True)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        copy_button("Copy link", key=f"copy-{card.card_id}", anchor=card.card_id)
        if st.button("Add to my tour", icon=":material/add_location_alt:", type="tertiary", key=f"add-{card.card_id}"):
            add_stop(current_page(), choices(), card.card_id)
            st.toast("Added to your tour, on the page Tour.")


def export_panel(card: Card, drawn: Drawn) -> None:
    """Pictures, numbers and a page of its own, each with what it rests on; and how to cite it."""
    name, here = f"repdiss-{card.card_id}", address(card.card_id)
    cited = exports.citation(card.title, " · ".join(drawn.caption.phrases), card.job_id, here)
    with st.container(horizontal=True, gap="small"):
        for label, kind in (("Picture as SVG", "svg"), ("Picture as PNG", "png")):
            picture_button(
                label,
                key=f"picture-{kind}-{card.card_id}",
                chart=f"chart-{card.card_id}",
                format=kind,
                name=name,
                caption=cited,
            )
    whole = {
        "figure": card.card_id,
        "title": card.title,
        "caption": drawn.caption.text,
        "citation": cited,
        "paper": CITATION,
        "address": here,
        "choices": choices(),
        "result": card.job_id,
        "panels": [table.to_dict() for table in drawn.tables],
    }
    for label, suffix, mime, data in (
        ("Numbers as CSV", "csv", "text/csv", lambda: f"# {cited}\n{exports.to_csv(drawn.tables)}"),
        ("Numbers and provenance as JSON", "json", "application/json", lambda: exports.to_json(whole)),
        (
            "Figure as a page of its own (HTML)",
            "html",
            "text/html",
            lambda: figure_file(card.title, [(drawn.figure, f"{drawn.caption.text} {cited}")]),
        ),
    ):
        st.download_button(
            label,
            data,
            f"{name}.{suffix}",
            mime,
            key=f"export-{suffix}-{card.card_id}",
            on_click="ignore",
            width="stretch",
        )
    st.caption("To cite this result, and the paper:")
    st.code(cited, language=None, wrap_lines=True)
    st.code(CITATION, language=None, wrap_lines=True)


def address(anchor: str) -> str:
    """The page's address with all choices, at a figure."""
    chosen = urlencode(st.query_params.to_dict())
    return f"{st.context.url or ''}{'?' + chosen if chosen else ''}#{anchor}"

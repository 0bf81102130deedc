"""Terms on the page: what each means, its formula, its source."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from repdiss_core.ui.glossary import Term
from repdiss_core.ui.parts.browser_button import copy_button
from repdiss_core.ui.parts.text import as_text


def show_terms(terms: Sequence[Term], key: str) -> None:
    """One paragraph a term. The button comes first: with the focus on it, the arrow keys scroll the popover."""
    if not terms:
        return
    copy_button(
        "Copy the formulas as LaTeX",
        key=key,
        text="\n".join(f"% {term.name}\n{term.formula}" for term in terms if term.formula),
    )
    st.markdown("\n\n".join(_paragraph(term) for term in terms))


def _paragraph(term: Term) -> str:
    formula = f"\n\n$${term.formula}$$" if term.formula else ""
    return f"**{as_text(term.name)}**  \n{as_text(term.means)}{formula}\n\n:small[:gray[{as_text(term.source)}]]"

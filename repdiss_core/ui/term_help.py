"""Terms on the page: what each means, its formula, its source."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from repdiss_core.glossary import Term
from repdiss_core.ui.text import as_text


def show_terms(terms: Iterable[Term]) -> None:
    """One paragraph a term."""
    st.markdown("\n\n".join(_paragraph(term) for term in terms))


def _paragraph(term: Term) -> str:
    formula = f"\n\n$${term.formula}$$" if term.formula else ""
    return f"**{as_text(term.name)}**  \n{as_text(term.means)}{formula}\n\n:small[:gray[{as_text(term.source)}]]"

"""The paper's claims with the verdict that the stored results give."""

from __future__ import annotations

import streamlit as st

from repdiss_core.claims import Claim
from repdiss_core.ui.text import as_text

VERDICTS = {
    "holds": ("green", ":material/check:"),
    "does not hold": ("orange", ":material/close:"),
    "undecided": ("gray", ":material/question_mark:"),
    "not computed": ("gray", ":material/circle:"),
}


def claims_list(claims: list[Claim]) -> None:
    """One row a sentence: the verdict for these models and, under it, for the activation function."""
    for sentence in dict.fromkeys(c.sentence for c in claims):
        group = [c for c in claims if c.sentence == sentence]
        with st.container(border=True, gap="small"):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.markdown(f"**{as_text(sentence)}**", width="content")
                if group[0].ours:
                    st.badge("our control", color="blue")
            for claim in group:
                _verdict(claim)


def _verdict(claim: Claim) -> None:
    color, icon = VERDICTS[claim.verdict]
    scope, words = st.columns([0.24, 0.76], gap="small")
    with scope, st.container(gap=None):
        st.badge(claim.verdict, color=color, icon=icon)
        st.caption(f"for {claim.scope}")
    with words, st.container(gap=None):
        st.markdown(as_text(claim.found))
        if claim.rests_on:
            st.caption(as_text(claim.rests_on))

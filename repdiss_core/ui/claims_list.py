"""The paper's claims with the verdict that the stored results give."""

from __future__ import annotations

from functools import lru_cache

import streamlit as st

from repdiss_core.claims import Claim, asymmetry_claims
from repdiss_core.studies.asymmetry import Params
from repdiss_core.ui.page import result_store
from repdiss_core.ui.text import as_text

SCOPES = {"these models": "these two models", "the activation function": "over seeds"}
VERDICTS = {
    "holds": ("green", ":material/check:"),
    "does not hold": ("orange", ":material/close:"),
    "undecided": ("gray", ":material/question_mark:"),
    "not computed": ("gray", ":material/circle:"),
}


def stored_claims(params: Params) -> list[Claim]:
    """The claims of section 3 as judged by what is stored now."""
    return _judged(params, _version())


@lru_cache(maxsize=32)
def _judged(params: Params, _at: tuple[int, ...]) -> list[Claim]:
    return asymmetry_claims(result_store(), params)


def _version() -> tuple[int, ...]:
    """Changes with every write to the local results, from any process."""
    folder = result_store().directory / "results"
    files = (folder / name for name in ("cache.db", "cache.db-wal"))
    return tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)


def headline(by_depth: dict[int, list[Claim]]) -> None:
    """The first claim, its verdict in both scopes at each depth, and what was found."""
    first = next(iter(by_depth.values()))[0]
    st.markdown(f"Claim: *{as_text(first.sentence)}*")
    if all(claim.verdict in ("not computed", "undecided") and not claim.rests_on for claims in by_depth.values() for claim in claims[:2]):
        st.caption("Not computed at this setting yet. “Compute here” under the first figure does it.")
        return
    with st.container(horizontal=True, gap="small"):
        for depth, claims in by_depth.items():
            for claim in (c for c in claims if c.sentence == first.sentence):
                color, icon = VERDICTS[claim.verdict]
                st.badge(f"{depth} layers, {SCOPES[claim.scope]}: {claim.verdict}", color=color, icon=icon)
    st.caption(as_text(f"{next(iter(by_depth))} layers. {first.found}"))


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
    scope, words = st.columns([0.22, 0.78], gap="small")
    with scope, st.container(gap=None):
        st.badge(claim.verdict, color=color, icon=icon)
        st.caption(f"for {claim.scope}")
    with words, st.container(gap=None):
        st.markdown(as_text(claim.found))
        if claim.rests_on:
            st.caption(as_text(claim.rests_on))

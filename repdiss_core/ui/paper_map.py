"""The paper's map: a tile for each figure and table with where it stands."""

from __future__ import annotations

import streamlit as st

from repdiss_core import jobs
from repdiss_core.cache import ResultStore
from repdiss_core.errors import UserError
from repdiss_core.paper import FIGURES, FigureSpec, StudySpec, figure_parts
from repdiss_core.ui.text import as_text

COLUMNS = 4
STATES = {
    "shown": ("green", ":material/check:"),
    "partly": ("gray", ":material/pending:"),
    "computing": ("violet", ":material/progress_activity:"),
    "not computed": ("gray", ":material/circle:"),
    "not yet built": ("gray", ":material/schedule:"),
}


def study_section(store: ResultStore, study: StudySpec) -> None:
    """One of the paper's studies: its question and its figures."""
    st.header(study.question, anchor=study.name)
    specs = [spec for spec in FIGURES.values() if spec.study == study.name]
    stored = set(store.keys("local")) | set(store.keys("shipped"))
    computing = any(job.alive for job in jobs.list_jobs())
    for first in range(0, len(specs), COLUMNS):
        for column, spec in zip(st.columns(COLUMNS), specs[first : first + COLUMNS], strict=False):
            with column:
                _tile(spec, figure_state(spec, stored, computing))


def figure_state(spec: FigureSpec, stored: set[str], computing: bool) -> str:
    """Where a figure stands at the settings that ship."""
    if not spec.available:
        return "not yet built"
    try:
        keys = {c.key for part in figure_parts(spec.figure_id) for c in part.comparisons}
    except UserError:  # its models are not there
        return "not computed"
    found = len(keys & stored)
    if found == len(keys):
        return "shown"
    return "computing" if computing else "partly" if found else "not computed"


def _tile(spec: FigureSpec, state: str) -> None:
    color, icon = STATES[state]
    with st.container(border=True, key=f"tile-{spec.figure_id}", height="stretch", gap="small"):
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.badge(spec.label, color="gray")
            st.space("stretch")
            st.badge(state, color=color, icon=icon)
        if spec.available:
            st.page_link(spec.page, label=f"**{as_text(spec.title)}**")
        else:
            st.markdown(f"**{as_text(spec.title)}**")
        st.caption(as_text(spec.shows))

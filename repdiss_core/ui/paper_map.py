"""The paper's map: a tile for each figure and table, a small picture of what is stored, and where it stands."""

from __future__ import annotations

import base64
import html
from collections.abc import Set
from dataclasses import dataclass
from functools import lru_cache

import streamlit as st

from repdiss_core.base.errors import UserError
from repdiss_core.plots.html_file import Section
from repdiss_core.runs import jobs
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.figure import Figure
from repdiss_core.studies.panels import FigurePart
from repdiss_core.studies.paper import STUDIES, StudySpec, figure_of, figure_parts, paper_studies, study_figures
from repdiss_core.ui.parts.shared import stored_version
from repdiss_core.ui.parts.text import as_text

COLUMNS = 4
REAL = "real-models"
STATES = {
    "shown": ("green", ":material/check:"),
    "partly shown": ("gray", ":material/pending:"),
    "computing": ("violet", ":material/progress_activity:"),
    "not computed": ("gray", ":material/circle:"),
}


@dataclass(frozen=True)
class Tile:
    """Where a figure stands, its stored values in small (SVG; "" where it cannot be made), and words on it."""

    state: str
    picture: str
    words: str


def study_section(store: ResultStore, study: StudySpec) -> None:
    """One of the paper's studies: its question and its figures."""
    st.header(study.question, anchor=study.name)
    figures = _labelled(study)
    computing = any(job.alive for job in jobs.list_jobs())
    for first in range(0, len(figures), COLUMNS):
        for column, figure in zip(st.columns(COLUMNS), figures[first : first + COLUMNS], strict=False):
            with column:
                _show(figure, study.page, _tile(store, figure, computing, stored_version()))


def real_section(store: ResultStore) -> None:
    """What the paper lacks: pretrained models that anyone can fetch and check."""
    figure = figure_of(REAL)
    computing = any(job.alive for job in jobs.list_jobs())
    st.header("Does it hold in models that others trained?", anchor=REAL)
    with st.columns(2)[0]:
        _show(figure, STUDIES[figure.study].page, _tile(store, figure, computing, stored_version()))


def map_sections(store: ResultStore) -> list[Section]:
    """The map as tables, for an exported file."""
    import pandas as pd

    computing = any(job.alive for job in jobs.list_jobs())
    sections = []
    for study in paper_studies():
        figures = _labelled(study)
        tiles = [_tile(store, figure, computing, stored_version()) for figure in figures]
        rows = [(f.label, f.title, tile.state, tile.words) for f, tile in zip(figures, tiles, strict=True)]
        table = pd.DataFrame(rows, columns=["figure", "title", "state", "shows"])
        sections.append(Section(f"Section {study.section}: {study.question}", table=table))
    return sections


def _labelled(study: StudySpec) -> list[Figure]:
    """The figures of a study that the paper has."""
    return [figure for figure in study_figures(study.name) if figure.label]


def figure_state(figure: Figure, parts: tuple[FigurePart, ...], stored: Set[str], computing: bool) -> str:
    """Where a figure stands at the settings that ship."""
    if figure.table is not None:
        return "shown"
    keys = {c.key for part in parts for c in part.comparisons}
    found = len(keys & stored)
    if keys and found == len(keys):
        return "shown"
    return "computing" if computing else "partly shown" if found else "not computed"


@lru_cache(maxsize=64)
def _tile(store: ResultStore, figure: Figure, computing: bool, version: tuple[int, ...]) -> Tile:
    """What a tile shows as long as nothing new is stored."""
    parts, problem = _parts(figure)
    state = figure_state(figure, parts, _stored(store, version), computing)
    picture = figure.thumbnail(store) if parts and figure.thumbnail is not None else ""
    return Tile(state, picture, problem or figure.shows)


@lru_cache(maxsize=4)
def _stored(store: ResultStore, _version: tuple[int, ...]) -> frozenset[str]:
    return frozenset(store.keys("local")) | frozenset(store.keys("shipped"))


def _show(figure: Figure, page: str, tile: Tile) -> None:
    color, icon = STATES[tile.state]
    label = figure.label or "not the paper’s"
    with st.container(border=True, key=f"tile-{figure.figure_id}", height="stretch", gap="small"):
        st.markdown(f":gray-badge[{as_text(label)}] :{color}-badge[{icon} {tile.state}]")
        if tile.picture:
            st.html(_image(tile.picture, f"{label} in small: {figure.title}"))
        st.page_link(page, label=f"**{as_text(figure.title)}**", width="stretch")
        st.caption(as_text(tile.words))


def _image(svg: str, alt: str) -> str:
    """An image element; `st.image` gives it no alternative text."""
    return f'<img alt="{html.escape(alt)}" src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}">'


def _parts(figure: Figure) -> tuple[tuple[FigurePart, ...], str]:
    """What the figure is made of, or a sentence on why it cannot be made here."""
    try:
        return figure_parts(figure.figure_id), ""
    except UserError as error:
        return (), str(error)

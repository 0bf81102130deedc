"""The paper's map: a tile for each figure and table, a small picture of what is stored, and where it stands."""

from __future__ import annotations

import base64
import html
from collections.abc import Set
from dataclasses import dataclass
from functools import lru_cache

import streamlit as st

from repdiss_core.base.errors import UserError
from repdiss_core.plots.html_file import Section, Table
from repdiss_core.plots.learning_curve import running_mean
from repdiss_core.plots.thumbnail import curve_line, heatmaps_svg, lines_svg
from repdiss_core.runs import jobs
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.common import bundled_preset
from repdiss_core.studies.generalization.question import Params
from repdiss_core.studies.generalization.thumbnails import lines as population_lines
from repdiss_core.studies.panels import load_curve, load_learning, load_matrix
from repdiss_core.studies.paper import FIGURES, STUDIES, FigurePart, FigureSpec, StudySpec, figure_parts
from repdiss_core.ui.cards.generalization_cards import loaded
from repdiss_core.ui.parts.shared import stored_version
from repdiss_core.ui.parts.text import as_text

COLUMNS = 4
STATES = {
    "shown": ("green", ":material/check:"),
    "partly shown": ("gray", ":material/pending:"),
    "computing": ("violet", ":material/progress_activity:"),
    "not computed": ("gray", ":material/circle:"),
    "not yet": ("gray", ":material/schedule:"),
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
    specs = [spec for spec in FIGURES.values() if spec.study == study.name]
    computing = any(job.alive for job in jobs.list_jobs())
    for first in range(0, len(specs), COLUMNS):
        for column, spec in zip(st.columns(COLUMNS), specs[first : first + COLUMNS], strict=False):
            with column:
                _show(spec, _tile(store, spec, computing, stored_version()))


def map_sections(store: ResultStore) -> list[Section]:
    """The map as tables, for an exported file."""
    computing = any(job.alive for job in jobs.list_jobs())
    sections = []
    for study in STUDIES.values():
        specs = [spec for spec in FIGURES.values() if spec.study == study.name]
        tiles = [_tile(store, spec, computing, stored_version()) for spec in specs]
        rows = tuple((spec.label, spec.title, tile.state, tile.words) for spec, tile in zip(specs, tiles, strict=True))
        sections.append(
            Section(
                f"Section {study.section}: {study.question}", table=Table(("figure", "title", "state", "shows"), rows)
            )
        )
    return sections


def figure_state(spec: FigureSpec, parts: tuple[FigurePart, ...], stored: Set[str], computing: bool) -> str:
    """Where a figure stands at the settings that ship."""
    if not spec.available:
        return "not yet"
    if spec.kind == "table":
        return "shown"
    keys = {c.key for part in parts for c in part.comparisons}
    found = len(keys & stored)
    if keys and found == len(keys):
        return "shown"
    return "computing" if computing else "partly shown" if found else "not computed"


@lru_cache(maxsize=64)
def _tile(store: ResultStore, spec: FigureSpec, computing: bool, version: tuple[int, ...]) -> Tile:
    """What a tile shows as long as nothing new is stored."""
    parts, problem = _parts(spec)
    state = figure_state(spec, parts, _stored(store, version), computing)
    return Tile(state, _picture(store, spec, parts) if parts else "", problem or spec.shows)


@lru_cache(maxsize=4)
def _stored(store: ResultStore, _version: tuple[int, ...]) -> frozenset[str]:
    return frozenset(store.keys("local")) | frozenset(store.keys("shipped"))


def _show(spec: FigureSpec, tile: Tile) -> None:
    color, icon = STATES[tile.state]
    with st.container(border=True, key=f"tile-{spec.figure_id}", height="stretch", gap="small"):
        st.markdown(f":gray-badge[{as_text(spec.label)}] :{color}-badge[{icon} {tile.state}]")
        if tile.picture:
            st.html(_image(tile.picture, f"{spec.label} in small: {spec.title}"))
        if spec.available:
            st.page_link(spec.page, label=f"**{as_text(spec.title)}**", width="stretch")
        else:
            st.markdown(f"**{as_text(spec.title)}**")
        st.caption(as_text(tile.words))


def _image(svg: str, alt: str) -> str:
    """An image element; `st.image` gives it no alternative text."""
    return f'<img alt="{html.escape(alt)}" src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}">'


def _parts(spec: FigureSpec) -> tuple[tuple[FigurePart, ...], str]:
    """What the figure is made of, or a sentence on why it cannot be made here."""
    if not spec.available:
        return (), ""
    try:
        return figure_parts(spec.figure_id), ""
    except UserError as error:
        return (), str(error)


def _picture(store: ResultStore, spec: FigureSpec, parts: tuple[FigurePart, ...]) -> str:
    """The stored values in small; an empty frame where there are none."""
    if spec.kind in ("heatmaps", "grid"):
        n_batches = bundled_preset().cka_batches
        return heatmaps_svg(
            [load_matrix(store, panel, "mean_of_ratios", n_batches).matrix for panel in parts[0].panels]
        )
    if spec.kind == "curves":
        views = [[load_curve(store, curve).curve for curve in part.curves] for part in parts]
        return lines_svg([[curve_line(c) for c in panel if c is not None] for panel in views])
    if spec.kind == "population":
        return lines_svg(population_lines(spec.figure_id, loaded(Params())))
    learning = [c for curve in parts[0].curves for c in load_learning(store, curve)]
    layers = sorted({c.layer for c in learning})
    styles = {id(c): {"role": c.role, "kind_f": c.kind_f, "kind_g": c.kind_g} for c in learning}
    return lines_svg(
        [
            [
                (c.step, running_mean(c.train_loss, c.step.size // 8 | 1), styles[id(c)])
                for c in learning
                if c.layer == layer
            ]
            for layer in layers
        ]
    )

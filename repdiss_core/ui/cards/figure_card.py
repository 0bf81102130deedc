"""A figure card: title, paper tag, state, figure, caption, tools.

Redraws itself while its job runs, and nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial

import streamlit as st

from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import readonly
from repdiss_core.plots.theme import Look, chart_config
from repdiss_core.runs import jobs
from repdiss_core.runs.job_files import JobStatus
from repdiss_core.studies import options
from repdiss_core.studies.drawn import Drawn
from repdiss_core.studies.figure import NOT_COMPUTED
from repdiss_core.ui.cards.card import Card
from repdiss_core.ui.cards.card_sharing import export_panel, link_panel
from repdiss_core.ui.cards.cell_panel import cell_panel
from repdiss_core.ui.glossary import terms_in
from repdiss_core.ui.parts.attempts import attempt, show_refusal
from repdiss_core.ui.parts.chart import chart
from repdiss_core.ui.parts.chosen_cell import chosen_cell, first_cell, put, take
from repdiss_core.ui.parts.pickers import offered, put_choice
from repdiss_core.ui.parts.shared import current_look, result_store, stored_version
from repdiss_core.ui.parts.term_help import show_terms
from repdiss_core.ui.parts.text import BadgeColor, age, as_text, duration
from repdiss_core.ui.parts.watched import any_alive

POLL_S = 1.0
KEPT_FIGURES = 64
DROPPED = "dropped"  # of `options.MASSIVE`
_DRAWN: dict[tuple[Hashable, ...], Drawn] = {}
ORIGINS = {
    "shipped": "shipped result",
    "mixed": "in parts from different places",
    "local": "computed here",
    "imported": "brought from another machine",
}


def figure_card(card: Card) -> None:
    """Draw the card; it repaints itself every second while its job runs."""
    job = jobs.status(card.job_id)
    alive = (job is not None and job.alive) or any_alive(card.card_id)
    st.fragment(_card, run_every=POLL_S if alive else None)(card, alive)


def _card(card: Card, was_alive: bool) -> None:
    job = jobs.status(card.job_id)
    computing = job is not None and job.alive
    if was_alive and not (computing or any_alive(card.card_id)):
        st.rerun()  # the whole page: sentences and claims rest on what the job found, and polling ends
    with st.container(border=True, key=f"card-{card.card_id}", gap="small"):
        try:
            drawn = drawn_card(card, current_look(), "computing" if computing else NOT_COMPUTED)
        except UserError as error:
            st.subheader(card.title, anchor=card.card_id)
            st.info(as_text(error), icon=":material/info:")
            return
        _head(card, drawn, job)
        _figure(card, drawn)
        _caption(drawn)
        _without_massive(card, drawn)
        show_refusal(card.card_id)
        _tools(card, drawn, job)


def _figure(card: Card, drawn: Drawn) -> None:
    cell = chosen_cell(card.card_id, drawn.tables) if card.link else None
    take_click = partial(take, card.card_id) if card.link else card.pick
    click = chart(
        drawn.spec,
        key=f"chart-{card.card_id}",
        alt=f"{card.title}. {drawn.caption.text}",
        config=chart_config(f"repdiss-{card.card_id}"),
        link=card.link,
        on_click=take_click,
        chosen=cell,
    )
    if click and card.pick:
        st.rerun()
    if cell:
        cell_panel(card.card_id, drawn, cell)


def drawn_card(card: Card, look: Look, state: str = NOT_COMPUTED) -> Drawn:
    """The figure; the one drawn before where neither the choices nor anything stored has changed."""
    if card.shows is None:
        return card.draw(result_store(), look, state)
    key = (card.card_id, card.job_id, card.shows, look.name, state, stored_version())
    drawn = _DRAWN.pop(key, None) or card.draw(result_store(), look, state)
    _DRAWN[key] = drawn  # the latest one last
    while len(_DRAWN) > KEPT_FIGURES:
        _DRAWN.pop(next(iter(_DRAWN)), None)
    return drawn


def _head(card: Card, drawn: Drawn, job: JobStatus | None) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="small"):
        tag = f":gray-badge[{as_text(card.tag)}] " if card.tag else ""
        st.subheader(tag + as_text(card.title), anchor=card.card_id, width="content")
        label, color, icon = state_tag(drawn, job)
        st.badge(label, color=color, icon=icon)


def state_tag(drawn: Drawn, job: JobStatus | None, now: float | None = None) -> tuple[str, BadgeColor, str]:
    """(words, colour, icon) for where a figure's numbers stand."""
    if job is not None and job.state == "queued":
        return "waiting for a free worker", "violet", ":material/hourglass_empty:"
    if job is not None and job.alive:
        left = f", {duration(job.seconds_left)} left" if job.seconds_left is not None else ""
        words = f"computing, {job.fraction * 100:.0f} %{left}" if job.fraction else job.message or "starting"
        return words, "violet", ":material/progress_activity:"
    if job is not None and job.state in ("failed", "interrupted", "cancelled") and not drawn.complete:
        return job.state, "orange", ":material/warning:"
    if drawn.origin is None:
        return NOT_COMPUTED, "gray", ":material/circle:"
    words = ORIGINS[drawn.origin]
    if drawn.origin != "shipped" and drawn.stored_at:
        words += f", {age(drawn.stored_at, now)}"
    return (
        (words if drawn.complete else f"partly there: {words}"),
        "gray",
        ":material/check:" if drawn.complete else ":material/pending:",
    )


def _caption(drawn: Drawn) -> None:
    """One or two lines; notes on cells without a value come first."""
    for note in drawn.notes:
        st.caption(f":material/info: {as_text(note)}")
    if drawn.caption.deciding:
        st.caption(f":material/warning: {as_text(drawn.caption.deciding)}")
    st.caption(as_text(" · ".join(drawn.caption.phrases)))


def _without_massive(card: Card, drawn: Drawn) -> None:
    """Where a handful of tokens decides a map, the choice that leaves them out."""
    if not drawn.caption.deciding or not offered(options.MASSIVE):
        return
    label, key = options.MASSIVE.label_of(DROPPED), f"dropped-{card.card_id}"
    label = f"Show the map {label}"
    if st.button(label, key=key, icon=":material/filter_alt:", on_click=put_choice, args=(options.MASSIVE, DROPPED)):
        st.rerun()


def _tools(card: Card, drawn: Drawn, job: JobStatus | None) -> None:
    with st.container(horizontal=True, key=f"tools-{card.card_id}", gap="small", vertical_alignment="center"):
        _popover(card, "Explain", ":material/help:", lambda: _explain(card, drawn))
        if card.link:
            _cell_button(card, drawn)
        if not readonly():
            _compute_buttons(card, drawn, job)
        _popover(card, "Link", ":material/link:", lambda: link_panel(card))
        _popover(card, "Export", ":material/download:", lambda: export_panel(card, drawn))
        if job is not None and job.state == "failed" and job.error:
            st.caption(f":material/error: {as_text(job.error)}")


def _popover(card: Card, label: str, icon: str, fill: Callable[[], None]) -> None:
    """A popover that is filled when it opens: closed ones would be half of what a page sends."""
    with st.popover(
        label, type="tertiary", icon=icon, key=f"{label.lower()}-{card.card_id}", on_change="rerun"
    ) as popover:
        if popover.open:
            fill()


def _cell_button(card: Card, drawn: Drawn) -> None:
    """Opens the panel of a cell for those who do not click on the map; its lists then choose another cell."""
    cell = first_cell(drawn.tables)
    if cell is not None and chosen_cell(card.card_id, drawn.tables) is None:
        st.button(
            "Cell",
            key=f"cell-of-{card.card_id}",
            type="tertiary",
            icon=":material/grid_on:",
            help="What one cell of the map rests on",
            on_click=put,
            args=(card.card_id, cell),
        )


def _explain(card: Card, drawn: Drawn) -> None:
    st.markdown(card.explain)
    departures = dict.fromkeys(drawn.caption.departures + card.departures)
    if departures:
        st.markdown("**Where this differs from the paper**")
        st.markdown("\n".join(f"- {as_text(sentence)}" for sentence in departures))
    st.markdown("**Terms**")
    show_terms(terms_in((card.title, card.explain, *drawn.caption.phrases)), f"latex-{card.card_id}")
    data = card.request.comparisons[0].data
    st.caption(as_text(f"Data: {data.name}, {data.split} split, content {data.content[:12]}. Job {card.job_id[:12]}."))


def _compute_buttons(card: Card, drawn: Drawn, job: JobStatus | None) -> None:
    key = f"compute-{card.card_id}"
    if job is not None and job.alive:
        st.button(
            "Cancel",
            type="tertiary",
            icon=":material/close:",
            key=key,
            on_click=attempt,
            args=(card.card_id, jobs.cancel, job.job_id),
        )
    elif job is not None and job.state in ("cancelled", "interrupted", "failed") and not drawn.complete:
        st.button(
            "Resume",
            type="tertiary",
            icon=":material/play_arrow:",
            key=key,
            on_click=attempt,
            args=(card.card_id, jobs.resume, job.job_id),
        )
    else:
        label = "Recompute here" if drawn.complete else "Compute here"
        arguments = (card.card_id, jobs.start, card.request, card.job_title, drawn.complete)
        st.button(
            label,
            type="tertiary",
            icon=":material/refresh:",
            key=key,
            help=card.takes,
            on_click=attempt,
            args=arguments,
        )
    if st.session_state.get(key):
        st.rerun()

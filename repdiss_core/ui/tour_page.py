"""The tour's page: the paper's studies in steps, or one's own; stepped by the arrow keys, exported as one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from repdiss_core.base.errors import UserError
from repdiss_core.plots.html_file import Section, tour_file
from repdiss_core.plots.theme import chart_config
from repdiss_core.studies import options
from repdiss_core.studies.paper import STUDIES
from repdiss_core.studies.tour import STEPS, Facts, Step
from repdiss_core.ui.cards.card import Card
from repdiss_core.ui.cards.figure_card import drawn_card
from repdiss_core.ui.findings_page import stored_findings
from repdiss_core.ui.parts import own_tour
from repdiss_core.ui.parts.browser_button import copy_button
from repdiss_core.ui.parts.chart import chart
from repdiss_core.ui.parts.own_tour import Stop
from repdiss_core.ui.parts.pickers import controls, switch
from repdiss_core.ui.parts.presenting import carried, presenting
from repdiss_core.ui.parts.shared import PAGES, current_look, page_address, result_store
from repdiss_core.ui.parts.text import as_text, whole_number
from repdiss_core.ui.views import View, cards_of, content, figure_section, foot, has_figures, server_address

QUESTION = "What do the paper’s three studies show, step by step?"
STEP, MINE = "step", "mine"


@dataclass(frozen=True, eq=False)
class Shown:
    """A step as it is shown: where it stands, its words, the view behind it."""

    place: str
    title: str
    lead: str
    tell: Callable[[], str]
    note: str
    view: View


def tour_page() -> None:
    """All of the page below its title."""
    _read_link()
    with controls():
        which = switch(options.TOUR)
    if which == "own" and not presenting():
        _edit()
    st.fragment(_stepping)(which)


def _read_link() -> None:
    """Take over the tour that a link carries, once."""
    word = st.query_params.get(MINE)
    if word and own_tour.STATE not in st.session_state:
        try:
            st.session_state[own_tour.STATE] = own_tour.unpacked(
                word, {path: label for path, label in PAGES.items() if has_figures(path)}
            )
        except UserError as error:
            st.error(as_text(error), icon=":material/error:")


def _stepping(which: str) -> None:
    steps = _own_steps() if which == "own" else _paper_steps()
    if not steps:
        st.info(
            "Your tour is empty. Open a page of figures, choose what you want to show, and press “Add to my tour”.",
            icon=":material/add_location_alt:",
        )
        return
    at = _at(len(steps))
    with st.container(horizontal=True, key="stepping", vertical_alignment="center", gap="small"):
        st.button(
            "Back",
            key="step back",
            icon=":material/arrow_back:",
            shortcut="Left",
            on_click=_go,
            args=(at - 1,),
            disabled=at == 0,
        )
        st.button(
            "Next",
            key="step on",
            icon=":material/arrow_forward:",
            icon_position="right",
            shortcut="Right",
            on_click=_go,
            args=(at + 1,),
            disabled=at == len(steps) - 1,
        )
        st.caption(f"Step {at + 1} of {len(steps)} · {as_text(steps[at].place)}", width="content")
        if not presenting():
            st.space("stretch")
            with st.popover(
                "Save tour",
                icon=":material/save:",
                type="tertiary",
                key="save-tour",
                on_change="rerun",
                width="content",
            ) as popover:
                if popover.open:
                    _save(which, steps)
    _show(steps[at])


def _at(n: int) -> int:
    """The step that the address holds, from 0."""
    return min(n, whole_number(st.query_params.get(STEP, "")) or 1) - 1


def _go(to: int) -> None:
    st.query_params[STEP] = str(to + 1)


def _show(step: Shown) -> None:
    (st.title if presenting() else st.header)(step.title, anchor=False)
    if step.lead:
        st.markdown(as_text(step.lead))
    if step.note:
        st.markdown(f"> {as_text(step.note)}")
    try:
        st.markdown(f"**{as_text(step.tell())}**")
        cards = cards_of(step.view)
    except UserError as error:
        st.info(as_text(error), icon=":material/info:")
        cards = ()
    for number, card in enumerate(cards):
        _figure(card, number)
    query = {**dict(step.view.query), **({"at": step.view.card} if step.view.card else {}), **carried()}
    st.page_link(
        step.view.path,
        label=f"Open this view on {PAGES[step.view.path]}",
        icon=":material/arrow_forward:",
        query_params=query,
    )


def _figure(card: Card, number: int) -> None:
    with st.container(border=True, key=f"card-tour-{number}", gap="small"):
        tag = f":gray-badge[{as_text(card.tag)}] " if card.tag else ""
        st.subheader(tag + as_text(card.title), anchor=False)
        try:
            drawn = drawn_card(card, current_look())
        except UserError as error:
            st.info(as_text(error), icon=":material/info:")
            return
        chart(
            drawn.spec,
            key=f"chart-tour-{number}",
            alt=f"{card.title}. {drawn.caption.text}",
            config=chart_config(f"repdiss-{card.card_id}"),
        )
        st.caption(as_text(" · ".join(drawn.caption.phrases)))


def _paper_steps() -> list[Shown]:
    facts = Facts(result_store(), lambda study: stored_findings(study)[0])
    return [_paper_step(step, facts) for step in STEPS]


def _paper_step(step: Step, facts: Facts) -> Shown:
    place = f"section {STUDIES[step.study].section}"
    return Shown(
        place, step.title, step.lead, lambda: step.tell(facts), "", View.of(step.page, dict(step.query), step.card)
    )


def _own_steps() -> list[Shown]:
    return [_own_step(stop) for stop in own_tour.stops()]


def _own_step(stop: Stop) -> Shown:
    view = View(stop.path, stop.query, stop.card)
    return Shown(PAGES[stop.path], _title(view), "", lambda: content(view).said(), stop.note, view)


def _title(view: View) -> str:
    try:
        cards = cards_of(view)
    except UserError:
        return PAGES[view.path]
    return cards[0].title if view.card else content(view).question


def _edit() -> None:
    """The list of the own tour: order, sentences, removing, the link."""
    kept = own_tour.stops()
    _write_link(kept)
    for at, stop in enumerate(kept):
        view = View(stop.path, stop.query, stop.card)
        with st.container(horizontal=True, key=f"stop-{at}", vertical_alignment="bottom", gap="small"):
            name = f"{at + 1}. {_title(view)} ({PAGES[stop.path]})"
            note = st.text_input(
                name,
                stop.note,
                key=_note_key(at, stop),
                max_chars=own_tour.MOST_CHARACTERS,
                placeholder="A sentence to go with it",
            )
            if note != stop.note:
                own_tour.write_note(at, note)
                _write_link(own_tour.stops())
            for label, icon, action, arguments, off in (
                ("Earlier", "arrow_upward", own_tour.move, (at, -1), at == 0),
                ("Later", "arrow_downward", own_tour.move, (at, 1), at == len(kept) - 1),
                ("Remove", "delete", own_tour.remove, (at,), False),
            ):
                st.button(
                    label,
                    key=f"{label}-{at}",
                    icon=f":material/{icon}:",
                    type="tertiary",
                    on_click=action,
                    args=arguments,
                    disabled=off,
                )
    if kept:
        copy_button(
            "Copy a link to this tour",
            key="copy-tour",
            text=f"{server_address()}{page_address('pages/6_Tour.py')}?tour=own&{MINE}={own_tour.packed(own_tour.stops())}",
        )


def _note_key(at: int, stop: Stop) -> str:
    """A field keeps its text while its stop stays where it is."""
    return f"note-{at}-{stop.path}-{stop.query}-{stop.card}"


def _write_link(kept: Sequence[Stop]) -> None:
    """The address holds the whole tour."""
    if kept:
        st.query_params[MINE] = own_tour.packed(list(kept))
    else:
        st.query_params.pop(MINE, None)


def _save(which: str, steps: Sequence[Shown]) -> None:
    server = server_address()
    ready = [(step, step.tell(), _cards(step)) for step in steps]
    st.caption("Every step with its figure, in one file that opens without a network; the arrow keys turn it.")
    st.download_button(
        "Tour as one file (HTML)",
        lambda: tour_file(
            QUESTION if which == "paper" else "A tour of representation dissimilarity",
            "",
            [_section(*one, server) for one in ready],
            foot(),
        ),
        "repdiss-tour.html",
        "text/html",
        key="save-tour-file",
        on_click="ignore",
        width="stretch",
    )


def _cards(step: Shown) -> tuple[Card, ...]:
    try:
        return cards_of(step.view)
    except UserError:
        return ()


def _section(step: Shown, said: str, cards: Sequence[Card], server: str) -> Section:
    sections = [figure_section(card, "", "", "") for card in cards]
    figures = tuple(figure for section in sections for figure in section.figures)
    words = f"{step.lead} {said}".strip()
    return Section(step.title, words, step.note, figures, link=server + step.view.address if server else "")

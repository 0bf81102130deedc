"""Views: a page with its choices, and perhaps one of its figures.

A view is all that a link holds, and what is saved, toured and exported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode, urlsplit

import streamlit as st

from repdiss_core.base.errors import UserError
from repdiss_core.plots.html_file import Section
from repdiss_core.plots.theme import LOOKS
from repdiss_core.studies import exports
from repdiss_core.studies.claims import Claim
from repdiss_core.studies.paper import CITATION
from repdiss_core.studies.phrases import SCOPES
from repdiss_core.studies.words import finding, rests_on, rule_sentence
from repdiss_core.ui.cards.card import Card
from repdiss_core.ui.cards.figure_card import drawn_card
from repdiss_core.ui.cards.study_cards import study_cards
from repdiss_core.ui.parts.pickers import choices_of
from repdiss_core.ui.parts.shared import PAGES, page_address
from repdiss_core.ui.study_pages import STUDY_PAGES


@dataclass(frozen=True)
class View:
    """A page, its choices as its address holds them, and the figure that is meant ("" for all of them)."""

    path: str
    query: tuple[tuple[str, str], ...] = ()
    card: str = ""

    @classmethod
    def of(cls, path: str, query: Mapping[str, str], card: str = "") -> View:
        """The view, its choices in one order."""
        return cls(path, tuple(sorted(query.items())), card)

    @property
    def address(self) -> str:
        """Where the view opens, relative to the server."""
        chosen = urlencode(dict(self.query))
        return f"{page_address(self.path)}{'?' + chosen if chosen else ''}{'#' + self.card if self.card else ''}"


@dataclass(frozen=True, eq=False)
class Content:
    """What a page shows for its choices.

    Args:
        said: the computed sentence at its top, worked out when it is asked for.
        claims: (models, claim) pairs, likewise.
    """

    question: str
    cards: tuple[Card, ...]
    said: Callable[[], str]
    claims: Callable[[], tuple[tuple[str, Claim], ...]]


def has_figures(path: str) -> bool:
    """Whether views of a page can be toured and exported."""
    return path in STUDY_PAGES


def content(view: View) -> Content:
    """What the page of a view shows, by the very pickers of the page; nothing of them is left on this one.

    Raises:
        UserError: the page has no figures, or its models are not there.
    """
    if view.path not in STUDY_PAGES:
        raise UserError(
            f"{PAGES.get(view.path, 'That page')} has no figures to show. Figures are on: "
            f"{', '.join(PAGES[path] for path in STUDY_PAGES)}."
        )
    page = STUDY_PAGES[view.path]
    place = st.empty()
    with place.container(), choices_of(dict(view.query)):
        choice = page.pick()
    place.empty()
    cards = study_cards(page.study.name, choice)
    return Content(page.study.question, cards, partial(page.said, choice), partial(page.claims, choice))


def cards_of(view: View) -> tuple[Card, ...]:
    """The figure that is meant, or all of the page."""
    found = content(view).cards
    if not view.card:
        return found
    chosen = tuple(card for card in found if card.card_id == view.card)
    if not chosen:
        raise UserError(
            f"{PAGES[view.path]} has no figure “{view.card[:40]}” at these choices. It has: "
            f"{', '.join(card.title for card in found)}."
        )
    return chosen


def server_address() -> str:
    """Scheme, host and port of this page."""
    here = urlsplit(st.context.url or "")
    return f"{here.scheme}://{here.netloc}" if here.netloc else ""


def page_sections(view: View, shown: Content, server: str) -> list[Section]:
    """The page as sections of an exported file: each figure with caption and citation, then the claims."""
    sections = [
        figure_section(card, "", "", server and server + View(view.path, view.query, card.card_id).address)
        for card in shown.cards
    ]
    claims = shown.claims()
    if claims:
        import pandas as pd

        rows = [
            (
                claim.statement,
                models,
                SCOPES[claim.scope].label,
                claim.verdict.value,
                finding(claim),
                rests_on(claim),
                rule_sentence(claim),
            )
            for models, claim in claims
        ]
        columns = ["claim", "models", "speaks for", "verdict", "found", "rests on", "rule"]
        table = pd.DataFrame(rows, columns=columns)
        sections.append(Section("What becomes of the paper’s claims", table=table))
    return sections


def figure_section(card: Card, said: str, note: str, link: str) -> Section:
    """One figure, drawn for paper from what is stored."""
    try:
        drawn = drawn_card(card, LOOKS["print"])
    except UserError as error:
        return Section(card.title, said or str(error), note, link=link)
    caption = f"{drawn.caption.text} {exports.citation(card.title, '', card.job_id)}"
    title = f"{card.tag}: {card.title}" if card.tag else card.title
    return Section(title, said, note, ((drawn.figure, caption),), link=link)


def foot() -> tuple[str, ...]:
    """The last lines of every exported file."""
    return (
        f"The paper: {CITATION}",
        (
            "The figures: RepDiss, computed on the models that each caption names; "
            "they are not the paper's unless it says so."
        ),
    )

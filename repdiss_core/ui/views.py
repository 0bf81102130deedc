"""Views: a page with its choices, and perhaps one of its figures. A view is all that a link holds, and what is saved, toured and exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import streamlit as st

from repdiss_core.base.errors import UserError
from repdiss_core.plots.html_file import Section, Table
from repdiss_core.plots.theme import LOOKS
from repdiss_core.studies import exports
from repdiss_core.studies.asymmetry.claims import WAITING
from repdiss_core.studies.claims import Claim
from repdiss_core.studies.generalization.claims import generalization_claims
from repdiss_core.studies.generalization.claims import headline as generalization_headline
from repdiss_core.studies.paper import CITATION
from repdiss_core.studies.phrases import SCOPES
from repdiss_core.studies.scaling.claims import headline as scaling_headline
from repdiss_core.studies.scaling.claims import scaling_claims
from repdiss_core.studies.words import finding, headline, rests_on, rule_sentence
from repdiss_core.ui.cards import asymmetry_cards, generalization_cards, pair_cards, scaling_cards
from repdiss_core.ui.cards import difference_cards as differences
from repdiss_core.ui.cards.card import Card
from repdiss_core.ui.cards.claims_list import stored_claims
from repdiss_core.ui.cards.figure_card import drawn_card
from repdiss_core.ui.cards.model_strip import NONE
from repdiss_core.ui.parts.pickers import choices_of, choose, switch
from repdiss_core.ui.parts.shared import PAGES, page_address, result_store

PAIR_QUESTION = "How alike are these two models?"


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
    claims: Callable[[], tuple[tuple[str, Claim], ...]] = tuple


def has_figures(path: str) -> bool:
    """Whether views of a page can be toured and exported."""
    return path in _CONTENTS


def content(view: View) -> Content:
    """What the page of a view shows, by the very pickers of the page; nothing of them is left on this one.

    Raises:
        UserError: the page has no figures, or its models are not there.
    """
    if view.path not in _CONTENTS:
        raise UserError(
            f"{PAGES.get(view.path, 'That page')} has no figures to show. Figures are on: {', '.join(PAGES[path] for path in _CONTENTS)}."
        )
    place = st.empty()
    with place.container(), choices_of(dict(view.query)):
        found = _CONTENTS[view.path]()
    place.empty()
    return found


def cards_of(view: View) -> tuple[Card, ...]:
    """The figure that is meant, or all of the page."""
    found = content(view).cards
    if not view.card:
        return found
    chosen = tuple(card for card in found if card.card_id == view.card)
    if not chosen:
        raise UserError(
            f"{PAGES[view.path]} has no figure “{view.card[:40]}” at these choices. It has: {', '.join(card.title for card in found)}."
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
        rows = tuple(
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
        )
        sections.append(
            Section(
                "What becomes of the paper’s claims",
                table=Table(("claim", "models", "speaks for", "verdict", "found", "rests on", "rule"), rows),
            )
        )
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
        "The figures: RepDiss, computed on the models that each caption names; they are not the paper's unless it says so.",
    )


def _asymmetry() -> Content:
    choice = asymmetry_cards.pick()
    cards = (
        asymmetry_cards.stitching_card(choice),
        *(asymmetry_cards.cka_card(params, choice.style, choice.relative) for params in choice.params),
        *(asymmetry_cards.learning_card(params, choice.log_steps) for params in choice.params),
    )

    def claims() -> tuple[tuple[str, Claim], ...]:
        return tuple(
            (f"{params.depth}-layer models", claim) for params in choice.params for claim in stored_claims(params)
        )

    def said() -> str:
        return headline(stored_claims(choice.params[0]), WAITING)

    return Content(asymmetry_cards.QUESTION, cards, said, claims)


def _generalization() -> Content:
    params, quantity = generalization_cards.pick()
    names = [NONE, *generalization_cards.study.models_of(params.population)]
    f, g = choose("First model", names, "model_a"), choose("Second model", names, "model_b")
    pair = generalization_cards.pair_cards(params, f, g) if NONE not in (f, g) and f != g else ()

    def claims() -> tuple[tuple[str, Claim], ...]:
        return tuple((params.population, claim) for claim in generalization_claims(generalization_cards.loaded(params)))

    cards = (*generalization_cards.cards(params, quantity), *pair)
    return Content(
        generalization_cards.QUESTION,
        cards,
        lambda: generalization_headline(generalization_cards.loaded(params)),
        claims,
    )


def _scaling() -> Content:
    choice = scaling_cards.pick()
    cards = [
        scaling_cards.overview_card(choice.params, switch("Show", scaling_cards.VIEWS, "whole")),
        scaling_cards.pair_card(choice),
    ]
    for name in ("fig3", "fig9", "fig10"):
        with suppress(UserError):  # a shape of that figure has no member yet; the page says so
            cards.append(scaling_cards.figure_card_of(name, choice.params, choice.relative, choice.style))
    cards += (*scaling_cards.analysis_cards(choice.params), *scaling_cards.training_cards(choice.params))

    def claims() -> tuple[tuple[str, Claim], ...]:
        return tuple((choice.params.family, claim) for claim in scaling_claims(scaling_cards.loaded(choice.params)))

    return Content(
        scaling_cards.QUESTION, tuple(cards), lambda: scaling_headline(scaling_cards.loaded(choice.params)), claims
    )


def _pair() -> Content:
    choice = pair_cards.pick()
    if switch("Show", differences.MODES, "mode") == differences.MODES[0]:
        card = pair_cards.card(choice)
    else:
        card = differences.difference_card(*differences.pick_both(choice), choice.style, choice.relative)
    return Content(PAIR_QUESTION, (card,), lambda: pair_cards.sentence(result_store(), choice))


_CONTENTS: dict[str, Callable[[], Content]] = {
    "pages/1_Activation_asymmetry.py": _asymmetry,
    "pages/2_Generalization.py": _generalization,
    "pages/3_Scaling_families.py": _scaling,
    "pages/4_Compare_models.py": _pair,
}

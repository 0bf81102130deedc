"""From the registry of figures to the cards of a page: one function for every figure and choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from itertools import groupby

from repdiss_core.base.errors import UserError
from repdiss_core.studies import options
from repdiss_core.studies.figure import Figure, FigureChoice
from repdiss_core.studies.paper import figure_of, study_figures
from repdiss_core.ui.cards.card import Card
from repdiss_core.ui.cards.figure_card import figure_card
from repdiss_core.ui.cards.scaling_cards import click_on_family
from repdiss_core.ui.parts.chart import Click
from repdiss_core.ui.parts.pickers import tabs

CLICKS: dict[str, Callable[[FigureChoice, Click], None]] = {"family": click_on_family}


def figure_cards(figure: Figure, choice: FigureChoice) -> tuple[Card, ...]:
    """The cards of a figure; made once for each choice of what it depends on."""
    return _cards(figure.figure_id, choice.reduced(choice.params, figure.uses))


@lru_cache(maxsize=256)
def _cards(figure_id: str, choice: FigureChoice) -> tuple[Card, ...]:
    pick = partial(CLICKS[figure_id], choice) if figure_id in CLICKS else None
    return tuple(Card(**vars(card), pick=pick) for card in figure_of(figure_id).cards(choice))


def study_cards(study: str, choice: FigureChoice) -> tuple[Card, ...]:
    """All cards of a study's page in its order; a figure whose models are not there yet is left out.

    Raises:
        UserError: no figure can be shown.
    """
    cards: list[Card] = []
    for figure in study_figures(study):
        with suppress(UserError):
            cards += figure_cards(figure, choice)
    if not cards:
        return tuple(card for figure in study_figures(study) for card in figure_cards(figure, choice))
    return tuple(cards)


def first_cards(study: str, choice: FigureChoice) -> Iterator[Card]:
    """The cards that a page draws before a tab is opened."""
    for group in _places(study):
        cards = [card for figure in group for card in figure_cards(figure, choice)]
        yield from cards[:1] if group[0].tabs else cards


def show_figures(
    study: str, choice: FigureChoice, after: Mapping[str, Callable[[FigureChoice], FigureChoice]] | None = None
) -> None:
    """Draw the cards of a study's page.

    Args:
        after: by figure, what the page shows below it; returns the choice for the figures that follow.

    Raises:
        UserError: the models of a figure are not there yet.
    """
    for group in _places(study):
        cards = [card for figure in group for card in figure_cards(figure, choice)]
        if group[0].tabs:
            _tabs(group[0].tabs, cards)
        else:
            for card in cards:
                figure_card(card)
        for figure in group:
            choice = (after or {}).get(figure.figure_id, lambda same: same)(choice)


def _places(study: str) -> list[list[Figure]]:
    """The figures of a page, those that share a place together."""
    shared = groupby(study_figures(study), key=lambda figure: figure.tabs or figure.figure_id)
    return [list(group) for _, group in shared]


def _tabs(name: str, cards: list[Card]) -> None:
    """A tab for each card; the open one alone is drawn, and the address remembers it."""
    by_id = {card.card_id: card for card in cards}
    option = replace(options.MAPS, id=name)
    for card_id, tab in tabs(option.offering(list(by_id), labels={key: card.title for key, card in by_id.items()})):
        if tab.open:
            with tab:
                figure_card(by_id[card_id])

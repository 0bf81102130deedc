"""The pages of figures: their pickers, what they say, and which claims they judge. Their figures are in the
registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from repdiss_core.studies.claims import Claim
from repdiss_core.studies.figure import FigureChoice
from repdiss_core.studies.paper import PAIR, STUDIES, StudySpec
from repdiss_core.ui.cards import asymmetry_cards, difference_cards, generalization_cards, scaling_cards


def no_claims(_choice: FigureChoice) -> tuple[tuple[str, Claim], ...]:
    """The claims of a page that judges none."""
    return ()


@dataclass(frozen=True)
class StudyPage:
    """A page of figures.

    Args:
        pick: all pickers of the page; they draw where the page runs, and read a link where `choices_of` holds one.
        said: the computed sentence at its top.
        claims: (models, claim) pairs.
        first: what it shows before anything is chosen; None where that is not drawn ahead.
    """

    study: StudySpec
    pick: Callable[[], FigureChoice]
    said: Callable[[FigureChoice], str]
    claims: Callable[[FigureChoice], tuple[tuple[str, Claim], ...]] = no_claims
    first: Callable[[], FigureChoice] | None = None


STUDY_PAGES = {
    page.study.page: page
    for page in (
        StudyPage(
            STUDIES["asymmetry"],
            asymmetry_cards.pick,
            asymmetry_cards.said,
            asymmetry_cards.claims,
            asymmetry_cards.first_choice,
        ),
        StudyPage(
            STUDIES["generalization"],
            generalization_cards.whole_choice,
            generalization_cards.said,
            generalization_cards.claims,
            generalization_cards.first_choice,
        ),
        StudyPage(
            STUDIES["scaling"],
            scaling_cards.whole_choice,
            scaling_cards.said,
            scaling_cards.claims,
            scaling_cards.first_choice,
        ),
        StudyPage(PAIR, difference_cards.whole_choice, difference_cards.said),
    )
}

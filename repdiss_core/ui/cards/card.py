"""A figure's card on a page: what it shows, and what would compute it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from repdiss_core.runs import estimates
from repdiss_core.studies.figure import FigureCard
from repdiss_core.ui.parts.chart import Click


@dataclass(frozen=True)
class Card(FigureCard):
    """A card of the registry with what only a page has.

    Args:
        pick: what a click on a point chooses on the page, which then runs anew; for figures whose cells are no links.
    """

    pick: Callable[[Click], None] | None = None

    @cached_property
    def job_id(self) -> str:
        """The job that computes this card."""
        return self.request.key

    @cached_property
    def takes(self) -> str:
        """How long that job takes from nothing."""
        return estimates.time_words(self.request)

    @property
    def job_title(self) -> str:
        """What the runs page calls that job: the card's title and the models."""
        names = sorted(
            {name for c in self.request.comparisons for name in (c.f.name, c.g.name)} - set(self.title.split())
        )
        told = ", ".join(names) if len(names) <= 4 else f"{len(names)} models"
        return f"{self.title}: {told}" if names else self.title

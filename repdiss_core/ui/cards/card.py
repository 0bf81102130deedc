"""What a figure card shows and what would compute it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property

from repdiss_core.base.comparison import Request
from repdiss_core.plots.theme import Look
from repdiss_core.runs import estimates
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.drawn import Drawn
from repdiss_core.ui.parts.chart import Click


@dataclass(frozen=True)
class Card:
    """What a card shows and what would compute it.

    Args:
        card_id: names the card's widgets and its anchor in the address.
        title: what is plotted.
        tag: the paper's label, such as "Fig 4"; empty for a figure that the paper lacks.
        request: what "Recompute here" runs.
        draw: (store, look, state of an empty panel) to the figure; reads the cache, never computes.
        explain: how to read the figure, in a few sentences.
        departures: where it differs from the print, beyond what its caption tells.
        shows: what `draw` depends on beside the request, so that a drawn figure can be shown again; None draws it each time.
        link: for maps of layers, whose cells can be clicked: cards of one name outline the cell under the pointer in all their maps.
        pick: for other figures: what a click on a point chooses on the page, which then runs anew.
    """

    card_id: str
    title: str
    tag: str
    request: Request
    draw: Callable[[ResultStore, Look, str], Drawn]
    explain: str
    departures: tuple[str, ...] = ()
    shows: Hashable = None
    link: str = ""
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

"""What a figure is: what it needs computed, how it is drawn, how to read it, and the cards that show it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from repdiss_core.base.comparison import Request
from repdiss_core.plots.map_scale import USUAL_STYLE, MapStyle
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.panels import FigurePart, request_for

if TYPE_CHECKING:
    from repdiss_core.plots.theme import Look
    from repdiss_core.studies.drawn import Drawn
    from repdiss_core.studies.tables import Table

NOT_COMPUTED = "not computed yet"  # what an empty panel says


@dataclass(frozen=True)
class View:
    """How results are shown. Nothing of it enters the key of a comparison.

    Args:
        quantity: "loss", "accuracy" or "penalty"; a figure of accuracies shows them for "loss" too.
        log_steps: whether learning curves run over the logarithm of the step.
        relative: whether axes of maps run over the fraction of the depth.
        style: range of the colours, and whether values stand in the cells.
        every_layer: whether the map of a family shows every layer, instead of one cell for two models.
        models: the two models (f, g) chosen to be shown alone; empty for none.
        in_file: whether the figure is drawn for a file of its own, instead of a card on a page.
    """

    quantity: str = "loss"
    log_steps: bool = False
    relative: bool = False
    style: MapStyle = USUAL_STYLE
    every_layer: bool = False
    models: tuple[str, ...] = ()
    in_file: bool = False


@dataclass(frozen=True)
class FigureChoice:
    """What the controls of a page, or the options of a command, say.

    Args:
        params: what is computed, the parameters of the study; section 3 has one for each depth shown.
        view: how it is shown.
    """

    params: tuple[Any, ...]
    view: View = View()

    @property
    def only(self) -> Any:
        """The parameters, where there is one set of them."""
        (params,) = self.params
        return params

    def reduced(self, params: Iterable[Any], uses: Iterable[str]) -> FigureChoice:
        """With these parameters, and every setting of the view but those named in `uses` at its default."""
        kept = {name: getattr(self.view, name) for name in (*uses, "in_file")}
        return FigureChoice(tuple(params), View(**kept))


@dataclass(frozen=True)
class FigureCard:
    """One card: what it shows and what would compute it.

    Args:
        card_id: names the card's widgets and its anchor in the address.
        title: what is plotted.
        tag: the paper's label, such as "Fig 4"; empty for a figure that the paper lacks.
        request: what "Recompute here" runs.
        draw: (store, look, state of an empty panel) to the figure; reads the cache, never computes.
        explain: how to read the figure, in a few sentences.
        departures: where it differs from the print, beyond what its caption tells.
        shows: what `draw` depends on beside the request, so that a drawn figure can be shown again; None draws it each
            time.
        link: for maps of layers, whose cells can be clicked: cards of one name outline the cell under the pointer in
            all their maps.
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


def nothing(_params: Any) -> tuple[FigurePart, ...]:
    """The parts of a figure that needs nothing computed, or whose models are chosen on a page."""
    return ()


def always(_params: Any) -> bool:
    """Whether a figure of all parameters fits some."""
    return True


@dataclass(frozen=True)
class Figure:
    """An entry of `repdiss_core.studies.paper.FIGURES`.

    Args:
        figure_id: its name on the command line.
        study: name of the study whose page shows it.
        title: what it shows, in a few words.
        parts: the study's parameters to what the figure needs computed.
        draw: (store, choice, look, state of an empty panel) to the figure; reads the cache, never computes.
        explain: how to read it, in a few sentences.
        label: the paper's, such as "Fig 4"; empty for a figure that the paper lacks.
        shows: what the print shows, in our words.
        departures: where ours differs from the print, beyond models and data.
        uses: fields of `View` that `draw` reads.
        card_id: of its card, where that is not `figure_id`; cards of one page have different ones.
        link: see `FigureCard`.
        tabs: figures that follow each other and have one name here share a place on the page, a tab each.
        thumbnail: the stored values in small, as SVG text, for the paper's map.
        split: (figure, choice) to its cards, where it has not one for everything.
        table: (store, params) to its tables, for a figure that is no drawing.
        fits: whether the figure shows anything at these parameters of the study.
        n_batches: of its maps, where that is not the page's choice (0).
        needs_models: whether it shows two models that are chosen on a page; it then has no parts before.
    """

    figure_id: str
    study: str
    title: str
    parts: Callable[[Any], tuple[FigurePart, ...]] = nothing
    draw: Callable[[ResultStore, FigureChoice, Look, str], Drawn] | None = None
    explain: str = ""
    label: str = ""
    shows: str = ""
    departures: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    card_id: str = ""
    link: str = ""
    tabs: str = ""
    thumbnail: Callable[[ResultStore], str] | None = None
    split: Callable[[Figure, FigureChoice], tuple[FigureCard, ...]] | None = None
    table: Callable[[ResultStore, Any], list[Table]] | None = None
    fits: Callable[[Any], bool] = always
    needs_models: bool = False
    n_batches: int = 0

    def cards(self, choice: FigureChoice) -> tuple[FigureCard, ...]:
        """The cards that show the figure at a choice; none where it has no part there."""
        chosen = choice.reduced(filter(self.fits, choice.params), self.uses)
        if not chosen.params or self.table is not None:
            return ()
        return (self.card(chosen),) if self.split is None else self.split(self, chosen)

    def card(self, choice: FigureChoice, **changes: Any) -> FigureCard:
        """One card for all of a choice, with `changes` of its fields."""
        if "request" not in changes:
            comparisons = (c for params in choice.params for part in self.parts(params) for c in part.comparisons)
            changes["request"] = request_for(comparisons, self.n_batches or choice.params[0].n_batches)
        if "draw" not in changes:
            assert self.draw is not None, f"{self.figure_id} has no drawing of its own"
            changes["draw"] = partial(_draw, self.draw, choice)
        usual: dict[str, Any] = {
            "card_id": self.card_id or self.figure_id,
            "title": self.title,
            "tag": self.label,
            "explain": self.explain,
            "departures": self.departures,
            "shows": choice,
            "link": self.link,
        }
        return FigureCard(**{**usual, **changes})

    def facts(self) -> dict[str, Any]:
        """What `list figures` says of it: its plain fields."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in plain.items() if isinstance(value, str | tuple | bool)}


def _draw(draw: Callable[..., Drawn], choice: FigureChoice, store: ResultStore, look: Look, state: str) -> Drawn:
    return draw(store, choice, look, state)


def of_view(choice: FigureChoice, **changes: Any) -> FigureChoice:
    """The choice with other settings of its view."""
    return replace(choice, view=replace(choice.view, **changes))

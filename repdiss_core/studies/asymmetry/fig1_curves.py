"""Figure 1: validation loss after stitching by layer, with two controls that the paper lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.asymmetry.question import AsymmetryParams, at_depths, control_curves, paper_curves
from repdiss_core.studies.drawn import Drawn, compose_curves
from repdiss_core.studies.figure import Figure, FigureCard, FigureChoice
from repdiss_core.studies.panels import FigurePart, load_curve
from repdiss_core.studies.reading import CURVE_HEIGHT, FILE_CURVE_HEIGHT, HOW_STITCHING_READS

if TYPE_CHECKING:
    from repdiss_core.plots.theme import Look


def parts(params: AsymmetryParams) -> tuple[FigurePart, ...]:
    """The curves of one depth."""
    return (FigurePart(f"{params.depth}-layer models", curves=paper_curves(params) + control_curves(params)),)


def draw(store: ResultStore, choice: FigureChoice, look: Look, state: str) -> Drawn:
    """A panel for each depth."""
    every = tuple(part for params in choice.params for part in parts(params))
    height = FILE_CURVE_HEIGHT if choice.view.in_file else CURVE_HEIGHT
    return compose_curves(store, every, look, choice.params[0].preset, choice.view.quantity, state, height)


def _cards(figure: Figure, choice: FigureChoice) -> tuple[FigureCard, ...]:
    return (figure.card(choice, title=f"Stitching {choice.view.quantity} by layer"),)


def _thumbnail(store: ResultStore) -> str:
    from repdiss_core.plots.thumbnail import curve_line, lines_svg

    views = [
        [load_curve(store, curve).curve for part in parts(params) for curve in part.curves] for params in at_depths()
    ]
    return lines_svg([[curve_line(c) for c in panel if c is not None] for panel in views])


FIG1 = Figure(
    "fig1",
    "asymmetry",
    "Stitching loss by layer",
    parts,
    draw,
    HOW_STITCHING_READS,
    label="Fig 1",
    shows="Validation loss after stitching 3- and 4-layer SoLU and GeLU models at each layer.",
    departures=(
        "Adds two controls that the paper lacks: the same activation function with another seed.",
        "Adds the closed-form least-squares stitch.",
    ),
    uses=("quantity",),
    thumbnail=_thumbnail,
    split=_cards,
)

"""Figure 6: the learning curve of each stitching layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.asymmetry.question import AsymmetryParams, at_depths, paper_curves
from repdiss_core.studies.drawn import Drawn, compose_learning
from repdiss_core.studies.figure import Figure, FigureCard, FigureChoice
from repdiss_core.studies.panels import FigurePart, load_learning
from repdiss_core.studies.reading import LEARNING_HEIGHT

if TYPE_CHECKING:
    import numpy as np

    from repdiss_core.plots.theme import Look

HOW_LEARNING_READS = (
    "The training loss of each stitching layer by step, one panel a layer; colours as in Figure 1. Faint: "
    "every step; bold: the running "
    "mean over a twentieth of them. A curve that still falls at its end says the stitch is not done."
)


def parts(params: AsymmetryParams) -> tuple[FigurePart, ...]:
    """The curves of one depth."""
    return (FigurePart(f"{params.depth}-layer models", curves=paper_curves(params)),)


def draw(store: ResultStore, choice: FigureChoice, look: Look, state: str) -> Drawn:
    """One depth, a panel a layer."""
    params = choice.only
    (part,) = parts(params)
    return compose_learning(store, part, look, params.preset, choice.view.log_steps, state, LEARNING_HEIGHT)


def _cards(figure: Figure, choice: FigureChoice) -> tuple[FigureCard, ...]:
    """A card for each depth."""
    return tuple(
        figure.card(
            FigureChoice((params,), choice.view),
            card_id=f"fig6-{params.depth}",
            title=f"Learning curves, {params.depth}-layer models",
        )
        for params in choice.params
    )


def _thumbnail(store: ResultStore) -> str:
    """The first depth, a panel a layer."""
    from repdiss_core.plots.learning_curve import running_mean
    from repdiss_core.plots.thumbnail import lines_svg

    (part,) = parts(at_depths()[0])
    learning = [c for curve in part.curves for c in load_learning(store, curve)]
    panels: dict[int, list[tuple[np.ndarray, np.ndarray, dict[str, str]]]] = {
        layer: [] for layer in sorted({c.layer for c in learning})
    }
    for c in learning:
        style = {"role": c.role, "kind_f": c.kind_f, "kind_g": c.kind_g}
        panels[c.layer].append((c.step, running_mean(c.train_loss, c.step.size // 8 | 1), style))
    return lines_svg(list(panels.values()))


FIG6 = Figure(
    "fig6",
    "asymmetry",
    "Learning curves of the stitching layers",
    parts,
    draw,
    HOW_LEARNING_READS,
    label="Fig 6",
    shows="Training loss of each stitching layer by step.",
    uses=("log_steps",),
    thumbnail=_thumbnail,
    split=_cards,
)

"""Figures 4 and 5: CKA maps of 3-layer and of 4-layer models."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.asymmetry.question import AsymmetryParams, at_depths, cka_panels
from repdiss_core.studies.drawn import Drawn, compose_heatmaps
from repdiss_core.studies.figure import Figure, FigureChoice
from repdiss_core.studies.panels import FigurePart, load_matrix
from repdiss_core.studies.reading import FILE_MAP_HEIGHT, HOW_CKA_READS, LINK, MAP_HEIGHT

if TYPE_CHECKING:
    from repdiss_core.plots.theme import Look


def parts(params: AsymmetryParams) -> tuple[FigurePart, ...]:
    """The three maps of a depth."""
    return (FigurePart(f"{params.depth}-layer models", panels=cka_panels(params)),)


def draw(store: ResultStore, choice: FigureChoice, look: Look, state: str) -> Drawn:
    """Within GeLU, within SoLU, and between them."""
    params, view = choice.only, choice.view
    height = FILE_MAP_HEIGHT if view.in_file else MAP_HEIGHT
    (part,) = parts(params)
    cka = params.cka
    return compose_heatmaps(
        store, part, look, params.preset, cka.reduction, cka.n_batches, state, height, view.relative, view.style
    )


def _thumbnail(depth: int, store: ResultStore) -> str:
    from repdiss_core.plots.thumbnail import heatmaps_svg

    params = next(params for params in at_depths() if params.depth == depth)
    panels, n_batches = cka_panels(params), params.preset.cka_batches
    return heatmaps_svg([load_matrix(store, panel, "mean_of_ratios", n_batches).matrix for panel in panels])


def _figure(figure_id: str, label: str, depth: int) -> Figure:
    return Figure(
        figure_id,
        "asymmetry",
        f"CKA of {depth}-layer models",
        parts,
        draw,
        HOW_CKA_READS,
        label=label,
        shows="Heatmaps within GeLU, within SoLU, and between them.",
        departures=("The printed centring lacks 1/n and the printed ratio a square root; both are put right.",),
        uses=("relative", "style"),
        link=LINK,
        thumbnail=partial(_thumbnail, depth),
        fits=lambda params: params.depth == depth,
    )


FIG4 = _figure("fig4", "Fig 4", 3)
FIG5 = _figure("fig5", "Fig 5", 4)

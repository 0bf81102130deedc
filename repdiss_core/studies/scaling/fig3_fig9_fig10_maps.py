"""The maps of section 5: the family at a glance, all its layers, a chosen pair, and Figures 3, 9 and 10."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repdiss_core.plots.map_scale import USUAL_STYLE, MapStyle
from repdiss_core.plots.theme import Look
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.caption import Caption
from repdiss_core.studies.drawn import Blocks, Drawn, compose_grid
from repdiss_core.studies.figure import Figure, FigureCard, FigureChoice
from repdiss_core.studies.panels import FigurePart, load_matrix
from repdiss_core.studies.reading import HOW_CKA_READS, LINK
from repdiss_core.studies.scaling import words
from repdiss_core.studies.scaling.question import FamilyParams, figure_panels, pair_panel, short_name
from repdiss_core.studies.scaling.stored import FamilyResults, blocks, loaded
from repdiss_core.studies.tables import Table

if TYPE_CHECKING:
    import plotly.graph_objects as go

GRID_HEIGHT = 310
HOW_BLOCKS_READ = (
    HOW_CKA_READS + " White frames are blocks: "
    "contiguous layers that are more alike than layers of their distance are on average, by an exact "
    "segmentation. A map without frames has no blocks, or too few layers (under 6) to tell."
)


def compose_overview(loaded: FamilyResults, look: Look, state: str) -> Drawn:
    """Model × model, each cell the mean of a map."""
    from repdiss_core.plots.family_matrix import overview

    names = [short_name(name) for name in loaded.maps.members]
    means = loaded.maps.means()
    caption = words.caption(
        loaded, f"{len(names)} members", "mean of the map of two models; within a model over pairs of different layers"
    )
    return drawn(
        loaded,
        overview(names, means, look, state=state),
        caption,
        [words.square_table(loaded, "mean CKA of two models", names, means)],
    )


def compose_all_layers(loaded: FamilyResults, look: Look, state: str) -> Drawn:
    """Every layer of every member against every other."""
    from repdiss_core.plots.family_matrix import all_layers

    maps = loaded.maps
    values, error = maps.whole()
    names = [short_name(name) for name in maps.members]
    layers = [
        f"{name}:{layer}" for name, depth in zip(names, maps.depths, strict=True) for layer in range(1, depth + 1)
    ]
    caption = words.caption(
        loaded,
        f"{len(names)} members",
        f"{len(layers)} layers, each against all",
        "standard errors over batches on hover",
    )
    return drawn(
        loaded,
        all_layers(names, maps.depths, values, error, look, state=state),
        caption,
        [words.square_table(loaded, "CKA of all layers", layers, values, error)],
    )


def compose_pair(
    store: ResultStore,
    loaded: FamilyResults,
    f: str,
    g: str,
    look: Look,
    relative: bool,
    state: str,
    height: int = 400,
    style: MapStyle = USUAL_STYLE,
) -> Drawn:
    """Within f, within g and between (rows f, columns g); one map alone where f is g."""
    params = loaded.params
    pairs = ((f, f),) if f == g else ((f, f), (g, g), (f, g))
    part = FigurePart("", panels=tuple(pair_panel(params, *pair) for pair in pairs))
    return _grid(store, loaded, (part,), look, relative, state, height, style)


def compose_figure(
    store: ResultStore,
    loaded: FamilyResults,
    figure_id: str,
    look: Look,
    relative: bool = False,
    state: str = "not computed yet",
    style: MapStyle = USUAL_STYLE,
) -> Drawn:
    """Figure 3, 9 or 10 for the chosen family."""
    return _grid(store, loaded, rows_of(figure_id, loaded.params), look, relative, state, GRID_HEIGHT, style)


def _grid(
    store: ResultStore,
    loaded: FamilyResults,
    parts: tuple[FigurePart, ...],
    look: Look,
    relative: bool,
    state: str,
    height: int,
    style: MapStyle,
) -> Drawn:
    view = loaded.params.cka
    setting = loaded.params.preset
    return compose_grid(
        store,
        parts,
        look,
        setting,
        view.reduction,
        view.n_batches,
        state,
        height,
        lambda one: outlined(loaded, one.panel.row_name),
        relative,
        style,
    )


def outlined(loaded: FamilyResults, name: str) -> Blocks:
    """The blocks of a member, none where none were found or the question cannot be asked."""
    found = blocks(loaded, name)
    return () if isinstance(found, str) else found.segmentation.blocks


def drawn(loaded: FamilyResults, figure: go.Figure, caption: Caption, tables: list[Table]) -> Drawn:
    """A figure that rests on the whole family."""
    origin = loaded.maps.origin
    return Drawn(figure, caption, loaded.maps.complete, origin.origin, origin.stored_at, tables)


def changed_cells(kept: FamilyResults, other: FamilyResults) -> float:
    """The largest change of any cell of any map of two treatments of massive tokens; NaN where no map is in both."""
    found = [
        np.abs(one.mean - other.maps.pairs[pair].mean).max()
        for pair, one in kept.maps.pairs.items()
        if pair in other.maps.pairs
    ]
    return float(max(found)) if found else float("nan")


def rows_of(figure_id: str, params: FamilyParams) -> tuple[FigurePart, ...]:
    """Figure 3, 9 or 10: a part a row of maps."""
    return tuple(FigurePart("", panels=row) for row in figure_panels(params, figure_id))


def _draw(figure_id: str, store: ResultStore, choice: FigureChoice, look: Look, state: str) -> Drawn:
    view = choice.view
    return compose_figure(store, loaded(store, choice.only), figure_id, look, view.relative, state, view.style)


def _cards(figure: Figure, choice: FigureChoice) -> tuple[FigureCard, ...]:
    return (figure.card(choice, departures=(*figure.departures, *choice.only.spec.departures)),)


def _thumbnail(figure_id: str, store: ResultStore) -> str:
    from repdiss_core.plots.thumbnail import heatmaps_svg

    params = FamilyParams()
    panels, n_batches = rows_of(figure_id, params)[0].panels, params.preset.cka_batches
    return heatmaps_svg([load_matrix(store, panel, "mean_of_ratios", n_batches).matrix for panel in panels])


def _figure(figure_id: str, label: str, title: str, shows: str) -> Figure:
    return Figure(
        figure_id,
        "scaling",
        title,
        partial(rows_of, figure_id),
        partial(_draw, figure_id),
        HOW_BLOCKS_READ,
        label=label,
        shows=shows,
        departures=(
            "The printed centring lacks 1/n and the printed ratio a square root; both are put right.",
            "Adds the blocks found by an exact segmentation, as outlines, where a model has at least 6 layers.",
        ),
        uses=("relative", "style"),
        link=LINK,
        thumbnail=partial(_thumbnail, figure_id),
        split=_cards,
    )


FIG3 = _figure(
    "fig3",
    "Fig 3",
    "CKA of four members against the largest",
    "Heatmaps of pythia-1b, 1.4b, 2.8b and 6.9b against pythia-6.9b.",
)
FIG9 = _figure(
    "fig9", "Fig 9", "CKA of all pairs of three members", "Heatmaps of all pairs of pythia-1b, 1.4b and 2.8b."
)
FIG10 = _figure("fig10", "Fig 10", "CKA within small members", "Heatmaps within pythia-70m, 160m, 410m and 1b.")

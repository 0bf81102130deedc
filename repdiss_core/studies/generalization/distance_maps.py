"""Two figures that the paper left open: the map of distances with its tree, and the models in the plane."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repdiss_core.analysis import clustering
from repdiss_core.studies.caption import Caption
from repdiss_core.studies.drawn import Drawn
from repdiss_core.studies.figure import Figure
from repdiss_core.studies.generalization import words
from repdiss_core.studies.generalization.fig2_fig7_curves import drawn, progress
from repdiss_core.studies.generalization.fig8_distances import draw_loaded, every_pair
from repdiss_core.studies.generalization.stored import PopulationResults
from repdiss_core.studies.tables import Table

if TYPE_CHECKING:
    from repdiss_core.plots.theme import Look

HOW_MAPS_READ = (
    "Every model of the population against every other; dark is far apart. "
    "The tree joins the nearest first (average linkage) and orders the map. The strip "
    "under it is each model’s accuracy on lexical overlap: were the models clustered by how they generalize, "
    "it would fall into two blocks."
)
HOW_POINTS_READ = (
    "Points that lie close are models whose features are alike. Colour is accuracy on lexical overlap; "
    "circles are the generalizing group, squares the heuristic one, small diamonds the models between."
)


def compose_map(loaded: PopulationResults, look: Look, sets: tuple[str, ...], state: str = "not computed yet") -> Drawn:
    """The distance matrix of the whole population in the order of its tree, a panel a set."""
    from repdiss_core.plots.model_distance import MapPanel, distance_maps

    panels = []
    for name in sets:
        found, distance = loaded.cka[name], loaded.distance(name)
        if distance is None:
            panels.append(MapPanel(words.SHORT_SETS[name], state=progress(state, found.origin, "pairs")))
            continue
        tree = clustering.dendrogram(distance)
        panels.append(
            MapPanel(
                words.SHORT_SETS[name],
                found.models,
                distance,
                tree.leaves,
                tree.branches,
                _accuracy(loaded, found.models),
                _groups(loaded, found.models),
            )
        )
    caption = Caption(
        models=f"all {len(loaded.overlap_accuracy)} models of the population",
        data=words.sets_words(sets),
        amount=words.chunks_words(loaded, sets),
        estimator=(
            f"equation (2), {words.features_words(loaded.params)}; tree by average linkage; strip: "
            "accuracy on lexical overlap"
        ),
        departures=("The paper did not cluster its models (its Limitations); this map is ours.",),
    )
    return drawn(
        distance_maps(panels, look),
        caption,
        [loaded.cka[name].origin for name in sets],
        [_distance_table(loaded, name) for name in sets],
    )


def compose_points(
    loaded: PopulationResults, look: Look, sets: tuple[str, ...], state: str = "not computed yet"
) -> Drawn:
    """The models in the plane by metric scaling of their distances, coloured by lexical-overlap accuracy."""
    from repdiss_core.plots.model_distance import PointPanel, model_points

    panels, stresses = [], []
    for name in sets:
        found, distance = loaded.cka[name], loaded.distance(name)
        if distance is None:
            panels.append(PointPanel(words.SHORT_SETS[name], state=progress(state, found.origin, "pairs")))
            continue
        points, stress = clustering.metric_mds(distance)
        stresses.append(f"{words.SHORT_SETS[name].lower()} {stress:.2f}")
        panels.append(
            PointPanel(
                words.SHORT_SETS[name],
                found.models,
                points,
                _accuracy(loaded, found.models),
                _groups(loaded, found.models),
                stress,
            )
        )
    caption = Caption(
        models=(
            f"all {len(loaded.overlap_accuracy)} models of the population; circles: "
            f"the {loaded.groups.k} generalizing, squares: the {loaded.groups.k} heuristic; small diamonds: between"
        ),
        data=words.sets_words(sets),
        estimator="metric multidimensional scaling of equation (2)",
        interval=f"stress (0: the plane holds all distances): {', '.join(stresses)}" if stresses else "",
        departures=("The paper has no such map.",),
    )
    return drawn(
        model_points(panels, look),
        caption,
        [loaded.cka[name].origin for name in sets],
        [_distance_table(loaded, name) for name in sets],
    )


def _distance_table(loaded: PopulationResults, set_name: str) -> Table:
    models = tuple(loaded.cka[set_name].models)
    return Table(
        f"distances, {words.SHORT_SETS[set_name].lower()}",
        "map",
        g=set_name,
        row_labels=models,
        column_labels=models,
        values=loaded.distance(set_name),
        measure="cka_distance",
        unit="radians",
        provenance=words.provenance(loaded),
    )


def _accuracy(loaded: PopulationResults, models: tuple[str, ...]) -> np.ndarray:
    return np.array([loaded.overlap_accuracy[name] for name in models])


def _groups(loaded: PopulationResults, models: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        "top" if name in loaded.groups.top else "bottom" if name in loaded.groups.bottom else "other" for name in models
    )


DISTANCE_MAP = Figure(
    "distance-map",
    "generalization",
    "The map of distances and its tree",
    every_pair,
    partial(draw_loaded, compose_map),
    HOW_MAPS_READ,
    card_id="map",
    tabs="maps",
)
DISTANCE_POINTS = Figure(
    "distance-points",
    "generalization",
    "The models in the plane",
    every_pair,
    partial(draw_loaded, compose_points),
    HOW_POINTS_READ,
    card_id="points",
    tabs="maps",
)

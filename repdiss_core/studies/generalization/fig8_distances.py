"""Figure 8: distances between models; and what the paper left open, how well clusters find the two groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core.analysis import clustering
from repdiss_core.analysis.groups import PermutationTest, permutation_test, unordered_pair_values
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.caption import Caption
from repdiss_core.studies.drawn import Drawn
from repdiss_core.studies.figure import Figure, FigureCard, FigureChoice
from repdiss_core.studies.generalization import thumbnails, words
from repdiss_core.studies.generalization.fig2_fig7_curves import NAMES, POPULATION, compared, drawn, progress
from repdiss_core.studies.generalization.question import PopulationParams
from repdiss_core.studies.generalization.stored import KEPT, PopulationResults, loaded
from repdiss_core.studies.panels import FigurePart
from repdiss_core.studies.phrases import signed
from repdiss_core.studies.tables import Sample, Table

if TYPE_CHECKING:
    from repdiss_core.plots.theme import Look

HOW_DISTANCES_READ = (
    "One point a pair of models: the root of the sum over blocks of arccos(CKA)². Boxes show quartiles. "
    "If the two groups are clusters, the grey points lie "
    "above the others."
)


@dataclass(frozen=True)
class Clustering:
    """How well one way of clustering the two groups' models into two found the ranking split.

    Args:
        silhouette: of the two clusters found.
        agreement: adjusted Rand index with the split into generalizing and heuristic.
        p: how often a random relabelling agrees as well.
    """

    method: str
    silhouette: float
    agreement: float
    p: float
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Clusterings:
    """How the three methods cluster the models, for a table."""

    clusterings: tuple[Clustering, ...]

    def to_dict(self) -> dict[str, Any]:
        """A list "clustering" with a mapping for each method."""
        of_methods = [
            {
                "method": c.method,
                "silhouette": c.silhouette,
                "adjusted_rand_index": c.agreement,
                "p": c.p,
                "sizes": list(c.sizes),
            }
            for c in self.clusterings
        ]
        return {"clustering": of_methods}


@dataclass(frozen=True)
class MeanDistance:
    """The mean of a table of distances, in radians."""

    mean: float

    def to_dict(self) -> dict[str, Any]:
        """mean."""
        return {"mean": self.mean}


@lru_cache(maxsize=KEPT)
def distance_test(loaded: PopulationResults, set_name: str) -> PermutationTest | None:
    """Whether distances within groups differ from those between (negative: smaller within)."""
    distance = group_distance(loaded, set_name)
    return None if distance is None else permutation_test(distance[:, :, None], loaded.groups.is_top)


def group_distance(loaded: PopulationResults, set_name: str) -> np.ndarray | None:
    """(2k, 2k) distances between the groups' models, the generalizing ones first."""
    whole = loaded.distance(set_name)
    if whole is None:
        return None
    chosen = [loaded.cka[set_name].models.index(name) for name in loaded.groups.models]
    return whole[np.ix_(chosen, chosen)]


def kinds_of_pairs(loaded: PopulationResults, set_name: str) -> dict[str, np.ndarray]:
    """{kind of pair: its distances}; empty where a distance is missing."""
    distance = group_distance(loaded, set_name)
    return {} if distance is None else unordered_pair_values(distance, loaded.groups.is_top)


@lru_cache(maxsize=KEPT)
def clusterings(loaded: PopulationResults, set_name: str) -> tuple[Clustering, ...]:
    """The three methods with two clusters of the groups' models; empty where a distance is missing."""
    distance = group_distance(loaded, set_name)
    if distance is None:
        return ()
    wanted = loaded.groups.is_top.astype(int)
    found = []
    for method in clustering.METHODS:
        labels = clustering.cluster(distance, 2, method)
        sizes = tuple(sorted((int(n) for n in np.bincount(labels)), reverse=True))
        scores = (
            clustering.silhouette(distance, labels),
            clustering.adjusted_rand_index(labels, wanted),
            clustering.chance_of_agreement(labels, wanted),
        )
        found.append(Clustering(method, *scores, sizes))
    return tuple(found)


def compose_distances(
    loaded: PopulationResults, look: Look, sets: tuple[str, ...], state: str = "not computed yet"
) -> Drawn:
    """Figure 8: distances of the pairs of each kind, a panel a set."""
    from repdiss_core.plots.model_distance import DistancePanel, distance_groups

    panels, tables = [], []
    for name in sets:
        kinds = kinds_of_pairs(loaded, name)
        ordered = [kind for kind in ("top_top", "top_bottom", "bottom_bottom") if kind in kinds]
        groups = tuple((NAMES[kind].replace(" – ", " –\n"), kind, kinds[kind]) for kind in ordered)
        panels.append(DistancePanel(words.SHORT_SETS[name], groups, progress(state, loaded.cka[name].origin, "pairs")))
        tables += distance_tables(loaded, name, kinds)
    tests = [(name, distance_test(loaded, name)) for name in sets]
    gaps = "; ".join(
        f"{words.SHORT_SETS[n].lower()}: gap {signed(-t.effect[0])}, p {t.p[0]:.3f}" for n, t in tests if t is not None
    )
    caption = Caption(
        models=words.models_words(loaded),
        data=words.sets_words(sets),
        amount=f"{words.chunks_words(loaded, sets)} · {loaded.groups.n_pairs} pairs of models",
        estimator=f"equation (2): root of the sum over layers of arccos(CKA)²; {words.features_words(loaded.params)}",
        interval=f"between minus within, permutation of models: {gaps}" if gaps else "",
        departures=words.departures_words(loaded.params),
    )
    return drawn(distance_groups(panels, look), caption, [loaded.cka[name].origin for name in sets], tables)


def distance_tables(loaded: PopulationResults, set_name: str, kinds: dict[str, np.ndarray]) -> list[Table]:
    """Figure 8: a table for each kind of pairs with every distance, and one for the gap and the clusters."""
    tables = []
    pairs = unordered_pair_values(_pair_numbers(loaded), loaded.groups.is_top)
    for kind, values in kinds.items():
        names = [[loaded.groups.models[int(i)] for i in pair] for pair in pairs[kind]]
        table = words.curve_table(loaded, set_name, "distance", kind, [f for f, _ in names], values)
        tables.append(
            replace(
                table,
                measure="cka_distance",
                unit="radians",
                column_labels=tuple(g for _, g in names),
                sample=Sample("pair", len(values)),
                members=(MeanDistance(float(values.mean())),),
            )
        )
    test = distance_test(loaded, set_name)
    if test is not None:
        gap = words.curve_table(loaded, set_name, "distance", "within minus between", ["all"], test.effect)
        members = words.SplitTest(test, adjusted=False), Clusterings(clusterings(loaded, set_name))
        tables.append(replace(gap, measure="cka_distance", members=members))
    return tables


def _pair_numbers(loaded: PopulationResults) -> np.ndarray:
    """(2k, 2k, 2) the numbers of the two models of each pair."""
    m = len(loaded.groups.models)
    return np.stack(np.meshgrid(np.arange(m), np.arange(m), indexing="ij"), axis=-1)


def draw_loaded(
    compose: Callable[..., Drawn], store: ResultStore, choice: FigureChoice, look: Look, state: str
) -> Drawn:
    """A figure of both sets from what is stored of a choice."""
    params = choice.only
    return compose(loaded(store, params), look, params.sets, state)


def every_pair(params: PopulationParams) -> tuple[FigurePart, ...]:
    """CKA of every pair of the population on both sets."""
    return (compared(params, params.sets),)


def _cards(figure: Figure, choice: FigureChoice) -> tuple[FigureCard, ...]:
    return (figure.card(choice, departures=()),)  # its caption names them


def _thumbnail(store: ResultStore) -> str:
    params = PopulationParams()
    return thumbnails.fig8([kinds_of_pairs(loaded(store, params), name) for name in params.sets])


FIG8 = Figure(
    "fig8",
    "generalization",
    "Distances between models",
    every_pair,
    partial(draw_loaded, compose_distances),
    HOW_DISTANCES_READ,
    label="Fig 8",
    shows="Distribution of the CKA distance within and between the two groups.",
    departures=POPULATION,
    card_id="distances",
    thumbnail=_thumbnail,
    split=_cards,
)

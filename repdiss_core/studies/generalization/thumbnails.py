"""Figures 2, 7 and 8 as lines of a small picture."""

from __future__ import annotations

import numpy as np

from repdiss_core.analysis.groups import pair_values, unordered_pair_values
from repdiss_core.studies.generalization.fig8_distances import group_distance
from repdiss_core.studies.generalization.question import IN_DISTRIBUTION
from repdiss_core.studies.generalization.stored import Loaded

GROUPS = {"top_top": "top", "bottom_bottom": "bottom", "top_bottom": "between", "bottom_top": "between"}
Line = tuple[np.ndarray, np.ndarray, dict[str, str]]


def lines(figure_id: str, loaded: Loaded) -> list[list[Line]]:
    """[[(x, y, style)]] by panel: means over pairs by cut or layer; for Figure 8 the sorted distances of each kind of pair."""
    overlap = loaded.params.overlap
    if figure_id == "fig7":
        return [_stitched(loaded, overlap)]
    if figure_id == "fig8":
        return [_distances(loaded, name) for name in loaded.params.sets]
    return [_stitched(loaded, IN_DISTRIBUTION), _cka(loaded, IN_DISTRIBUTION)]


def _stitched(loaded: Loaded, set_name: str) -> list[Line]:
    found = loaded.accuracy[set_name]
    return _means(pair_values(found.values, loaded.groups.is_top)) if found.complete else []


def _cka(loaded: Loaded, set_name: str) -> list[Line]:
    values = loaded.group_cka(set_name)
    return [] if values is None else _means(unordered_pair_values(values, loaded.groups.is_top))


def _distances(loaded: Loaded, set_name: str) -> list[Line]:
    distance = group_distance(loaded, set_name)
    kinds = {} if distance is None else unordered_pair_values(distance, loaded.groups.is_top)
    return [(np.linspace(0, 1, values.size), np.sort(values), _style(kind)) for kind, values in kinds.items()]


def _means(kinds: dict[str, np.ndarray]) -> list[Line]:
    return [(np.arange(values.shape[1]), values.mean(axis=0), _style(kind)) for kind, values in kinds.items()]


def _style(kind: str) -> dict[str, str]:
    return {
        "role": "stitch",
        "kind_f": "gelu",
        "kind_g": "solu" if kind == "bottom_top" else "gelu",
        "group": GROUPS[kind],
    }

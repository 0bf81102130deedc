"""Figures 2, 7 and 8 as small pictures."""

from __future__ import annotations

import numpy as np

from repdiss_core.analysis.groups import pair_values, unordered_pair_values
from repdiss_core.plots.thumbnail import lines_svg
from repdiss_core.studies.generalization.question import IN_DISTRIBUTION
from repdiss_core.studies.generalization.stored import PopulationResults

GROUPS = {"top_top": "top", "bottom_bottom": "bottom", "top_bottom": "between", "bottom_top": "between"}
Line = tuple[np.ndarray, np.ndarray, dict[str, str]]


def fig2(loaded: PopulationResults) -> str:
    """Accuracy by cut and CKA by layer in distribution, means over pairs; SVG text."""
    return lines_svg([_stitched(loaded, IN_DISTRIBUTION), _cka(loaded, IN_DISTRIBUTION)])


def fig7(loaded: PopulationResults) -> str:
    """Accuracy by cut on lexical overlap, means over pairs; SVG text."""
    return lines_svg([_stitched(loaded, loaded.params.overlap)])


def fig8(kinds: list[dict[str, np.ndarray]]) -> str:
    """The sorted distances of each kind of pair, a panel a set; SVG text.

    Args:
        kinds: {kind of pair: its distances} a set.
    """
    return lines_svg([[_sorted(kind, values) for kind, values in found.items()] for found in kinds])


def _stitched(loaded: PopulationResults, set_name: str) -> list[Line]:
    found = loaded.accuracy[set_name]
    return _means(pair_values(found.values, loaded.groups.is_top)) if found.complete else []


def _cka(loaded: PopulationResults, set_name: str) -> list[Line]:
    values = loaded.group_cka(set_name)
    return [] if values is None else _means(unordered_pair_values(values, loaded.groups.is_top))


def _sorted(kind: str, values: np.ndarray) -> Line:
    return np.linspace(0, 1, values.size), np.sort(values), _style(kind)


def _means(kinds: dict[str, np.ndarray]) -> list[Line]:
    return [(np.arange(values.shape[1]), values.mean(axis=0), _style(kind)) for kind, values in kinds.items()]


def _style(kind: str) -> dict[str, str]:
    return {
        "role": "stitch",
        "kind_f": "gelu",
        "kind_g": "solu" if kind == "bottom_top" else "gelu",
        "group": GROUPS[kind],
    }

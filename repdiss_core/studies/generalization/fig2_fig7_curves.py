"""Figures 2 and 7: accuracy after identity stitching by cut, and CKA by layer, within and between two groups of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core.analysis.groups import over_pairs, pair_values, unordered_pair_values
from repdiss_core.store.entries import origin_of
from repdiss_core.studies.caption import Caption
from repdiss_core.studies.drawn import Drawn
from repdiss_core.studies.generalization import question as study
from repdiss_core.studies.generalization import words
from repdiss_core.studies.generalization.stored import Loaded, cka_test, penalty_test
from repdiss_core.studies.population import Origin

if TYPE_CHECKING:
    from repdiss_core.plots.theme import Look

NAMES = {
    "top_top": "generalizing – generalizing",
    "bottom_bottom": "heuristic – heuristic",
    "top_bottom": "generalizing – heuristic",
}
STITCH_NAMES = {
    "top_top": "generalizing → generalizing",
    "bottom_bottom": "heuristic → heuristic",
    "top_bottom": "generalizing → heuristic",
    "bottom_top": "heuristic → generalizing",
}


def stitching_panel(loaded: Loaded, set_name: str, quantity: str, state: str) -> Any:
    """Figure 2 left (in distribution) or 7 (lexical overlap): both directions between the groups apart."""
    from repdiss_core.plots.depth_fraction_curve import DepthPanel, GroupCurve

    found = loaded.accuracy[set_name]
    n_cuts = found.values.shape[-1]
    x = np.linspace(0, 1, n_cuts) if n_cuts else np.array([0.0, 1.0])
    labels = tuple(
        "embeddings only"
        if c == 0
        else "only the head exchanged"
        if c == n_cuts - 1
        else f"after block {c} of {n_cuts - 1}"
        for c in range(len(x))
    )
    if not found.complete or not n_cuts:
        return DepthPanel(words.SHORT_SETS[set_name], x, labels, state=progress(state, found.origin, "ordered pairs"))
    values = found.values if quantity == "accuracy" else found.penalty
    curves = tuple(
        GroupCurve(STITCH_NAMES[kind], kind, *over_pairs(v), len(v))
        for kind, v in pair_values(values, loaded.groups.is_top).items()
    )
    test = penalty_test(loaded, set_name)
    return DepthPanel(words.SHORT_SETS[set_name], x, labels, curves, True, None if test is None else test.p_adjusted)


def cka_panel(loaded: Loaded, set_name: str, state: str) -> Any:
    """Figure 2 right."""
    from repdiss_core.plots.depth_fraction_curve import DepthPanel, GroupCurve

    found = loaded.cka[set_name]
    values = loaded.group_cka(set_name)
    n_layers = found.values.shape[-1] or 1
    x = np.arange(1, n_layers + 1) / n_layers
    labels = tuple(f"block {layer} of {n_layers}" for layer in range(1, n_layers + 1))
    if values is None:
        return DepthPanel(words.SHORT_SETS[set_name], x, labels, state=progress(state, found.origin, "pairs"))
    curves = tuple(
        GroupCurve(NAMES[kind], kind, *over_pairs(v), len(v))
        for kind, v in unordered_pair_values(values, loaded.groups.is_top).items()
    )
    test = cka_test(loaded, set_name)
    return DepthPanel(words.SHORT_SETS[set_name], x, labels, curves, False, None if test is None else test.p_adjusted)


def compose_stitching(
    loaded: Loaded, look: Look, sets: tuple[str, ...], quantity: str = "accuracy", state: str = "not computed yet"
) -> Drawn:
    """Accuracy (or its penalty against the top model's own) by cut, a panel a set."""
    from repdiss_core.plots.depth_fraction_curve import depth_curves

    panels = [stitching_panel(loaded, name, quantity, state) for name in sets]
    found = [loaded.accuracy[name] for name in sets]
    y_title = "accuracy" if quantity == "accuracy" else "accuracy lost against the top model alone"
    figure = depth_curves(panels, look, "fraction of layers in the bottom model", y_title)
    n = len(loaded.groups.models)
    caption = Caption(
        models=words.models_words(loaded),
        data=words.sets_words(sets),
        amount=f"{loaded.params.items} pairs of sentences a set · {n * (n - 1)} ordered pairs of models",
        estimator="identity stitching at every cut; the last cut exchanges only the head"
        + ("; overlap: entailed or not" if len(sets) > 1 or sets[0] != study.IN_DISTRIBUTION else ""),
        interval=words.interval_words(penalty_test(loaded, sets[0])),
        departures=words.departures_words(loaded.params),
    )
    forms = [form for name in sets for form in words.stitching_forms(loaded, name, quantity)]
    return drawn(figure, caption, [f.origin for f in found], forms)


def compose_cka(loaded: Loaded, look: Look, sets: tuple[str, ...], state: str = "not computed yet") -> Drawn:
    """CKA by layer within and between the groups, a panel a set."""
    from repdiss_core.plots.depth_fraction_curve import depth_curves

    figure = depth_curves([cka_panel(loaded, name, state) for name in sets], look, "depth, fraction of layers", "CKA")
    caption = Caption(
        models=words.models_words(loaded),
        data=words.sets_words(sets),
        amount=f"{words.chunks_words(loaded, sets)} · {loaded.groups.n_pairs} pairs of models",
        estimator=words.features_words(loaded.params),
        interval=words.interval_words(cka_test(loaded, sets[0])),
        departures=words.departures_words(loaded.params),
    )
    return drawn(
        figure,
        caption,
        [loaded.cka[name].origin for name in sets],
        [form for name in sets for form in words.cka_forms(loaded, name)],
    )


def drawn(figure: Any, caption: Caption, origins: list[Origin], forms: list[dict[str, Any]]) -> Drawn:
    times = [o.stored_at for o in origins if o.stored_at is not None]
    origin = origin_of([o.name for o in origins])
    return Drawn(figure, caption, all(o.n_missing == 0 for o in origins), origin, max(times, default=None), forms)


def progress(state: str, origin: Origin, what: str) -> str:
    return state if origin.name is None else f"{state}: {origin.n_missing} {what} still missing"


def compose_pair_stitching(
    accuracy: dict[str, Any], f: str, g: str, look: Look, state: str = "not computed yet"
) -> Drawn:
    """Two models stitched into each other, a panel a set, with each model's own accuracy at the ends of the curves.

    Args:
        accuracy: {set: PopulationAccuracy of the two models}.
    """
    from repdiss_core.plots.depth_fraction_curve import DepthPanel, GroupCurve, depth_curves

    panels, forms = [], []
    for name, found in accuracy.items():
        n_cuts = found.values.shape[-1]
        x = np.linspace(0, 1, n_cuts) if n_cuts else np.array([0.0, 1.0])
        labels = tuple(f"cut {c}" for c in range(len(x)))
        curves = []
        for bottom, top, kind in ((f, g, "pair_forth"), (g, f, "pair_back")) if found.complete else ():
            values = found.values[found.models.index(bottom), found.models.index(top)]
            blank = np.full((2, n_cuts), np.nan)
            curves.append(GroupCurve(f"{bottom} → {top}", kind, values, blank, 1))
            forms.append(_pair_form(f"{name}: {bottom} → {top}", bottom, top, values))
        panels.append(
            DepthPanel(
                words.SHORT_SETS[name],
                x,
                labels,
                tuple(curves),
                True,
                state=progress(state, found.origin, "ordered pairs"),
            )
        )
    told = "; ".join(
        f"{words.SHORT_SETS[name].lower()}: {f} alone {found.own[found.models.index(f)]:.3f}, {g} alone {found.own[found.models.index(g)]:.3f}"
        for name, found in accuracy.items()
        if found.complete
    )
    n_items = max((found.n_items for found in accuracy.values()), default=0)
    amount = f"{n_items} pairs of sentences a set, one pair of models in both directions" if n_items else ""
    caption = Caption(
        models=f"{f} and {g}",
        data=words.sets_words(tuple(accuracy)),
        amount=amount,
        estimator="identity stitching at every cut",
        interval=told,
    )
    return drawn(
        depth_curves(panels, look, "fraction of layers in the bottom model", "accuracy", 340),
        caption,
        [a.origin for a in accuracy.values()],
        forms,
    )


def compose_pair_cka(cka: dict[str, Any], f: str, g: str, look: Look, state: str = "not computed yet") -> Drawn:
    """CKA of two models by layer, a panel a set."""
    from repdiss_core.plots.depth_fraction_curve import DepthPanel, GroupCurve, depth_curves

    panels, forms = [], []
    for name, found in cka.items():
        n_layers = found.values.shape[-1] or 1
        x = np.arange(1, n_layers + 1) / n_layers
        curves: tuple[Any, ...] = ()
        if found.complete:
            values = found.of((f, g))[0, 1]
            curves = (GroupCurve("CKA of the two models", "pair_forth", values, np.full((2, n_layers), np.nan), 1),)
            forms.append(_pair_form(f"{name}: CKA", f, g, values))
        labels = tuple(f"block {layer}" for layer in range(1, n_layers + 1))
        panels.append(
            DepthPanel(words.SHORT_SETS[name], x, labels, curves, state=progress(state, found.origin, "pairs"))
        )
    least = min(cka.values(), key=lambda found: found.n_chunks)
    amount = f"{least.n_chunks} chunks of {least.rows_per_chunk} rows, one pair of models" if least.n_chunks else ""
    caption = Caption(
        models=f"{f} and {g}",
        data=words.sets_words(tuple(cka)),
        amount=amount,
        estimator="CKA of equal blocks, read as set above",
    )
    return drawn(
        depth_curves(panels, look, "depth, fraction of layers", "CKA", 300),
        caption,
        [c.origin for c in cka.values()],
        forms,
    )


def _pair_form(title: str, f: str, g: str, values: np.ndarray) -> dict[str, Any]:
    labels, blank = [str(i) for i in range(len(values))], [None] * len(values)
    return {
        "title": title,
        "rows": f,
        "columns": g,
        "row_labels": labels,
        "column_labels": labels,
        "values": values.tolist(),
        "standard_error": blank,
        "interval": {"level": 0.95, "lower": blank, "upper": blank},
    }

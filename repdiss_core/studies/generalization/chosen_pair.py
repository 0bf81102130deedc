"""Two chosen classifiers alone: stitched into each other, and their CKA by layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core.base.comparison import Comparison
from repdiss_core.studies.caption import Caption
from repdiss_core.studies.drawn import Drawn
from repdiss_core.studies.figure import Figure, FigureCard, FigureChoice
from repdiss_core.studies.generalization import question, words
from repdiss_core.studies.generalization.fig2_fig7_curves import drawn, progress
from repdiss_core.studies.generalization.question import PopulationParams
from repdiss_core.studies.panels import request_for
from repdiss_core.studies.population import load_accuracy, load_cka
from repdiss_core.studies.tables import Table

if TYPE_CHECKING:
    from repdiss_core.plots.theme import Look
    from repdiss_core.store.cache import ResultStore

EXPLAIN = "The two models that are chosen above, alone: one pair, so that there is no interval."


def compose_pair_stitching(
    accuracy: dict[str, Any], f: str, g: str, look: Look, state: str = "not computed yet"
) -> Drawn:
    """Two models stitched into each other, a panel a set, with each model's own accuracy at the ends of the curves.

    Args:
        accuracy: {set: PopulationAccuracy of the two models}.
    """
    from repdiss_core.plots.depth_fraction_curve import DepthPanel, GroupCurve, depth_curves

    panels, tables = [], []
    for name, found in accuracy.items():
        n_cuts = found.values.shape[-1]
        x = np.linspace(0, 1, n_cuts) if n_cuts else np.array([0.0, 1.0])
        labels = tuple(f"cut {c}" for c in range(len(x)))
        curves = []
        for bottom, top, kind in ((f, g, "pair_forth"), (g, f, "pair_back")) if found.complete else ():
            values = found.values[found.models.index(bottom), found.models.index(top)]
            blank = np.full((2, n_cuts), np.nan)
            curves.append(GroupCurve(f"{bottom} → {top}", kind, values, blank, 1))
            tables.append(_pair_table(f"{name}: {bottom} → {top}", bottom, top, values))
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
    alone = "; ".join(
        (
            f"{words.SHORT_SETS[name].lower()}: {f} alone {found.own[found.models.index(f)]:.3f}, "
            f"{g} alone {found.own[found.models.index(g)]:.3f}"
        )
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
        interval=alone,
    )
    return drawn(
        depth_curves(panels, look, "fraction of layers in the bottom model", "accuracy", 340),
        caption,
        [a.origin for a in accuracy.values()],
        tables,
    )


def compose_pair_cka(cka: dict[str, Any], f: str, g: str, look: Look, state: str = "not computed yet") -> Drawn:
    """CKA of two models by layer, a panel a set."""
    from repdiss_core.plots.depth_fraction_curve import DepthPanel, GroupCurve, depth_curves

    panels, tables = [], []
    for name, found in cka.items():
        n_layers = found.values.shape[-1] or 1
        x = np.arange(1, n_layers + 1) / n_layers
        curves: tuple[Any, ...] = ()
        if found.complete:
            values = found.of((f, g))[0, 1]
            curves = (GroupCurve("CKA of the two models", "pair_forth", values, np.full((2, n_layers), np.nan), 1),)
            tables.append(_pair_table(f"{name}: CKA", f, g, values))
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
        tables,
    )


def _pair_table(title: str, f: str, g: str, values: np.ndarray) -> Table:
    labels = tuple(str(i) for i in range(len(values)))
    return Table(title, "curve", f=f, g=g, row_labels=labels, column_labels=labels, values=values)


def _pairs(
    params: PopulationParams, models: tuple[str, str], measure: str
) -> dict[str, dict[tuple[str, str], Comparison]]:
    """{set: comparisons of the two models}; measure: "stitching" or "cka"."""
    of = question.stitched_pairs if measure == "stitching" else question.cka_pairs
    return {name: of(params, name, models) for name in params.sets}


def _card(
    figure: Figure, choice: FigureChoice, title: str, measure: str, draw: Callable[..., Drawn]
) -> tuple[FigureCard, ...]:
    """One card of the two models; none while they are not chosen."""
    if not choice.view.models:
        return ()
    params, (f, g) = choice.only, choice.view.models
    pairs = _pairs(params, (f, g), measure)
    request = request_for((c for found in pairs.values() for c in found.values()), params.n_batches)
    return (
        figure.card(choice, title=title.format(f=f, g=g), request=request, draw=partial(draw, pairs, params, f, g)),
    )


def _draw_stitching(
    pairs: Any, _params: PopulationParams, f: str, g: str, store: ResultStore, look: Look, state: str
) -> Drawn:
    return compose_pair_stitching({n: load_accuracy(store, found) for n, found in pairs.items()}, f, g, look, state)


def _draw_cka(
    pairs: Any, params: PopulationParams, f: str, g: str, store: ResultStore, look: Look, state: str
) -> Drawn:
    found = {n: load_cka(store, of_set, params.chunks) for n, of_set in pairs.items()}
    return compose_pair_cka(found, f, g, look, state)


CLASSIFIER_STITCHING = Figure(
    "classifier-stitching",
    "generalization",
    "Two classifiers stitched into each other",
    explain=EXPLAIN,
    uses=("models",),
    card_id="pair-stitching",
    split=lambda figure, choice: _card(
        figure, choice, "{f} and {g} stitched into each other", "stitching", _draw_stitching
    ),
    needs_models=True,
)
CLASSIFIER_CKA = Figure(
    "classifier-cka",
    "generalization",
    "CKA of two classifiers by layer",
    explain=EXPLAIN,
    uses=("models",),
    card_id="pair-cka",
    split=lambda figure, choice: _card(figure, choice, "CKA of {f} and {g}", "cka", _draw_cka),
    needs_models=True,
)

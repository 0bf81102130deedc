"""The figures of two chosen models: maps of CKA, CKA by layer, stitches by layer, maps of stitches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from repdiss_core.measures import measure_spec
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies import options
from repdiss_core.studies.drawn import Drawn, compose_curves, compose_heatmaps
from repdiss_core.studies.figure import Figure, FigureCard, FigureChoice
from repdiss_core.studies.pair.cka_curve import compose_cka_by_layer
from repdiss_core.studies.pair.question import Pair, pair_curves, pair_panels, pair_view
from repdiss_core.studies.pair.stitch_map import compose_stitch_maps, pair_maps
from repdiss_core.studies.panels import FigurePart, request_for
from repdiss_core.studies.reading import CURVE_HEIGHT, HOW_CKA_READS, HOW_STITCHING_READS, LINK, MAP_HEIGHT

if TYPE_CHECKING:
    from repdiss_core.base.comparison import Comparison
    from repdiss_core.plots.theme import Look

HOW_MAPS_READ = (
    "Each cell is a stitch: the row’s model up to its layer, then the column’s model from its layer on. "
    "The number is the loss, or the penalty against the column’s model alone, in nats a token. Lower is better."
)


def explained(measure: str) -> str:
    """How to read a map of features, from what its measure declares."""
    if measure == "cka":
        return HOW_CKA_READS
    return (
        f"{measure_spec(measure).means} Rows are layers of the first model, columns of the second. "
        "Point at a cell for its interval."
    )


def _chosen(
    of_features: bool, same: bool, card: Callable[[Figure, Pair], FigureCard]
) -> Callable[..., tuple[FigureCard, ...]]:
    """`card` where that measure and those layers are chosen, and nothing elsewhere."""

    def split(figure: Figure, choice: FigureChoice) -> tuple[FigureCard, ...]:
        if len(choice.params) != 1:  # a difference: see difference.py
            return ()
        pair = choice.only
        return (
            (card(figure, pair),)
            if (measure_spec(pair.measure).of_features, pair.layers == "same") == (of_features, same)
            else ()
        )

    return split


def _card(
    figure: Figure, pair: Pair, title: str, comparisons: tuple[Comparison, ...], draw: Any, **more: Any
) -> FigureCard:
    request = request_for(comparisons, pair.n_batches)
    return figure.card(FigureChoice((pair,)), title=title, request=request, draw=draw, **more)


def _feature_maps(figure: Figure, pair: Pair) -> FigureCard:
    part = FigurePart("", panels=pair_panels(pair.f, pair.g, pair.view, pair.setting))
    view, setting = pair_view(pair.f, pair.g, pair.view, pair.setting)

    def draw(store: ResultStore, look: Look, state: str) -> Drawn:
        return compose_heatmaps(
            store,
            part,
            look,
            setting,
            view.reduction,
            view.n_batches,
            state,
            MAP_HEIGHT,
            pair.relative,
            pair.style,
        )

    short = measure_spec(pair.measure).short
    title = f"{short} of {pair.f} and {pair.g}" if pair.f != pair.g else f"{short} within {pair.f}"
    return _card(figure, pair, title, part.comparisons, draw, explain=explained(pair.measure))


def _features_by_layer(figure: Figure, pair: Pair) -> FigureCard:
    panel = pair_panels(pair.f, pair.g, pair.view, pair.setting)[-1]
    view, setting = pair_view(pair.f, pair.g, pair.view, pair.setting)

    def draw(store: ResultStore, look: Look, state: str) -> Drawn:
        return compose_cka_by_layer(store, panel, look, setting, view, state, CURVE_HEIGHT)

    title = f"{measure_spec(pair.measure).short} of {pair.f} and {pair.g} by layer"
    return _card(figure, pair, title, panel.comparisons, draw, shows=None, explain=explained(pair.measure))


def _stitches_by_layer(figure: Figure, pair: Pair) -> FigureCard:
    curves = pair_curves(pair.f, pair.g, pair.setting, pair.stitch, pair.measure)
    part = FigurePart(f"{pair.f} and {pair.g}", curves=curves)

    def draw(store: ResultStore, look: Look, state: str) -> Drawn:
        return compose_curves(store, (part,), look, pair.setting, pair.quantity, state, CURVE_HEIGHT)

    return _card(figure, pair, f"{_quantity(pair)} by layer", part.comparisons, draw, shows=None)


def _stitch_maps(figure: Figure, pair: Pair) -> FigureCard:
    maps = pair_maps(pair.f, pair.g, pair.setting, pair.stitch, pair.measure)
    comparisons = tuple(c for one in maps for row in one.comparisons for c in row)

    def draw(store: ResultStore, look: Look, state: str) -> Drawn:
        return compose_stitch_maps(store, maps, look, pair.setting, pair.quantity, state)

    return _card(figure, pair, f"{_quantity(pair)}, every pair of layers", comparisons, draw)


def _quantity(pair: Pair) -> str:
    return f"{options.MEASURE.label_of(pair.measure).capitalize()} {pair.quantity}"


def _figure(
    figure_id: str, title: str, explain: str, split: Callable[..., tuple[FigureCard, ...]], link: str = ""
) -> Figure:
    return Figure(figure_id, "pair", title, explain=explain, card_id="pair", link=link, split=split, needs_models=True)


PAIR_MAPS = _figure("pair-maps", "CKA of two models", HOW_CKA_READS, _chosen(True, False, _feature_maps), LINK)
PAIR_CURVE = _figure("pair-curve", "CKA of two models by layer", HOW_CKA_READS, _chosen(True, True, _features_by_layer))
STITCH_CURVES = _figure(
    "stitch-curves", "Stitching by layer", HOW_STITCHING_READS, _chosen(False, True, _stitches_by_layer)
)
STITCH_MAPS = _figure(
    "stitch-maps", "Stitching, every pair of layers", HOW_MAPS_READ, _chosen(False, False, _stitch_maps), LINK
)

"""Figures 2 and 7: accuracy after identity stitching by cut, and CKA by layer,
within and between two groups of models."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core.analysis.groups import over_pairs, pair_values, unordered_pair_values
from repdiss_core.models import model_spec
from repdiss_core.store.entries import origin_and_time
from repdiss_core.studies.caption import Caption
from repdiss_core.studies.drawn import Drawn
from repdiss_core.studies.figure import Figure, FigureCard, FigureChoice
from repdiss_core.studies.generalization import question, thumbnails, words
from repdiss_core.studies.generalization.question import IN_DISTRIBUTION, PopulationParams
from repdiss_core.studies.generalization.stored import PopulationResults, cka_test, loaded, penalty_test
from repdiss_core.studies.panels import FigurePart, request_for
from repdiss_core.studies.population import Origin
from repdiss_core.studies.tables import Table

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
HOW_STITCHING_READS = (
    "A stitched model runs the first layers of one classifier and the others of another, "
    "with nothing trained in between. The horizontal axis says which "
    "part of the layers comes from the bottom model; “generalizing → heuristic” has a generalizing model below. "
    "Bands are the paper’s intervals over "
    "pairs. Since pairs share models, they are too narrow; "
    "the p-values above the curves come from splitting the *models* at random instead, corrected for "
    "the number of cuts, and are written only where they are below .05. "
    "The last cut exchanges only the head and is drawn apart."
)
HOW_CKA_READS = (
    "Each curve is the mean CKA of block l of one model with block l of another, over pairs of one kind. "
    "If generalizing and heuristic models part late, the "
    "grey curve falls away from the two others on the right. p-values as above, corrected for the number of blocks."
)
POPULATION = (
    "Adds a test that splits the models at random: the paper's intervals treat pairs that share models as independent.",
)


def stitching_panel(loaded: PopulationResults, set_name: str, quantity: str, state: str) -> Any:
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


def cka_panel(loaded: PopulationResults, set_name: str, state: str) -> Any:
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
    loaded: PopulationResults,
    look: Look,
    sets: tuple[str, ...],
    quantity: str = "accuracy",
    state: str = "not computed yet",
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
        + ("; overlap: entailed or not" if len(sets) > 1 or sets[0] != IN_DISTRIBUTION else ""),
        interval=words.interval_words(penalty_test(loaded, sets[0])),
        departures=words.departures_words(loaded.params),
    )
    tables = [table for name in sets for table in words.stitching_tables(loaded, name, quantity)]
    return drawn(figure, caption, [f.origin for f in found], tables)


def compose_cka(loaded: PopulationResults, look: Look, sets: tuple[str, ...], state: str = "not computed yet") -> Drawn:
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
        [table for name in sets for table in words.cka_tables(loaded, name)],
    )


def drawn(figure: Any, caption: Caption, origins: list[Origin], tables: list[Table]) -> Drawn:
    return Drawn(figure, caption, all(o.n_missing == 0 for o in origins), *origin_and_time(origins), tables)


def progress(state: str, origin: Origin, what: str) -> str:
    return state if origin.origin is None else f"{state}: {origin.n_missing} {what} still missing"


def stitched(params: PopulationParams, sets: tuple[str, ...]) -> FigurePart:
    """Every ordered pair of the two groups, stitched at every cut."""
    models = question.group_models(params)
    pairs = tuple(c for name in sets for c in question.stitched_pairs(params, name, models).values())
    return FigurePart("Identity stitching", pairs=pairs)


def compared(params: PopulationParams, sets: tuple[str, ...]) -> FigurePart:
    """Every pair of the population by CKA; several figures of one choice rest on them."""
    names = question.models_of(params.population)
    return _compared(params, sets, tuple((name, model_spec(name).weights) for name in names))


@lru_cache(maxsize=16)
def _compared(params: PopulationParams, sets: tuple[str, ...], _models: tuple[tuple[str, str], ...]) -> FigurePart:
    return FigurePart(
        "CKA by layer", pairs=tuple(c for name in sets for c in question.cka_pairs(params, name).values())
    )


def _stitching_card(figure: Figure, choice: FigureChoice, sets: tuple[str, ...]) -> FigureCard:
    """Accuracy by cut; a page shows both sets side by side, a file that of its figure."""
    params = choice.only
    quantity = "penalty" if choice.view.quantity == "penalty" else "accuracy"
    title = (
        "Accuracy after identity stitching, by cut"
        if quantity == "accuracy"
        else "Accuracy lost by identity stitching, by cut"
    )
    return figure.card(
        choice,
        card_id="stitching",
        title=title,
        tag="Fig 2 left, Fig 7",
        request=request_for(stitched(params, sets).comparisons, params.n_batches),
        draw=lambda store, look, state: compose_stitching(loaded(store, params), look, sets, quantity, state),
        departures=(),
    )


def _fig2_cards(figure: Figure, choice: FigureChoice) -> tuple[FigureCard, ...]:
    params = choice.only
    cka = figure.card(
        choice.reduced(choice.params, ()),
        card_id="cka",
        title="CKA by layer",
        tag="Fig 2 right",
        request=request_for(compared(params, params.sets).comparisons, params.n_batches),
        draw=lambda store, look, state: compose_cka(loaded(store, params), look, params.sets, state),
        explain=HOW_CKA_READS,
        departures=(),
    )
    return _stitching_card(figure, choice, (IN_DISTRIBUTION,) if choice.view.in_file else params.sets), cka


def _fig7_cards(figure: Figure, choice: FigureChoice) -> tuple[FigureCard, ...]:
    """None on the page, where the card of Figure 2 shows it too."""
    return (_stitching_card(figure, choice, (choice.only.overlap,)),) if choice.view.in_file else ()


FIG2 = Figure(
    "fig2",
    "generalization",
    "Identity stitching and CKA by layer",
    lambda params: (stitched(params, (IN_DISTRIBUTION,)), compared(params, params.sets)),
    explain=HOW_STITCHING_READS,
    label="Fig 2",
    shows="Accuracy after identity stitching, and CKA, within and between two groups of fine-tuned BERTs.",
    departures=POPULATION,
    uses=("quantity",),
    thumbnail=lambda store: thumbnails.fig2(loaded(store, PopulationParams())),
    split=_fig2_cards,
)
FIG7 = Figure(
    "fig7",
    "generalization",
    "Identity stitching on lexical overlap",
    lambda params: (stitched(params, (params.overlap,)),),
    explain=HOW_STITCHING_READS,
    label="Fig 7",
    shows="As Figure 2 left, on the lexical-overlap set.",
    departures=POPULATION,
    uses=("quantity",),
    thumbnail=lambda store: thumbnails.fig7(loaded(store, PopulationParams())),
    split=_fig7_cards,
)

"""The figures of section 5 that the paper lacks: the family at a glance, two members, trends, the odd one, training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.drawn import Drawn
from repdiss_core.studies.figure import Figure, FigureCard, FigureChoice
from repdiss_core.studies.panels import FigurePart, request_for
from repdiss_core.studies.reading import LINK
from repdiss_core.studies.scaling import fig3_fig9_fig10_maps, question, training, trends
from repdiss_core.studies.scaling.question import FamilyParams
from repdiss_core.studies.scaling.stored import loaded

if TYPE_CHECKING:
    from repdiss_core.plots.theme import Look

HOW_OVERVIEW_READS = (
    "Each cell is the mean of the map of two models: how alike all their layers are. "
    "On the diagonal stands a model with itself, over pairs of different layers. "
    "An odd member shows as a row and a column darker than their neighbours. "
    "Click on a cell to see the two models layer by layer below."
)
HOW_ALL_READS = (
    "Every layer of every member against every other, members from small to large, layers from first to last; "
    "white lines part the members. "
    "Drag over a part to zoom, undo it with the house above the map, and click on a cell to choose its two models "
    "and layers below."
)
HOW_TRENDS_READ = (
    "One point a member: the mean CKA of its different layers. The dotted line is fitted to the regular shapes. "
    "The paper reads a growth with scale off its maps; "
    "larger models also have a lower loss, so the right panel shows the other reading."
)
HOW_EARLY_READS = (
    "How alike the first third of the layers of each shape is to the first third of the others, "
    "and the last third to the last third. If early layers are shared "
    "across scale and late ones are not, the blue line lies above."
)
HOW_ODD_READS = (
    "For each shape, the similarity of all pairs of *other* shapes is fitted by their sizes, "
    "and this predicts how alike the shape should be to them. Drawn is what it "
    "is beyond that prediction. Bars are how far seeds and prediction reach; "
    "the yardstick is how much members of one shape and different seeds differ."
)
HOW_TWINS_READ = (
    "Two shapes that differ in nothing but the size of their heads. Each is compared with the largest member: "
    "how well its layer can be found there at all. To the right "
    "the loss falls, so that the two are compared at equal loss where the lines lie above one another, "
    "and at equal tokens at their ends."
)
HOW_TRAINING_READS = (
    "How alike each layer is, over training, to what it will be at the end. A layer that settles early reaches 1 early."
)


def whole_family(params: FamilyParams) -> tuple[FigurePart, ...]:
    """Every map of the family, checkpoints included."""
    return (FigurePart("", panels=question.all_panels(params)),)


def _draw(compose: Callable[..., Drawn], store: ResultStore, choice: FigureChoice, look: Look, state: str) -> Drawn:
    return compose(loaded(store, choice.only), look, state)


def _figure(figure_id: str, title: str, compose: Callable[..., Drawn], explain: str) -> Figure:
    return Figure(figure_id, "scaling", title, whole_family, partial(_draw, compose), explain)


def _draw_family(store: ResultStore, choice: FigureChoice, look: Look, state: str) -> Drawn:
    compose = (
        fig3_fig9_fig10_maps.compose_all_layers if choice.view.every_layer else fig3_fig9_fig10_maps.compose_overview
    )
    return compose(loaded(store, choice.only), look, state)


def _family_cards(figure: Figure, choice: FigureChoice) -> tuple[FigureCard, ...]:
    if not choice.view.every_layer:
        return (figure.card(choice),)
    return (figure.card(choice, title="Every layer of every member", explain=HOW_ALL_READS),)


def _draw_pair(store: ResultStore, choice: FigureChoice, look: Look, state: str) -> Drawn:
    (f, g), view = choice.view.models, choice.view
    found = loaded(store, choice.only)
    return fig3_fig9_fig10_maps.compose_pair(store, found, f, g, look, view.relative, state, style=view.style)


def _pair_cards(figure: Figure, choice: FigureChoice) -> tuple[FigureCard, ...]:
    """Within f, within g, and between; none while no two members are chosen."""
    if not choice.view.models:
        return ()
    params, (f, g) = choice.only, choice.view.models
    names = question.short_name(f), question.short_name(g)
    title = f"CKA of {names[0]} and {names[1]}" if f != g else f"CKA within {names[0]}"
    panels = (question.pair_panel(params, *pair) for pair in dict.fromkeys(((f, f), (g, g), (f, g))))
    return (figure.card(choice, title=title, request=request_for((p.comparison for p in panels), params.n_batches)),)


FAMILY = Figure(
    "family",
    "scaling",
    "The family: mean CKA of two models",
    whole_family,
    _draw_family,
    HOW_OVERVIEW_READS,
    uses=("every_layer",),
    split=_family_cards,
)
FAMILY_PAIR = Figure(
    "family-pair",
    "scaling",
    "CKA of two members",
    draw=_draw_pair,
    explain=fig3_fig9_fig10_maps.HOW_BLOCKS_READ,
    uses=("models", "relative", "style"),
    card_id="pair",
    link=LINK,
    split=_pair_cards,
    needs_models=True,
)
ODD = _figure("odd", "Which member is odd?", trends.compose_odd, HOW_ODD_READS)
EARLY = _figure("early", "Early and late layers across scale", trends.compose_early_late, HOW_EARLY_READS)
TREND = _figure("trend", "Similarity within a model, by size and by loss", trends.compose_trends, HOW_TRENDS_READ)
HEADS = _figure("heads", "Is it the head dimension?", training.compose_twins, HOW_TWINS_READ)
TRAINING = _figure("training", "Similarity over training", training.compose_training, HOW_TRAINING_READS)

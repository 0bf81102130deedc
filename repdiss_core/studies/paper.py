"""The paper: its studies, and the one registry of figures. Page, tour, export, warm-up, command line and the map on Home read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from repdiss_core.base.comparison import Request
from repdiss_core.base.errors import unknown_name
from repdiss_core.studies.asymmetry import fig1_curves, fig4_fig5_maps, fig6_learning
from repdiss_core.studies.asymmetry.question import at_depths
from repdiss_core.studies.figure import Figure, FigurePart
from repdiss_core.studies.generalization import chosen_pair, distance_maps, fig2_fig7_curves, fig8_distances
from repdiss_core.studies.generalization import question as generalization
from repdiss_core.studies.pair import difference
from repdiss_core.studies.pair import figures as pair
from repdiss_core.studies.panels import request_for
from repdiss_core.studies.scaling import fig3_fig9_fig10_maps, ours, table1
from repdiss_core.studies.scaling import question as scaling

CITATION = (
    "Brown, Godfrey, Konz, Tu, Kvinge: Understanding the Inner Workings of Language Models Through Representation "
    "Dissimilarity. EMNLP 2023, arXiv 2310.14993."
)


@dataclass(frozen=True)
class StudySpec:
    """One of the paper's three studies."""

    name: str
    section: str
    question: str
    page: str


STUDIES = {
    spec.name: spec
    for spec in (
        StudySpec(
            "asymmetry", "3", "Do SoLU and GeLU models hold the same information?", "pages/1_Activation_asymmetry.py"
        ),
        StudySpec(
            "generalization",
            "4",
            "Where do models that generalize part from those that use a heuristic?",
            "pages/2_Generalization.py",
        ),
        StudySpec("scaling", "5", "How alike are models of one family across scale?", "pages/3_Scaling_families.py"),
    )
}
PAIR = StudySpec("pair", "", "How alike are these two models?", "pages/4_Compare_models.py")
FIGURE_PAGES = {spec.page: spec.name for spec in (*STUDIES.values(), PAIR)}

# In the order of their page; the paper's own are those with a label.
FIGURES: dict[str, Figure] = {
    figure.figure_id: figure
    for figure in (
        fig1_curves.FIG1,
        fig4_fig5_maps.FIG4,
        fig4_fig5_maps.FIG5,
        fig6_learning.FIG6,
        fig2_fig7_curves.FIG2,
        fig2_fig7_curves.FIG7,
        fig8_distances.FIG8,
        distance_maps.DISTANCE_MAP,
        distance_maps.DISTANCE_POINTS,
        chosen_pair.CLASSIFIER_STITCHING,
        chosen_pair.CLASSIFIER_CKA,
        ours.FAMILY,
        ours.FAMILY_PAIR,
        fig3_fig9_fig10_maps.FIG3,
        fig3_fig9_fig10_maps.FIG9,
        fig3_fig9_fig10_maps.FIG10,
        ours.ODD,
        ours.EARLY,
        ours.TREND,
        table1.TABLE1,
        ours.HEADS,
        ours.TRAINING,
        pair.PAIR_MAPS,
        pair.PAIR_CURVE,
        pair.STITCH_CURVES,
        pair.STITCH_MAPS,
        difference.DIFFERENCE,
    )
}

# A study's parameters from one choice (None: the first one); section 3 shows each depth.
_PARAMS: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "asymmetry": at_depths,
    "generalization": lambda params: (params or generalization.Params(),),
    "scaling": lambda params: (params or scaling.Params(),),
    "pair": lambda params: (params,) if params else (),
}


def study_figures(study: str) -> tuple[Figure, ...]:
    """The figures of a study, in the order of its page."""
    return tuple(figure for figure in FIGURES.values() if figure.study == study)


def paper_figures() -> tuple[Figure, ...]:
    """The paper's own, by its numbers, tables last."""
    labelled = [figure for figure in FIGURES.values() if figure.label]
    return tuple(sorted(labelled, key=lambda figure: (figure.table is not None, _number(figure))))


def _number(figure: Figure) -> int:
    return int("".join(c for c in figure.label if c.isdigit()) or 0)


def figure_of(figure_id: str) -> Figure:
    """The figure of that id; "Fig 4", "figure4" and "4" are understood too."""
    plain = figure_id.lower().replace(" ", "").replace("figure", "fig")
    plain = f"fig{plain}" if plain.isdigit() else plain
    if plain not in FIGURES:
        raise unknown_name(
            "figure", figure_id, [f.figure_id for f in paper_figures()], "python -m repdiss_core list figures"
        )
    return FIGURES[plain]


def study_params(study: str, params: Any = None) -> tuple[Any, ...]:
    """What a study's figures take for one choice of parameters; None takes the bundled models."""
    return _PARAMS[study](params)


def figure_parts(figure_id: str, params: Any = None) -> tuple[FigurePart, ...]:
    """What a figure is made of, at the study's parameters (None takes the defaults of the bundled models)."""
    figure = figure_of(figure_id)
    fitting = filter(figure.fits, study_params(figure.study, params))
    return tuple(part for chosen in fitting for part in figure.parts(chosen))


def figures_request(figure_ids: Iterable[str], params: Any) -> Request | None:
    """One request for several figures of one study; None where they need nothing computed."""
    comparisons = [c for figure_id in figure_ids for part in figure_parts(figure_id, params) for c in part.comparisons]
    return request_for(comparisons, params.n_batches) if comparisons else None

"""The paper's studies, and the one registry of figures.

Page, tour, export, warm-up, command line and the map on Home read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from repdiss_core.base.comparison import Request
from repdiss_core.base.errors import unknown_name
from repdiss_core.studies.figure import Figure
from repdiss_core.studies.panels import FigurePart, request_for

CITATION = (
    "Brown, Godfrey, Konz, Tu, Kvinge: Understanding the Inner Workings of Language Models Through Representation "
    "Dissimilarity. EMNLP 2023, arXiv 2310.14993."
)


@dataclass(frozen=True)
class StudySpec:
    """A study: a page of figures that answer one question.

    Args:
        section: of the paper; "" where the paper has none.
        page: path of its page.
        label: what links to the page say.
        params: "module:name" under `studies` of the function that takes one choice of parameters, or None for the
            first one, to those of each set of figures on the page.
    """

    name: str
    section: str
    question: str
    page: str
    label: str
    params: str


STUDIES = {
    spec.name: spec
    for spec in (
        StudySpec(
            "asymmetry",
            "3",
            "Do SoLU and GeLU models hold the same information?",
            "pages/1_Activation_asymmetry.py",
            "Activation asymmetry",
            "asymmetry.question:at_depths",
        ),
        StudySpec(
            "generalization",
            "4",
            "Where do models that generalize part from those that use a heuristic?",
            "pages/2_Generalization.py",
            "Generalization",
            "generalization.question:one_or_first",
        ),
        StudySpec(
            "scaling",
            "5",
            "How alike are models of one family across scale?",
            "pages/3_Scaling_families.py",
            "Scaling families",
            "scaling.question:one_or_first",
        ),
    )
}
PAIR = StudySpec(
    "pair",
    "",
    "How alike are these two models?",
    "pages/4_Compare_models.py",
    "Compare models",
    "pair.question:one_or_none",
)
FIGURE_PAGES = {spec.page: spec.name for spec in (*STUDIES.values(), PAIR)}

# One line per figure, in the order of its page: the module under `studies` and the name in it.
_ENTRIES = (
    "asymmetry.fig1_curves:FIG1",
    "asymmetry.fig4_fig5_maps:FIG4",
    "asymmetry.fig4_fig5_maps:FIG5",
    "asymmetry.fig6_learning:FIG6",
    "generalization.fig2_fig7_curves:FIG2",
    "generalization.fig2_fig7_curves:FIG7",
    "generalization.fig8_distances:FIG8",
    "generalization.distance_maps:DISTANCE_MAP",
    "generalization.distance_maps:DISTANCE_POINTS",
    "generalization.chosen_pair:CLASSIFIER_STITCHING",
    "generalization.chosen_pair:CLASSIFIER_CKA",
    "scaling.ours:FAMILY",
    "scaling.ours:FAMILY_PAIR",
    "scaling.fig3_fig9_fig10_maps:FIG3",
    "scaling.fig3_fig9_fig10_maps:FIG9",
    "scaling.fig3_fig9_fig10_maps:FIG10",
    "scaling.ours:ODD",
    "scaling.ours:EARLY",
    "scaling.ours:TREND",
    "scaling.table1:TABLE1",
    "scaling.ours:HEADS",
    "scaling.ours:TRAINING",
    "scaling.real_models:FIGURE",
    "pair.figures:PAIR_MAPS",
    "pair.figures:PAIR_CURVE",
    "pair.figures:STITCH_CURVES",
    "pair.figures:STITCH_MAPS",
    "pair.difference:DIFFERENCE",
)
FIGURES: dict[str, Figure] = {
    figure.figure_id: figure for figure in (resolve_name(f"repdiss_core.studies.{entry}") for entry in _ENTRIES)
}


def paper_studies() -> tuple[StudySpec, ...]:
    """The sections of the paper."""
    return tuple(study for study in STUDIES.values() if study.section)


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
    spec = PAIR if study == PAIR.name else STUDIES[study]
    of_choice: Callable[[Any], tuple[Any, ...]] = resolve_name(f"repdiss_core.studies.{spec.params}")
    return of_choice(params)


def figure_parts(figure_id: str, params: Any = None) -> tuple[FigurePart, ...]:
    """What a figure is made of, at the study's parameters (None takes the defaults of the bundled models)."""
    figure = figure_of(figure_id)
    fitting = filter(figure.fits, study_params(figure.study, params))
    return tuple(part for chosen in fitting for part in figure.parts(chosen))


def figures_request(figure_ids: Iterable[str], params: Any) -> Request | None:
    """One request for several figures of one study; None where they need nothing computed."""
    figure_ids = tuple(figure_ids)
    comparisons = [c for figure_id in figure_ids for part in figure_parts(figure_id, params) for c in part.comparisons]
    n_batches = max((figure_of(figure_id).n_batches or params.n_batches for figure_id in figure_ids), default=0)
    return request_for(comparisons, n_batches) if comparisons else None

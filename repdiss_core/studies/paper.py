"""The paper's map: every figure and table, the study it belongs to, what it is made of, and where we depart from the print."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from repdiss_core.base.comparison import Comparison
from repdiss_core.base.errors import UserError, unknown_name
from repdiss_core.studies.panels import CurveSpec, MatrixPanel

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


@dataclass(frozen=True)
class FigureSpec:
    """A figure or table of the paper.

    Args:
        kind: "curves", "learning", "heatmaps", "grid" (rows of maps), "population" or "table".
        shows: what the print shows, in our words.
        departures: where ours differs, beyond models and data.
        available: whether this version computes it.
    """

    figure_id: str
    label: str
    study: str
    kind: str
    title: str
    shows: str
    departures: tuple[str, ...] = ()
    available: bool = False

    @property
    def section(self) -> str:
        """Section of the paper."""
        return STUDIES[self.study].section

    @property
    def page(self) -> str:
        """Path of the page that shows it."""
        return STUDIES[self.study].page


@dataclass(frozen=True)
class FigurePart:
    """One panel group of a figure: heatmaps, the curves of one depth, or the pairs of a population."""

    title: str
    panels: tuple[MatrixPanel, ...] = ()
    curves: tuple[CurveSpec, ...] = ()
    pairs: tuple[Comparison, ...] = ()

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Everything that this part needs computed."""
        return (
            tuple(p.comparison for p in self.panels)
            + tuple(c for curve in self.curves for c in curve.comparisons)
            + self.pairs
        )


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

_STITCH = (
    "Adds two controls that the paper lacks: the same activation function with another seed.",
    "Adds the closed-form least-squares stitch.",
)
_POPULATION = (
    "Adds a test that splits the models at random: the paper's intervals treat pairs that share models as independent.",
)
_SCALING = (
    "The printed centring lacks 1/n and the printed ratio a square root; both are put right.",
    "Adds the blocks found by an exact segmentation, as outlines, where a model has at least 6 layers.",
)
_CKA = ("The printed centring lacks 1/n and the printed ratio a square root; both are put right.",)

FIGURES = {
    spec.figure_id: spec
    for spec in (
        FigureSpec("fig1", "Fig 1", "asymmetry", "curves", "Stitching loss by layer",
                   "Validation loss after stitching 3- and 4-layer SoLU and GeLU models at each layer.", _STITCH, True),
        FigureSpec("fig2", "Fig 2", "generalization", "population", "Identity stitching and CKA by layer",
                   "Accuracy after identity stitching, and CKA, within and between two groups of fine-tuned BERTs.", _POPULATION, True),
        FigureSpec("fig3", "Fig 3", "scaling", "grid", "CKA of four members against the largest",
                   "Heatmaps of pythia-1b, 1.4b, 2.8b and 6.9b against pythia-6.9b.", _SCALING, True),
        FigureSpec("fig4", "Fig 4", "asymmetry", "heatmaps", "CKA of 3-layer models",
                   "Heatmaps within GeLU, within SoLU, and between them.", _CKA, True),
        FigureSpec("fig5", "Fig 5", "asymmetry", "heatmaps", "CKA of 4-layer models",
                   "Heatmaps within GeLU, within SoLU, and between them.", _CKA, True),
        FigureSpec("fig6", "Fig 6", "asymmetry", "learning", "Learning curves of the stitching layers",
                   "Training loss of each stitching layer by step.", (), True),
        FigureSpec("fig7", "Fig 7", "generalization", "population", "Identity stitching on lexical overlap",
                   "As Figure 2 left, on the lexical-overlap set.", _POPULATION, True),
        FigureSpec("fig8", "Fig 8", "generalization", "population", "Distances between models",
                   "Distribution of the CKA distance within and between the two groups.", _POPULATION, True),
        FigureSpec("fig9", "Fig 9", "scaling", "grid", "CKA of all pairs of three members",
                   "Heatmaps of all pairs of pythia-1b, 1.4b and 2.8b.", _SCALING, True),
        FigureSpec("fig10", "Fig 10", "scaling", "grid", "CKA within small members",
                   "Heatmaps within pythia-70m, 160m, 410m and 1b.", _SCALING, True),
        FigureSpec("table1", "Table 1", "scaling", "table", "Head dimensions of the family",
                   "d_head and rotary_dim of the eight Pythia models.", (), True),
    )
}  # fmt: skip


def figure_spec(figure_id: str) -> FigureSpec:
    """The figure of that id; "Fig 4", "figure4" and "4" are understood too."""
    plain = figure_id.lower().replace(" ", "").replace("figure", "fig")
    plain = f"fig{plain}" if plain.isdigit() else plain
    if plain not in FIGURES:
        raise unknown_name("figure", figure_id, list(FIGURES), "python -m repdiss_core list figures")
    return FIGURES[plain]


def figure_parts(figure_id: str, params: Any = None) -> tuple[FigurePart, ...]:
    """What a figure is made of, at the study's parameters (None takes the defaults of the bundled models).

    Raises:
        UserError: this version does not compute that figure.
    """
    spec = figure_spec(figure_id)
    if not spec.available:
        ready = ", ".join(f.figure_id for f in FIGURES.values() if f.available)
        raise UserError(f"{spec.label} ({spec.title}) is not built in this version. Figures that are: {ready}.")
    return _PARTS[spec.study](spec, params)


def _asymmetry_parts(spec: FigureSpec, params: Any) -> tuple[FigurePart, ...]:
    from repdiss_core.studies.asymmetry import question as asymmetry

    params = params or asymmetry.Params()
    if spec.kind == "heatmaps":
        chosen = _at_depth(params, 3 if spec.figure_id == "fig4" else 4)
        return (FigurePart(f"{chosen.depth}-layer models", panels=asymmetry.cka_panels(chosen)),)
    parts = []
    for depth in asymmetry.DEPTHS:
        chosen = _at_depth(params, depth)
        curves = asymmetry.paper_curves(chosen)
        if spec.kind == "curves":
            curves += asymmetry.control_curves(chosen)
        parts.append(FigurePart(f"{depth}-layer models", curves=curves))
    return tuple(parts)


def _at_depth(params: Any, depth: int) -> Any:
    """The same choice at another depth; a seed that has no model there falls back to 0."""
    from repdiss_core.studies.asymmetry.question import seeds

    models = params.preset.models
    seed_gelu = params.seed_gelu if params.seed_gelu in seeds("gelu", depth, models) else 0
    seed_solu = params.seed_solu if params.seed_solu in seeds("solu", depth, models) else 0
    return replace(params, depth=depth, seed_gelu=seed_gelu, seed_solu=seed_solu)


def _generalization_parts(spec: FigureSpec, params: Any) -> tuple[FigurePart, ...]:
    from repdiss_core.studies.generalization import question as study

    params = params or study.Params()
    groups = study.group_models(params)
    stitched = {name: tuple(study.stitched_pairs(params, name, groups).values()) for name in params.sets}
    if spec.figure_id == "fig7":
        return (FigurePart("Identity stitching, lexical overlap", pairs=stitched[params.overlap]),)
    cka = {name: tuple(study.cka_pairs(params, name).values()) for name in params.sets}
    if spec.figure_id == "fig8":
        return tuple(FigurePart(f"Distances, {study.SET_LABELS[name]}", pairs=cka[name]) for name in params.sets)
    return (
        FigurePart("Identity stitching, in distribution", pairs=stitched[study.IN_DISTRIBUTION]),
        FigurePart("CKA by layer", pairs=tuple(c for name in params.sets for c in cka[name])),
    )


def _scaling_parts(spec: FigureSpec, params: Any) -> tuple[FigurePart, ...]:
    from repdiss_core.studies.scaling import question as scaling

    if spec.kind == "table":
        return ()
    rows = scaling.figure_panels(params or scaling.Params(), spec.figure_id)
    return tuple(FigurePart("", panels=row) for row in rows)


_PARTS = {"scaling": _scaling_parts, "asymmetry": _asymmetry_parts, "generalization": _generalization_parts}

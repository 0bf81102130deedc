"""Pretrained models that packages carry: the map within each, of all tokens and without massive ones, and its blocks.

They are not the paper's, and they are the same whatever the page's dropdowns say: what is shown is what ships.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core.analysis.blocks import SegmentationInterval, segment_batches
from repdiss_core.hub.packages import PACKAGES
from repdiss_core.models import model_spec, packages
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.caption import Caption
from repdiss_core.studies.claims import Claim, Question, claims_on
from repdiss_core.studies.common import CkaView, bundled_preset, cka_panel, data_id
from repdiss_core.studies.drawn import Blocks, Drawn, compose_grid
from repdiss_core.studies.evidence import Basis, Effect, Evidence, Obstacle
from repdiss_core.studies.figure import Figure, FigureChoice
from repdiss_core.studies.panels import FigurePart, MatrixPanel, MatrixView, load_matrix
from repdiss_core.studies.reading import LINK
from repdiss_core.studies.scaling.claims import CLAIMS, block_effects
from repdiss_core.studies.scaling.family_maps import PairMap, load_family
from repdiss_core.studies.scaling.fig3_fig9_fig10_maps import HOW_BLOCKS_READ
from repdiss_core.studies.scaling.stored import FamilyResults

if TYPE_CHECKING:
    from repdiss_core.plots.theme import Look

LABEL = "Real models"
N_BATCHES = 16
HEIGHT = 340
TREATMENTS = {"kept": "all tokens", "dropped": "without massive tokens"}
SETTING = replace(
    bundled_preset(),
    cka_batches=N_BATCHES,
    departures=(
        "None of these models is the paper's.",
        "Batches are 8 sequences of 128 tokens; the paper's are 1 sequence of 1024.",
        "The text is docstrings of Python packages, read through each model's own tokenizer; the paper's is the Pile.",
        f"CKA maps rest on {N_BATCHES} batches; the paper's on 1000.",
    ),
)
HOW_READ = (
    "Each model twice: with all tokens on the left, without massive tokens on the right, which are more than five "
    f"times as long as the median token in some layer. {HOW_BLOCKS_READ}"
)


def names() -> tuple[str, ...]:
    """The models that are shown."""
    return packages.names()


def panel(package: str, massive: str) -> MatrixPanel:
    """The map within the model of a package."""
    name = model_spec(f"pypi:{package}").name
    data = data_id(SETTING, SETTING.eval_split, model=name)
    view = CkaView(n_batches=N_BATCHES, massive=massive)
    return cka_panel(name, name, view, data, f"{packages.LABELS[package]}, {TREATMENTS[massive]}")


def parts(_params: Any = None) -> tuple[FigurePart, ...]:
    """A row of two maps a model."""
    return tuple(FigurePart("", panels=tuple(panel(name, massive) for massive in TREATMENTS)) for name in PACKAGES)


def own_map(store: ResultStore, shown: MatrixPanel) -> PairMap | None:
    """What is stored of one map, batch by batch."""
    depth = model_spec(shown.row_name).n_layers
    maps = load_family(store, (shown.row_name,), (depth,), (shown,), N_BATCHES, CkaView().reduction)
    return maps.map(shown.row_name, shown.row_name)


def blocks(store: ResultStore, shown: MatrixPanel) -> SegmentationInterval | None:
    """The blocks of one map; None where it is not stored."""
    return _blocks(store, shown, store.version)


@lru_cache(maxsize=32)
def _blocks(store: ResultStore, shown: MatrixPanel, _version: tuple[int, ...]) -> SegmentationInterval | None:
    found = own_map(store, shown)
    return None if found is None else segment_batches(found.values)


def real_claims(store: ResultStore) -> tuple[Claim, ...]:
    """The claims of section 5 that can be asked of a model alone: its block structure."""
    asked = (question for question in CLAIMS if question.id == "block-structure")
    return claims_on("scaling", (_of_real(question) for question in asked), store)


def _of_real(question: Question[FamilyResults]) -> Question[ResultStore]:
    return Question(
        question.id, str(question.statement), "real", question.rule, question.figure, _block_structure,
        FIGURE.figure_id, question.ours, question.phrase,
    )  # fmt: skip


def _block_structure(store: ResultStore) -> Evidence | Obstacle:
    effects: list[Effect] = []
    shown = [one for part in parts() for one in part.panels]
    for one in shown:
        found = blocks(store, one)
        if found is None:
            return Obstacle("not-computed", "own map", {"member": one.title})
        effects += block_effects(one.title, found)
    return Evidence(tuple(effects), Basis("real maps", {"maps": len(shown), "models": len(PACKAGES)}))


def draw(store: ResultStore, choice: FigureChoice, look: Look, state: str) -> Drawn:
    """Both maps of every model, blocks outlined."""

    def outlined(view: MatrixView) -> Blocks:
        found = blocks(store, view.panel)
        return () if found is None else found.segmentation.blocks

    drawn = compose_grid(
        store, parts(), look, SETTING, CkaView().reduction, N_BATCHES, state, HEIGHT, outlined,
        choice.view.relative, choice.view.style,
    )  # fmt: skip
    said = tuple(_massive(store, name) for name in PACKAGES)
    return replace(drawn, caption=_caption(drawn.caption), notes=said)


def _caption(usual: Caption) -> Caption:
    """The usual caption with each model's package, version, weights and licence; both treatments stand side by side, so
    that it offers no other one."""
    facts = "; ".join(
        f"{packages.facts(package)}, {packages.spec_of(package).architecture}" for package in PACKAGES.values()
    )
    return replace(
        usual,
        models=facts,
        data=f"docstrings, {SETTING.eval_split} split",
        estimator=f"{usual.estimator}, with all tokens and without massive ones",
        deciding="",
    )


def _massive(store: ResultStore, package: str) -> str:
    """How many tokens of a model are massive, and the cell that they change most."""
    found = own_map(store, panel(package, "dropped"))
    label = packages.LABELS[package]
    kept = own_map(store, panel(package, "kept"))
    if found is None or kept is None:
        return f"{label} is not computed yet."
    rows, massive = kept.rows - kept.dropped, found.dropped - kept.dropped  # special tokens are no rows of either
    if not massive:
        return f"{label} has no massive token among {rows:,} here: both maps are the same."
    change = np.abs(kept.mean - found.mean)
    row, column = np.unravel_index(int(change.argmax()), change.shape)
    peak = max(float(one.max()) for one in found.peaks) if found.peaks is not None else float("nan")
    return (
        f"{label}: {massive:,} of {rows:,} tokens are massive, up to {peak:,.0f} times the median length; layers "
        f"{min(row, column) + 1} and {max(row, column) + 1} have CKA {words(kept.mean[row, column])} with them and "
        f"{words(found.mean[row, column])} without."
    )


def words(value: float) -> str:
    """A CKA value in a sentence."""
    return f"{value:.2f}".replace("-", "\u2212")


def _thumbnail(store: ResultStore) -> str:
    from repdiss_core.plots.thumbnail import heatmaps_svg

    shown = (one for part in parts() for one in part.panels)
    return heatmaps_svg([load_matrix(store, one, CkaView().reduction, N_BATCHES).matrix for one in shown])


FIGURE = Figure(
    "real-models",
    "scaling",
    "Real models: the map within each, with and without massive tokens",
    parts,
    draw,
    HOW_READ,
    shows="SmolLM2-135M-Instruct and all-MiniLM-L6-v2, out of packages that anyone can fetch.",
    uses=("relative", "style"),
    link=LINK,
    thumbnail=_thumbnail,
    n_batches=N_BATCHES,
)

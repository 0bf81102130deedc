"""Section 3: do SoLU and GeLU models hold the same information? Figures 1, 4, 5 and 6."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from repdiss_core import hub
from repdiss_core.base.errors import UserError
from repdiss_core.models import MODELS
from repdiss_core.studies import options
from repdiss_core.studies.common import CkaView, bundled_preset, cka_panel, data_id, same_layer_curve
from repdiss_core.studies.panels import CurveSpec, MatrixPanel
from repdiss_core.studies.presets import Preset

DEPTHS = (3, 4)


@dataclass(frozen=True)
class AsymmetryParams:
    """What the page's dropdowns choose.

    Args:
        depth: number of layers of both models, 3 or 4.
        seed_gelu, seed_solu: which of the trained models of each activation function.
        stitch: the name of a stitching preset.
        cka: how CKA is read.
        preset: data and sizes, and whether the models are the bundled ones or the paper's.
        pins: what the hub's revisions stand for here (`hub.stamp`): choices that name its models differ where that
            does.
    """

    depth: int = 3
    seed_gelu: int = options.SEED_GELU.default
    seed_solu: int = options.SEED_SOLU.default
    stitch: str = options.STITCH.default
    cka: CkaView = CkaView()
    preset: Preset = field(default_factory=bundled_preset)
    pins: int = field(default_factory=hub.stamp)

    def __post_init__(self) -> None:
        if self.depth not in DEPTHS:
            raise UserError(
                f"The paper compares 3- and 4-layer models; depth {self.depth} was asked for. Choose 3 or 4."
            )
        for activation, seed in (("gelu", self.seed_gelu), ("solu", self.seed_solu)):
            if seed not in seeds(activation, self.depth, self.preset.models):
                known = ", ".join(map(str, seeds(activation, self.depth, self.preset.models)))
                raise UserError(
                    f"There is no {self.depth}-layer {activation} model with seed {seed}. Seeds that ship: {known}."
                )

    @property
    def n_batches(self) -> int:
        """Batches of a map."""
        return self.cka.n_batches

    @property
    def gelu(self) -> str:
        """Name of the GeLU model."""
        return self.model("gelu", self.seed_gelu)

    @property
    def solu(self) -> str:
        """Name of the SoLU model."""
        return self.model("solu", self.seed_solu)

    def model(self, activation: str, seed: int) -> str:
        """Name of a model of the chosen depth."""
        return model_name(activation, self.depth, seed, self.preset.models)


def at_depths(params: AsymmetryParams | None = None) -> tuple[AsymmetryParams, ...]:
    """The same choice at every depth (None: the first one); a seed that has no model there falls back to 0."""
    return tuple(_at_depth(params or AsymmetryParams(), depth) for depth in DEPTHS)


def _at_depth(params: AsymmetryParams, depth: int) -> AsymmetryParams:
    models = params.preset.models
    seed_gelu = params.seed_gelu if params.seed_gelu in seeds("gelu", depth, models) else 0
    seed_solu = params.seed_solu if params.seed_solu in seeds("solu", depth, models) else 0
    return replace(params, depth=depth, seed_gelu=seed_gelu, seed_solu=seed_solu)


def model_name(activation: str, depth: int, seed: int, models: str = "bundled") -> str:
    """The model of that kind: one of ours, or the paper's (models="paper"), of which there is one each."""
    return f"{activation}-{depth}l" if models == "paper" else f"mini-{activation}-{depth}l-s{seed}"


def seeds(activation: str, depth: int, models: str = "bundled") -> tuple[int, ...]:
    """Seeds that there are of an activation function and depth."""
    if models == "paper":
        return (0,)
    return tuple(seed for seed in range(10) if model_name(activation, depth, seed) in MODELS)


def cka_panels(params: AsymmetryParams) -> tuple[MatrixPanel, ...]:
    """Within GeLU, within SoLU, and between (rows SoLU, columns GeLU): Figure 4 for depth 3, Figure 5 for depth 4."""
    data = data_id(params.preset, params.preset.eval_split, model=params.gelu)
    pairs = (
        (params.gelu, params.gelu, "Within GeLU"),
        (params.solu, params.solu, "Within SoLU"),
        (params.solu, params.gelu, "Between: rows SoLU, columns GeLU"),
    )
    return tuple(cka_panel(f, g, params.cka, data, title) for f, g, title in pairs)


def paper_curves(params: AsymmetryParams) -> tuple[CurveSpec, ...]:
    """The four curves of Figure 1: the two crossings and the two stitches of a model into itself."""
    gelu, solu = params.gelu, params.solu
    rows = (
        ("solu → gelu", solu, gelu, "stitch"),
        ("gelu → solu", gelu, solu, "stitch"),
        ("gelu → itself", gelu, gelu, "identical"),
        ("solu → itself", solu, solu, "identical"),
    )
    return tuple(same_layer_curve(label, f, g, role, params.preset, params.stitch) for label, f, g, role in rows)


def control_curves(params: AsymmetryParams) -> tuple[CurveSpec, ...]:
    """The two controls that the paper lacks: another seed of the same activation function into the chosen model.

    Beside curves of 2000 steps they stay at the quick setting, and their labels say so.
    """
    stitch = "quick" if params.stitch.startswith("reference") else params.stitch
    mark = "" if stitch == params.stitch else " (quick setting)"
    curves = []
    for activation, seed, target in (("gelu", params.seed_gelu, params.gelu), ("solu", params.seed_solu, params.solu)):
        others = [s for s in seeds(activation, params.depth, params.preset.models) if s != seed]
        if others:
            following = next((s for s in others if s > seed), others[0])
            other = params.model(activation, following)
            label = f"{activation} → {activation}, other seed{mark}"
            curves.append(same_layer_curve(label, other, target, "control", params.preset, stitch))
    return tuple(curves)


def curve_between(params: AsymmetryParams, bottom: tuple[str, int], top: tuple[str, int]) -> CurveSpec:
    """The stitches of one model into another, each (activation, seed), at the chosen depth and setting."""
    role = "identical" if bottom == top else "stitch" if bottom[0] != top[0] else "control"
    f, g = (params.model(activation, seed) for activation, seed in (bottom, top))
    return same_layer_curve(f"{f} → {g}", f, g, role, params.preset, params.stitch)


def all_curves(params: AsymmetryParams) -> tuple[CurveSpec, ...]:
    """Every ordered pair of the models of the chosen depth: what the claims over seeds rest on."""
    models = [(kind, seed) for kind in ("gelu", "solu") for seed in seeds(kind, params.depth, params.preset.models)]
    return tuple(curve_between(params, bottom, top) for bottom in models for top in models)

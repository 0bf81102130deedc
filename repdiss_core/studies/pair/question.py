"""Any two models: the maps within each and between them, and stitches from one into the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

from repdiss_core.base.errors import UserError
from repdiss_core.data import dataset_spec
from repdiss_core.data.text_cut import cut_alike
from repdiss_core.measures import measure_spec
from repdiss_core.models import model_spec
from repdiss_core.plots.map_scale import USUAL_STYLE, MapStyle
from repdiss_core.studies.common import CkaView, cka_panel, data_id, resid_mean_of, same_layer_curve
from repdiss_core.studies.panels import CurveSpec, MatrixPanel
from repdiss_core.studies.presets import Preset


@dataclass(frozen=True)
class Pair:
    """Two models and how they are compared and shown.

    Args:
        measure, layers: values of `options.MEASURE` and `options.LAYERS`.
    """

    f: str
    g: str
    measure: str
    layers: str
    quantity: str
    view: CkaView
    stitch: str
    setting: Preset
    pins: int = 0
    style: MapStyle = USUAL_STYLE
    relative: bool = False

    @property
    def n_batches(self) -> int:
        """Batches of a map."""
        return self.view.n_batches


def check_pair(name_f: str, name_g: str, data: str) -> None:
    """Raise a `UserError` unless both models' tokenizers give the data the same tokens."""
    spec_f, spec_g = model_spec(name_f), model_spec(name_g)
    if spec_f.tokenizer == spec_g.tokenizer:
        return
    own_tokens = not (spec_f.tokenizer_repo and spec_g.tokenizer_repo)
    text = None if own_tokens else dataset_spec(data).text
    if own_tokens or not cut_alike(text, spec_f.tokenizer_repo, spec_g.tokenizer_repo):
        raise UserError(
            f"{name_f} and {name_g} have different tokenizers, so the same text gives them different tokens. "
            f"Choose two models of one tokenizer (data: {data})."
        )


def pair_panels(name_f: str, name_g: str, view: CkaView, setting: Preset) -> tuple[MatrixPanel, ...]:
    """Within f, within g, and between (rows f, columns g; both ways where the order counts);
    one map alone where f is g."""
    check_pair(name_f, name_g, setting.data)
    data = data_id(setting, setting.eval_split, model=name_f, partner=name_g)
    view = replace(view, resid_mean=resid_mean_of(view, name_f, name_g))  # the same in all three maps
    within = cka_panel(name_f, name_f, view, data, f"Within {name_f}")
    if name_f == name_g:
        return (within,)
    within_both = within, cka_panel(name_g, name_g, view, data, f"Within {name_g}")
    if measure_spec(view.measure).symmetric:
        return (*within_both, cka_panel(name_f, name_g, view, data, "Between the two"))
    return (
        *within_both,
        cka_panel(name_g, name_f, view, data, f"{name_g} → {name_f}"),
        cka_panel(name_f, name_g, view, data, f"{name_f} → {name_g}"),
    )


def pair_curves(
    name_f: str, name_g: str, setting: Preset, stitch: str, measure: str = "stitching"
) -> tuple[CurveSpec, ...]:
    """f into g and g into f after each layer that both have; one curve alone where f is g."""
    check_pair(name_f, name_g, setting.data)
    role = "identical" if name_f == name_g else "stitch"
    forward = same_layer_curve(f"{name_f} → {name_g}", name_f, name_g, role, setting, stitch, measure)
    if name_f == name_g:
        return (forward,)
    return (forward, same_layer_curve(f"{name_g} → {name_f}", name_g, name_f, role, setting, stitch, measure))


def one_or_none(pair: Pair | None) -> tuple[Pair, ...]:
    """What the figures take for one choice of two models; nothing where none were chosen."""
    return (pair,) if pair else ()

"""Any two models: the maps within each and between them, and stitches from one into the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

from repdiss_core.base.errors import UserError
from repdiss_core.measures import measure_spec
from repdiss_core.plots.map_scale import USUAL_STYLE, MapStyle
from repdiss_core.studies.common import CkaView, cka_panel, data_id, resid_mean_of, same_layer_curve
from repdiss_core.studies.panels import CurveSpec, MatrixPanel
from repdiss_core.studies.presets import Preset
from repdiss_core.studies.rows import TOKEN, check_stitched, in_rows, rows_for


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


def pair_view(
    name_f: str, name_g: str, view: CkaView, setting: Preset, words: int | None = None
) -> tuple[CkaView, Preset]:
    """The view with the rows that two models are compared at, and the setting with its sizes in these rows.

    Args:
        words: of a sequence where rows are words, read of each text where they are texts; None chooses by the models.

    Raises:
        UserError: rows that these models do not have, or sequences as rows where rows are words or texts.
    """
    rows = rows_for(view.rows, name_f, name_g, setting.data)
    if rows != TOKEN and view.flatten != TOKEN:
        raise UserError(
            "Sequences cannot be rows where rows are words or texts. Choose tokens as rows of the feature matrix."
        )
    view = replace(view, rows=rows, resid_mean=resid_mean_of(view, name_f, name_g))  # the same in all three maps
    return view, in_rows(setting, rows, name_f, name_g, words)


def pair_panels(name_f: str, name_g: str, view: CkaView, setting: Preset) -> tuple[MatrixPanel, ...]:
    """Within f, within g, and between (rows f, columns g; both ways where the order counts);
    one map alone where f is g."""
    view, setting = pair_view(name_f, name_g, view, setting)
    data = data_id(setting, setting.eval_split, model=name_f, partner=name_g, rows=view.rows, special=view.special)
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
    check_stitched(name_f, name_g, setting.data)
    role = "identical" if name_f == name_g else "stitch"
    forward = same_layer_curve(f"{name_f} → {name_g}", name_f, name_g, role, setting, stitch, measure)
    if name_f == name_g:
        return (forward,)
    return (forward, same_layer_curve(f"{name_g} → {name_f}", name_g, name_f, role, setting, stitch, measure))


def one_or_none(pair: Pair | None) -> tuple[Pair, ...]:
    """What the figures take for one choice of two models; nothing where none were chosen."""
    return (pair,) if pair else ()

"""What `compare MODEL_F MODEL_G` asks for, and how its results are written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from repdiss_core.base.comparison import Request
from repdiss_core.base.errors import UserError
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies import exports
from repdiss_core.studies.panels import CurveSpec, MatrixPanel, load_curve, load_matrix, request_for
from repdiss_core.studies.presets import Preset, preset


@dataclass(frozen=True)
class PairChoice:
    """One map, or one curve over layer pairs, of model f against model g."""

    request: Request
    panel: MatrixPanel | None
    curve: CurveSpec | None
    reduction: str

    def forms(self, store: ResultStore) -> list[dict[str, Any]]:
        """The stored results as plain JSON types."""
        if self.panel is not None:
            return [exports.matrix_form(load_matrix(store, self.panel, self.reduction, self.request.n_batches))]
        assert self.curve is not None
        return [exports.curve_form(load_curve(store, self.curve, quantity)) for quantity in ("loss", "penalty")]


def choose(
    model_f: str, model_g: str, measure: str, data: str, tokens_per_batch: int, tokens_per_sequence: int, layers: str | None,
    stitch: str, estimator: str, reduction: str, flatten: str, resid_mean: str, batches: int | None, massive: str = "kept", dtype: str = "float32",
) -> PairChoice:  # fmt: skip
    """The choice, checked.

    Raises:
        UserError: unknown names, layers out of range, sizes that do not fit.
    """
    from repdiss_core.studies.common import CkaView, cka_panel, data_id
    from repdiss_core.studies.pair.question import check_pair

    setting = _setting(data, tokens_per_batch, tokens_per_sequence, batches)
    check_pair(model_f, model_g, setting.data)
    if measure == "cka":
        view = CkaView(estimator, flatten, resid_mean, reduction, setting.cka_batches, massive, dtype)
        panel = cka_panel(model_f, model_g, view, data_id(setting, setting.eval_split, model=model_f, partner=model_g))
        return PairChoice(request_for([panel.comparison], setting.cka_batches), panel, None, reduction)
    curve = _curve(model_f, model_g, measure, layers, setting, stitch)
    return PairChoice(request_for(curve.comparisons, setting.stitch_eval_batches), None, curve, reduction)


def _curve(model_f: str, model_g: str, measure: str, layers: str | None, setting: Preset, stitch: str) -> CurveSpec:
    from repdiss_core.studies.common import kind, same_layer_curve, stitch_comparison

    label, role = f"{model_f} → {model_g}", "identical" if model_f == model_g else "stitch"
    if layers is None:
        return same_layer_curve(label, model_f, model_g, role, setting, stitch, measure)
    comparisons = tuple(stitch_comparison(model_f, model_g, pair, setting, stitch, measure) for pair in _pairs(layers))
    return CurveSpec(label, comparisons, role, kind(model_f), kind(model_g))


def _pairs(layers: str) -> list[tuple[int, int]]:
    pairs = []
    for part in layers.split(","):
        numbers = part.split(":")
        if len(numbers) != 2 or not all(n.strip().isdecimal() and len(n) < 6 for n in numbers):
            raise UserError(
                f"--layers {layers[:60]!r}: {part[:20]!r} is not a pair. Write layer of f : layer of g, such as 1:1,2:3."
            )
        pairs.append((int(numbers[0]), int(numbers[1])))
    return pairs


def _setting(data: str, tokens_per_batch: int, tokens_per_sequence: int, batches: int | None) -> Preset:
    from repdiss_core.data import TYPED, dataset_spec

    name, _, split = data.partition("/") if not data.startswith(TYPED) else (data, "", "")
    dataset_spec(name)
    sequences, rest = divmod(tokens_per_batch, tokens_per_sequence)
    if rest or sequences == 0:
        raise UserError(
            f"--tokens-per-batch {tokens_per_batch} is not a multiple of --tokens-per-sequence {tokens_per_sequence}. "
            f"Try {max(1, sequences) * tokens_per_sequence}."
        )
    base = preset("bundled") if name == "docstrings" else preset("paper-quick")
    return replace(
        base,
        data=name,
        eval_split=split or base.eval_split,
        sequences_per_batch=sequences,
        tokens_per_sequence=tokens_per_sequence,
        cka_batches=batches or base.cka_batches,
        stitch_eval_batches=batches or base.stitch_eval_batches,
    )

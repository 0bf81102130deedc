"""What `compare MODEL_F MODEL_G` asks for, and how its results are written."""

from __future__ import annotations

from dataclasses import dataclass, replace

from repdiss_core.base.comparison import Request, Setting
from repdiss_core.base.errors import UserError
from repdiss_core.measures import MeasureSpec, measure_spec
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies import options
from repdiss_core.studies.chance_level import check_has_level
from repdiss_core.studies.pair.located import located
from repdiss_core.studies.panels import CurveSpec, MatrixPanel, load_curve, load_matrix, request_for
from repdiss_core.studies.presets import Preset, preset
from repdiss_core.studies.tables import Table, curve_table, map_table


@dataclass(frozen=True)
class PairChoice:
    """Maps, and curves over layer pairs, of model f against model g: one a measure.

    Args:
        shown: a map with its reduction, or a curve, for each measure in the order asked for.
    """

    request: Request
    shown: tuple[tuple[MatrixPanel, str] | CurveSpec, ...]

    def tables(self, store: ResultStore) -> list[Table]:
        """The stored results."""
        tables = []
        for shown in self.shown:
            if isinstance(shown, CurveSpec):
                tables += [curve_table(load_curve(store, shown, quantity)) for quantity in ("loss", "penalty")]
            else:
                tables.append(map_table(load_matrix(store, *shown, self.request.n_batches)))
        return tables

    def sentences(self, store: ResultStore) -> list[str]:
        """What the maps say: where two models of one architecture differ, then whether few tokens decide a map."""
        maps = [one for one in self.shown if not isinstance(one, CurveSpec)]
        found = [located(store, *one, self.request.n_batches) for one in maps]
        found += [load_matrix(store, *one, self.request.n_batches).deciding for one in maps]
        return list(dict.fromkeys(filter(None, found)))


def choose(
    model_f: str, model_g: str, measure: tuple[str, ...], data: str | None, tokens_per_batch: int,
    tokens_per_sequence: int, layers: str | None, stitch: str, estimator: str, reduction: str, flatten: str,
    resid_mean: str, batches: int | None, massive: str = "kept", dtype: str = "float32", own: tuple[str, ...] = (),
    rows: str = "auto", words_per_sequence: int | None = None, chance: bool = False,
    embedding: str = options.EMBEDDING.default, special: str = options.SPECIAL.default,
) -> PairChoice:  # fmt: skip
    """The choice, checked: all measures in one request, so that those of features share their forward passes.

    Args:
        own: "NAME=VALUE" settings of the measures themselves.
        chance: whether each map has its chance level.

    Raises:
        UserError: unknown names, layers out of range, sizes that do not fit, settings that no measure has.
    """
    from repdiss_core.models import model_spec
    from repdiss_core.studies.common import CkaView, cka_panel, data_id
    from repdiss_core.studies.pair.question import pair_view
    from repdiss_core.studies.rows import check_stitched, default_data

    data = data or default_data(model_f, model_g)
    ours = not any(model_spec(name).tokenizer_repo for name in (model_f, model_g))
    setting = _setting(data, tokens_per_batch, tokens_per_sequence, batches, ours)
    specs = [measure_spec(name) for name in measure]
    given = _own(specs, own)
    shown: list[tuple[MatrixPanel, str] | CurveSpec] = []
    for spec in specs:
        if chance:
            check_has_level(spec.short, spec.of_features)
        if spec.of_features:
            chosen = {o.id: given[o.id] for o in spec.options if o.id in given}
            view = CkaView(
                estimator,
                flatten,
                resid_mean,
                reduction,
                setting.cka_batches,
                massive,
                dtype,
                spec.name,
                tuple(chosen.items()),
                rows,
                "level" if chance else "off",
                embedding,
                special,
            )
            view, sizes = pair_view(model_f, model_g, view, setting, words_per_sequence)
            stream = data_id(sizes, setting.eval_split, model=model_f, partner=model_g, rows=view.rows, special=special)
            panel = cka_panel(model_f, model_g, view, stream)
            shown.append((panel, spec.reduction_named(reduction)))
        else:
            check_stitched(model_f, model_g, setting.data)
            shown.append(_curve(model_f, model_g, spec.name, layers, setting, stitch))
    comparisons = [
        c for each in shown for c in (each.comparisons if isinstance(each, CurveSpec) else each[0].comparisons)
    ]
    maps = any(spec.of_features for spec in specs)
    return PairChoice(
        request_for(comparisons, setting.cka_batches if maps else setting.stitch_eval_batches), tuple(shown)
    )


def _own(specs: list[MeasureSpec], own: tuple[str, ...]) -> dict[str, Setting]:
    """The values of settings by name, each read by the option that a measure declares."""
    declared = {o.id: o for spec in specs for o in spec.options}
    values: dict[str, Setting] = {}
    for text in own:
        name, _, value = text.partition("=")
        if name not in declared:
            raise UserError(
                f"--set {text[:40]}: these measures have no setting {name[:20]!r}; "
                f"they have {', '.join(declared) or 'none'}."
            )
        values[name] = declared[name].parse(value)
    return values


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
                f"--layers {layers[:60]!r}: {part[:20]!r} is not a pair. Write layer of f : "
                "layer of g, such as 1:1,2:3."
            )
        pairs.append((int(numbers[0]), int(numbers[1])))
    return pairs


def _setting(data: str, tokens_per_batch: int, tokens_per_sequence: int, batches: int | None, ours: bool) -> Preset:
    from repdiss_core.data import TYPED, dataset_spec

    name, _, split = data.partition("/") if not data.startswith(TYPED) else (data, "", "")
    dataset_spec(name)
    sequences, rest = divmod(tokens_per_batch, tokens_per_sequence)
    if rest or sequences == 0:
        raise UserError(
            f"--tokens-per-batch {tokens_per_batch} is not a multiple of --tokens-per-sequence {tokens_per_sequence}. "
            f"Try {max(1, sequences) * tokens_per_sequence}."
        )
    base = preset("bundled") if name == "docstrings" and ours else preset("paper-quick")
    return replace(
        base,
        data=name,
        eval_split=split or base.eval_split,
        sequences_per_batch=sequences,
        tokens_per_sequence=tokens_per_sequence,
        cka_batches=batches or base.cka_batches,
        stitch_eval_batches=batches or base.stitch_eval_batches,
    )

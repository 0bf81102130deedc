"""How every study names models, data and comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from repdiss_core.analysis.chance import check_batches
from repdiss_core.base.comparison import Comparison, DataId, ModelId, Setting, in_order
from repdiss_core.base.crossed import SETTING, WINDOW
from repdiss_core.base.errors import UserError
from repdiss_core.base.layer_pairs import OneCut
from repdiss_core.base.option import Option
from repdiss_core.data import SPECIAL_IN, bound, by_rows, content_id, tokenizer
from repdiss_core.data.text_cut import common_source
from repdiss_core.measures import MEASURES, MeasureSpec, measure_spec, spec_of, stitch_settings
from repdiss_core.measures.massive import MULTIPLE, check_choice
from repdiss_core.measures.spec import first_layer
from repdiss_core.models import model_spec
from repdiss_core.models.text_tokenizers import tokenizers_setting
from repdiss_core.studies import options
from repdiss_core.studies.measure_options import own_options
from repdiss_core.studies.panels import CurveSpec, MatrixPanel
from repdiss_core.studies.presets import STITCH_PRESETS, Preset, StitchPreset, preset, stitch_preset
from repdiss_core.studies.rows import TOKEN, UNITS


@dataclass(frozen=True)
class CkaView:
    """How CKA is read: estimator, flatten, resid_mean and massive enter the key;
    reduction and n_batches are of the view.

    `resid_mean` is what is asked for: where one of two models reads the mean, it is kept in both (`resid_mean_of`).
    `massive` says what becomes of massive tokens: "kept", "dropped" or "normalised" (see `measures.massive`); `dtype`
    is that of the forward pass. `measure` is another measure of features than CKA, and `chosen` the values of its own
    options by id. `rows` are tokens, words or texts (`studies.rows`); "auto" is what a page asks for, which `rows_for`
    settles. `chance` is a value of `options.CHANCE`: what it asks for has a key of its own. `embedding` and `special`
    are values of `options.EMBEDDING` and `options.SPECIAL`; the latter enters the name of the data (`data_id`).
    """

    estimator: str = options.ESTIMATOR.default
    flatten: str = options.FLATTEN.default
    resid_mean: str = options.RESID_MEAN.default
    reduction: str = options.REDUCTION.default
    n_batches: int = options.BATCHES.default
    massive: str = options.MASSIVE.default
    dtype: str = "float32"
    measure: str = "cka"
    chosen: tuple[tuple[str, Setting], ...] = ()
    rows: str = TOKEN
    chance: str = options.CHANCE.default
    embedding: str = options.EMBEDDING.default
    special: str = options.SPECIAL.default

    @property
    def settings(self) -> tuple[tuple[str, Setting], ...]:
        """What enters the key of a comparison; maps with all tokens keep the key that they had before there was a
        choice."""
        own = {"estimator": self.estimator, **dict(self.chosen)}
        chosen: tuple[tuple[str, Setting], ...] = (
            *((o.id, own.get(o.id, o.default)) for o in measure_spec(self.measure).options),
            ("flatten", self.flatten),
            *((("rows", self.rows),) if self.rows != TOKEN else ()),
        )
        if self.embedding != options.EMBEDDING.default:
            chosen += (("embedding", self.embedding),)
        if self.massive == "kept":
            return chosen
        check_choice(self.massive, self.flatten)
        chosen += (("massive", self.massive),)
        return (*chosen, ("massive_multiple", MULTIPLE)) if self.massive == "dropped" else chosen


def view_fields(spec: MeasureSpec, ask: Callable[[Option], Any]) -> dict[str, Any]:
    """The fields of a view that name a measure and its own options; {} for CKA, whose estimator is a field by itself.

    Args:
        ask: the value of an option, from a picker or an address.
    """
    if spec.name == "cka" or not spec.of_features:
        return {}
    asked = ((o.id, ask(shown)) for o, shown in zip(spec.options, own_options(spec), strict=True))
    return {"measure": spec.name, "chosen": tuple(asked)}


def model_id(name: str) -> ModelId:
    """The model of that name with the hash of its weights."""
    return ModelId(name, model_spec(name).weights)


def data_id(
    setting: Preset,
    split: str,
    seed: int = 0,
    model: str = "",
    partner: str = "",
    rows: str = TOKEN,
    special: str = options.SPECIAL.default,
) -> DataId:
    """The stream that a preset evaluates on (split "eval") or trains phi on (split "phi").

    Args:
        model: one of those that read it, whose tokenizer cuts it; "" for the bundled models.
        partner: the model that it is compared with; where both tokenizers cut alike but put other tokens between
            documents, the data is the same whichever of the two comes first.
        rows: words and texts are the same data for all models; the setting then has its sizes in words
            (`rows.in_rows`).
        special: whether an encoder's special tokens are rows of the features, a value of `options.SPECIAL`.

    Raises:
        UserError: the data's tokens are not those of the model.
    """
    if rows != TOKEN:
        name = by_rows(setting.data, UNITS[rows])
        content = content_id(name, split)
        return DataId(name, split, content, setting.sequences_per_batch, setting.tokens_per_sequence, seed)
    source = model_spec(model).tokenizer_repo if model else ""
    if partner and partner != model and source and model_spec(partner).tokenizer_repo:
        source = common_source(source, model_spec(partner).tokenizer_repo)
    name = bound(setting.data, source)
    name += SPECIAL_IN if special == "kept" and source and tokenizer.is_encoder(source) else ""
    return DataId(name, split, content_id(name, split), setting.sequences_per_batch, setting.tokens_per_sequence, seed)


def n_rows(comparison: Comparison, name: str) -> int:
    """How many layers of a model a comparison's map shows."""
    return model_spec(name).n_layers + 1 - first_layer(comparison)


def resid_mean_of(view: CkaView, *names: str) -> str:
    """What becomes of each token's mean over d_model when these models are compared:
    as asked for, or "kept" where one of them reads it."""
    return view.resid_mean if all(view.resid_mean in model_spec(name).resid_means for name in names) else "kept"


def cka_panel(name_f: str, name_g: str, view: CkaView, data: DataId, title: str = "") -> MatrixPanel:
    """The heatmap of f (rows) against g (columns), by the measure of the view.

    Raises:
        UserError: the measure has no such settings, or no chance level at so few batches.
    """
    spec = measure_spec(view.measure)
    comparison, swapped = in_order(
        spec.name,
        spec.symmetric,
        model_id(name_f),
        model_id(name_g),
        data,
        resid_mean=resid_mean_of(view, name_f, name_g),
        dtype=view.dtype,
        measure_version=spec.version,
        settings=(*view.settings, *_tokenizers(view, name_f, name_g)),
    )
    spec.check(comparison)
    panel = MatrixPanel(title or f"{name_f} × {name_g}", comparison, swapped, name_f, name_g)
    return panel if view.chance == options.CHANCE.default else _with_chance(panel, view)


def _with_chance(panel: MatrixPanel, view: CkaView) -> MatrixPanel:
    """The panel with the comparison that its chance level rests on."""
    crossed = replace(panel.comparison, settings=(*panel.comparison.settings, (SETTING, WINDOW)))
    spec_of(crossed).check(crossed)
    check_batches(view.n_batches, WINDOW)
    return replace(panel, chance=crossed, corrected=view.chance == "corrected")


def _tokenizers(view: CkaView, *names: str) -> tuple[tuple[str, Setting], ...]:
    """What rows that are no tokens add to a key: which tokenizers find them."""
    return () if view.rows == TOKEN else (("tokenizers", tokenizers_setting(*names)),)


def token_comparison(
    f: tuple[str, int], g: tuple[str, int], view: CkaView, data: DataId, batch: int = 0
) -> tuple[Comparison, bool]:
    """The alignment of the tokens of one batch between two layers,
    and whether the two sides were exchanged to reach canonical order.

    Args:
        f, g: (model, layer counted from 1).
        batch: counted from 0.

    Raises:
        UserError: a layer out of range, or rows that are no tokens.
    """
    if view.rows != TOKEN:
        raise UserError(
            "Single tokens cannot be laid beside each other where rows are words or texts: the two models have other "
            "tokens. Compare two models of one tokenizer."
        )
    for name, layer in (f, g):
        n_layers = model_spec(name).n_layers
        if not 1 <= layer <= n_layers:
            raise UserError(
                f"{name} has layers 1 to {n_layers}; layer {layer} was asked for. Choose one in that range."
            )
    swapped = g < f
    first, second = (g, f) if swapped else (f, g)
    made = Comparison(
        "token_alignment", model_id(first[0]), model_id(second[0]), data, OneCut(first[1], second[1]),
        resid_mean=resid_mean_of(view, f[0], g[0]), dtype=view.dtype,
        measure_version=MEASURES["token_alignment"].version, settings=(("batch", batch),),
    )  # fmt: skip
    return made, swapped


def stitch_comparison(
    name_f: str, name_g: str, pair: tuple[int, int], setting: Preset, stitch: str, measure: str = "stitching"
) -> Comparison:
    """The stitch of f after layer l into g after layer m, pair = (l, m).

    Args:
        setting: the preset that names the data.
        stitch: the name of a stitching preset; without meaning for identity stitching.

    Raises:
        UserError: a layer out of range.
    """
    for name, layer in ((name_f, pair[0]), (name_g, pair[1])):
        n_layers = model_spec(name).n_layers
        if not 0 <= layer <= n_layers:
            raise UserError(
                f"{name} has layers 0 (embedding) to {n_layers}; layer {layer} was asked for. Choose one in that range."
            )
    _check_heads(name_f, name_g)
    f, g = model_id(name_f), model_id(name_g)
    data = data_id(setting, setting.eval_split, model=name_f, partner=name_g)
    # A stitched model runs on the raw residual stream.
    fields: dict[str, Any] = {"resid_mean": "kept", "measure_version": MEASURES[measure].version}
    if measure == "stitching":
        phi = data_id(setting, setting.phi_split, model=name_f, partner=name_g)
        made = stitch_settings.stitch_comparison(f, g, data, *pair, stitch_preset(stitch).settings, phi, **fields)
    else:
        made = stitch_settings.identity_comparison(f, g, data, *pair, **fields)
    return replace(made, settings=(*made.settings, ("eval_batches", setting.stitch_eval_batches)))


def stitch_preset_of(comparison: Comparison) -> StitchPreset | None:
    """The preset that a stitch is trained with, None for settings of its own."""
    fits = (
        preset
        for preset in STITCH_PRESETS.values()
        if all(comparison.setting(name) == value for name, value in asdict(preset.settings).items())
    )
    return next(fits, None)


def phi_words(comparison: Comparison) -> str:
    """What phi is and how it is trained, for a caption."""
    preset = stitch_preset_of(comparison)
    return f"phi = LayerNorm + affine, {preset.label if preset else 'own settings'}"


def _check_heads(*names: str) -> None:
    """Raise a `UserError` where a model predicts no tokens, so that a stitch into or out of it has no loss."""
    for name in names:
        if model_spec(name).reads_both_ways:
            raise UserError(
                f"{name} is an encoder without a head that predicts the next token, so that it is not stitched. "
                "Compare it by its features: "
                "measure cka."
            )


def same_layer_curve(
    label: str, name_f: str, name_g: str, role: str, setting: Preset, stitch: str, measure: str = "stitching"
) -> CurveSpec:
    """The stitches of f into g after the same layer l = m, for l = 1 … the shallower model's depth."""
    spec_f, spec_g = model_spec(name_f), model_spec(name_g)
    layers = range(1, min(spec_f.n_layers, spec_g.n_layers) + 1)
    comparisons = tuple(stitch_comparison(name_f, name_g, (l, l), setting, stitch, measure) for l in layers)
    return CurveSpec(label, comparisons, role, kind(name_f), kind(name_g))


def kind(name: str) -> str:
    """ "gelu" or "solu" (or another activation function) of a model."""
    return "solu" if model_spec(name).activation.startswith("solu") else model_spec(name).activation


def bundled_preset() -> Preset:
    """The setting of the figures that ship."""
    return preset("bundled")

"""What is declared of a measure. Imports nothing heavy: pages, the command line and keys read it;
the engine obeys it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib import import_module
from typing import Any

from repdiss_core.base import crossed
from repdiss_core.base.comparison import Comparison, Setting
from repdiss_core.base.errors import UserError
from repdiss_core.base.layer_pairs import AllLayers, LayerPairs, kind_words
from repdiss_core.base.option import Option
from repdiss_core.base.results import Stored
from repdiss_core.measures.reduction import Reduction

INVARIANCES = ("rotation", "isotropic_scale", "shift", "invertible_linear")
USUAL_REDUCTIONS = ("mean_of_ratios", "mean")  # what views begin with
# How features become rows, for every feature measure; "rows" and "tokenizers" only where rows are not tokens,
# "embedding" only where layer 0 is asked for.
FEATURE_SETTINGS = ("flatten", "massive", "massive_multiple", "rows", "tokenizers", "embedding")


class Pass(Enum):
    """What the engine runs for a measure; `measures.protocol` says what each asks of the measure's file."""

    BATCH = "features of each batch"
    POOLED = "features of fitting batches, scored on others"
    STITCH = "one model's blocks on another's"
    ACCURACY = "answers of stitched classifiers"
    TOKENS = "single tokens of one batch"


@dataclass(frozen=True)
class MeasureOption(Option):
    """A setting of the measure itself: what pages, addresses and flags hold of it, and part of the key of comparisons.

    Args:
        phrase: how a caption says it, with {choice} for the label and {name} for the measure; "" says nothing.
    """

    phrase: str = "{choice}"


@dataclass(frozen=True, eq=False)
class MeasureSpec:
    """What is declared of a measure of how alike (or unlike) two models are.

    Args:
        name: as in `Comparison.measure`.
        label: for people, in a line.
        short: for people, in a word or two.
        runs: which pass of the engine computes it.
        implementation: "module", or "module:attribute", that does what `measures.protocol` asks of this pass.
        stored: the type of its results for each kind of layer pairs that it supports.
        version: part of every cache key; raised when values change.
        reduction: from batches to one map; None where results do not grow by batches.
        options: the measure's own settings.
        settings: names of further settings that its key holds.
        invariant_to: the changes of one model's features, out of `INVARIANCES`, that leave the value as it was.
        symmetric: whether exchanging f and g leaves the value as it was.
        range: lowest and highest possible value.
        self_value: the value for equal features (or a model with itself), None where training decides it.
        self_tolerance: how far from it a ridge may keep the value; 0 for exactly.
        independent: (n, d_f, d_g, options) to the expected value for independent features, exact where it is known;
            None where it is not.
        least_tokens: (d_f, d_g) to the fewest rows of a batch.
        cost: (n, d_f, d_g) to floating-point operations a batch for one pair of layers, forward passes left out.
        pair_cost: the part of it that another pair of prepared layers takes; None where that is all of it.
        direction: whether a larger value says "similar" or "different".
        self_term: what a layer's value is normalised by, of which massive rows may carry most: "hsic" (the layer's HSIC
            with itself), "squares" (the sum of squares of its features) or "" (rows count alike whatever their length).
        unit: of the value; "" for none.
        for_any_pair: whether pages and the command line offer it for any two models.
        means: what the number says and how to read it, in one to three sentences.
        formula: LaTeX without dollar signs; "" for none.
        source: where it is defined.
    """

    name: str
    label: str
    short: str
    runs: Pass
    implementation: str
    stored: Mapping[type[LayerPairs], type[Stored]]
    version: int = 1
    reduction: Reduction | None = None
    options: tuple[MeasureOption, ...] = ()
    settings: tuple[str, ...] = ()
    invariant_to: tuple[str, ...] = ()
    symmetric: bool = False
    range: tuple[float, float] = (-float("inf"), float("inf"))
    self_value: float | None = None
    self_tolerance: float = 0.0
    independent: Callable[[int, int, int, Mapping[str, Setting]], float | None] = field(
        default=lambda n, d_f, d_g, options: None
    )
    least_tokens: Callable[[int, int], int] = field(default=lambda d_f, d_g: 1)
    cost: Callable[[int, int, int], float] = field(default=lambda n, d_f, d_g: 0.0)
    pair_cost: Callable[[int, int, int], float] | None = None
    direction: str = "similar"
    self_term: str = ""
    unit: str = ""
    for_any_pair: bool = False
    means: str = ""
    formula: str = ""
    source: str = ""

    def load(self) -> Any:
        """What computes the measure, imported when it is asked for."""
        module, _, attribute = self.implementation.partition(":")
        found = import_module(module)
        return getattr(found, attribute) if attribute else found

    @property
    def of_features(self) -> bool:
        """Whether it reads the features of whole batches and gives a map of all layers."""
        return self.runs in (Pass.BATCH, Pass.POOLED)

    def chosen(self, comparison: Comparison) -> dict[str, Setting]:
        """The value of each option in a comparison; the default where the key does not hold it."""
        return {o.id: comparison.setting(o.id, o.default) for o in self.options}

    def words(self, comparison: Comparison) -> str:
        """The measure with its options, for a caption, such as "unbiased CKA"."""
        labels = {o.id: o.label_of(comparison.setting(o.id, o.default)) for o in self.options}
        said = [(o.phrase, o.phrase.format(choice=labels[o.id], name=self.short)) for o in self.options if o.phrase]
        named = any("{name}" in phrase for phrase, _ in said)
        return ", ".join(([] if named else [self.short]) + [words for _, words in said])

    def reduction_named(self, name: str) -> str:
        """The reduction of that name, or this measure's own where the name is what other measures begin with.

        Raises:
            UserError: this measure does not have it.
        """
        if self.reduction is None:
            raise UserError(f"{self.short} is not put together over batches.")
        if name in self.reduction.names:
            return name
        if name in USUAL_REDUCTIONS:
            return next(iter(self.reduction.names))
        raise UserError(
            f"{self.short} has no reduction {name!r}: "
            f"its batches are put together by {' or '.join(self.reduction.names)}."
        )

    def check(self, comparison: Comparison) -> None:
        """Raise a `UserError` where the measure has no such layer pairs, settings or values of settings."""
        kind = type(comparison.layer_pairs)
        if kind not in self.stored:
            offered = " or ".join(kind_words(known) for known in self.stored)
            raise UserError(
                f"{self.short} is not computed for {kind_words(kind)}; it is for {offered}. "
                "Choose those, or another measure."
            )
        known = {o.id for o in self.options} | set(self.settings)
        if kind is AllLayers and self.of_features:
            known |= set(FEATURE_SETTINGS)
        if comparison.setting(crossed.SETTING) is not None:
            self._check_crossed(comparison)
            known.add(crossed.SETTING)
        foreign = [name for name, _ in comparison.settings if name not in known]
        if foreign:
            raise UserError(
                f"{self.short} for {kind_words(kind)} has no setting {foreign[0]!r}; "
                f"it has {', '.join(sorted(known)) or 'none'}."
            )
        for option in self.options:
            value = comparison.setting(option.id, option.default)
            if value not in option.values:
                raise UserError(
                    f"{self.short} has no {option.label.lower()} {value!r}; "
                    f"choose {', '.join(map(str, option.values))}."
                )

    def _check_crossed(self, comparison: Comparison) -> None:
        """Raise a `UserError` where values cannot be crossed between batches."""
        if self.runs is not Pass.BATCH or type(comparison.layer_pairs) is not AllLayers:
            raise UserError(
                f"{self.short} for {kind_words(type(comparison.layer_pairs))} has no chance level: it is computed for "
                "maps whose values stand for each batch alone. Choose a measure such as CKA."
            )
        if comparison.setting("massive", "kept") == "dropped":
            raise UserError(
                "Without massive tokens, batches have different numbers of rows, and the chance level pairs the rows "
                "of different batches by position. Keep massive tokens, or choose rows of length 1."
            )
        window = comparison.setting(crossed.SETTING)
        if type(window) is not int or not 2 <= window <= crossed.LARGEST_WINDOW:
            raise UserError(
                f"The window of a chance level is {window!r}; expected a whole number of batches from 2 to "
                f"{crossed.LARGEST_WINDOW}, such as {crossed.WINDOW}."
            )

    def facts(self) -> dict[str, Any]:
        """What is declared, as plain JSON types."""
        return {
            "label": self.label,
            "short": self.short,
            "pass": self.runs.name.lower(),
            "layer_pairs": [kind_words(kind) for kind in self.stored],
            "version": self.version,
            "options": {o.id: {"default": o.default, "choices": list(o.values)} for o in self.options},
            "invariant_to": list(self.invariant_to),
            "symmetric": self.symmetric,
            "range": [bound if abs(bound) != float("inf") else None for bound in self.range],
            "self_value": self.self_value,
            "direction": self.direction,
            "unit": self.unit,
            "source_of_definition": self.source,
        }


def first_layer(comparison: Comparison) -> int:
    """The number of a map's first layer: 1 is what the first block leaves; 0, where asked for, what it reads."""
    return 0 if comparison.setting("embedding") == "shown" else 1


def counted_from(first: int, sentence: str) -> str:
    """A sentence that counts layers from 1, with the numbers of a map whose first layer has this number."""
    return re.sub(r"\b([Ll]ayer) (\d+)", lambda found: f"{found[1]} {int(found[2]) - 1 + first}", sentence)

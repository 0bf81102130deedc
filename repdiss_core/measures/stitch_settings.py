"""How a stitching layer is trained, as fields of a `Comparison`. Imports nothing heavy: pages build keys with it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from repdiss_core.base.comparison import Comparison, DataId, ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.base.layer_pairs import OneCut

INITS = ("identity", "least_squares")
SCHEDULES = ("linear",)
PHI_SETTINGS = ("phi_split", "phi_content", "phi_sequences", "phi_tokens", "phi_seed")


@dataclass(frozen=True)
class StitchSettings:
    """Everything that changes a trained phi, apart from the models, the layers and the training tokens.

    Args:
        init: "identity" (affine weight I, needs equal widths) or "least_squares" (the closed-form phi).
        steps, warmup_steps: SGD steps, and how many of them the rate rises; one batch of the phi stream a step.
        lr, momentum, nesterov: of `torch.optim.SGD`.
        weight_decay: pulls all of phi's parameters toward their start: weight_decay·(p − p_start) is added to the
            clipped gradient. So does tuned-lens, whose map is x + Ax with A decaying to 0. Decay of W itself toward 0
            would cost a penalty of its own: .04 nats for a model stitched into itself (docs/decisions.md).
        clip: greatest norm of phi's gradient.
        schedule: "linear": the rate rises linearly to lr, then falls linearly, reaching 0 right after the last step.
        fit_batches: phi batches that the closed-form phi is fitted on.
    """

    init: str = "identity"
    steps: int = 2000
    warmup_steps: int = 200
    lr: float = 1.0
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-3
    clip: float = 1.0
    schedule: str = "linear"
    fit_batches: int = 64

    def __post_init__(self) -> None:
        for name in ("lr", "momentum", "weight_decay", "clip"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.init not in INITS:
            raise UserError(f"The start of a stitching layer is {self.init!r}; expected one of {', '.join(INITS)}.")
        if self.schedule not in SCHEDULES:
            raise UserError(f"The learning rate schedule is {self.schedule!r}; expected one of {', '.join(SCHEDULES)}.")
        if self.steps < 1 or not 0 <= self.warmup_steps < self.steps:
            raise UserError(
                f"Stitching got {self.steps} steps with {self.warmup_steps} warm-up steps; expected at least 1 step "
                f"and "
                "fewer warm-up steps than steps."
            )
        if not (self.lr > 0 and self.clip > 0 and 0 <= self.momentum < 1 and self.weight_decay >= 0):
            raise UserError(
                f"Stitching got lr {self.lr}, clip {self.clip}, momentum {self.momentum}, weight decay "
                f"{self.weight_decay}; "
                "expected lr and clip above 0, momentum from 0 to below 1, weight decay of at least 0."
            )
        if self.nesterov and self.momentum == 0:
            raise UserError("Nesterov momentum needs a momentum above 0: raise momentum or set nesterov to False.")
        if self.fit_batches < 1:
            raise UserError(f"The closed-form stitch got {self.fit_batches} batches to fit on; expected at least 1.")

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        return self.lr * (self.steps - step) / (self.steps - self.warmup_steps)


def stitch_comparison(
    f: ModelId,
    g: ModelId,
    data: DataId,
    layer_f: int,
    layer_g: int,
    settings: StitchSettings,
    phi_data: DataId,
    **fields: Any,
) -> Comparison:
    """The comparison for one trained phi between block `layer_f` of f and block `layer_g` of g (0 is the embedding).

    Args:
        data, phi_data: the evaluation tokens and the tokens that phi is trained on: the same dataset, another split.
        fields: further fields of `Comparison`, such as dtype.
    """
    items = dataclasses.asdict(settings) | {
        "phi_split": phi_data.split,
        "phi_content": phi_data.content,
        "phi_sequences": phi_data.sequences_per_batch,
        "phi_tokens": phi_data.tokens_per_sequence,
        "phi_seed": phi_data.seed,
    }
    return Comparison(
        "stitching", f, g, data, layer_pairs=OneCut(layer_f, layer_g), settings=tuple(items.items()), **fields
    )


def identity_comparison(f: ModelId, g: ModelId, data: DataId, layer_f: int, layer_g: int, **fields: Any) -> Comparison:
    """The comparison for phi = id between block `layer_f` of f and block `layer_g` of g; nothing is trained."""
    return Comparison("identity_stitching", f, g, data, layer_pairs=OneCut(layer_f, layer_g), **fields)


def settings_of(comparison: Comparison) -> StitchSettings:
    """The training settings that a stitching comparison was built with (what it does not name is the reference's)."""
    given: dict[str, Any] = dict(comparison.settings)
    return StitchSettings(
        **{field.name: given[field.name] for field in dataclasses.fields(StitchSettings) if field.name in given}
    )


def phi_data_of(comparison: Comparison) -> DataId:
    """The stream that phi of this comparison is trained on, to be opened by name, split, packing and seed."""
    missing = [
        name for name in ("phi_split", "phi_content", "phi_sequences", "phi_tokens") if comparison.setting(name) is None
    ]
    if missing:
        raise UserError(
            f"The stitching comparison does not say what phi is trained on: {', '.join(missing)} missing; "
            "build it with `stitch_comparison`."
        )
    return DataId(
        comparison.data.name,
        str(comparison.setting("phi_split")),
        str(comparison.setting("phi_content")),
        int(comparison.setting("phi_sequences")),
        int(comparison.setting("phi_tokens")),
        int(comparison.setting("phi_seed", 0)),
    )

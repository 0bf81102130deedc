"""Named settings, and in which points each departs from the paper's. Plain values; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from repdiss_core.base.errors import unknown_name
from repdiss_core.measures.stitch_settings import StitchSettings


@dataclass(frozen=True)
class StitchPreset:
    """How phi is trained.

    Args:
        settings: what goes into the comparison's key.
        label: for the page.
        note: one sentence on what the setting is.
    """

    name: str
    label: str
    settings: StitchSettings
    note: str


@dataclass(frozen=True)
class Preset:
    """How much data a figure is computed on.

    Args:
        data: a name in `repdiss_core.data.DATASETS`.
        eval_split, phi_split: the tokens measures are evaluated on, and the disjoint ones that phi is trained on.
        cka_batches, stitch_eval_batches: batches that a CKA map and a stitch's evaluation use.
        departures: where this differs from the paper's settings, in sentences.
        models: "bundled", or "paper" for the paper's own, which are fetched from the hub.
        dtype: of the forward passes of CKA maps across scale (stitches and small models always run in float32).
    """

    name: str
    label: str
    data: str
    eval_split: str
    phi_split: str
    sequences_per_batch: int
    tokens_per_sequence: int
    cka_batches: int
    stitch_eval_batches: int
    stitch: str
    departures: tuple[str, ...]
    models: str = "bundled"
    dtype: str = "float32"


def _reference(lr: float) -> StitchSettings:
    """The paper's schedule; what it does not state (momentum, decay toward the start, clip) is tuned-lens'."""
    return StitchSettings(init="identity", lr=lr, steps=2000, warmup_steps=200, weight_decay=1e-3)


def _quick(steps: int, warmup_steps: int, fit_batches: int = 64) -> StitchSettings:
    return StitchSettings("least_squares", steps, warmup_steps, lr=0.1, weight_decay=0.0, fit_batches=fit_batches)


STITCH_PRESETS = {
    preset.name: preset
    for preset in (
        StitchPreset(
            "quick",
            "quick: least-squares start, 300 steps, lr 0.1",
            _quick(300, 30),
            (
                "phi starts at its closed-form least-squares fit and is trained for 300 steps at lr 0.1; "
                "the paper trains 2000 steps at lr 1.0."
            ),
        ),
        StitchPreset(
            "reference",
            "reference: identity start, 2000 steps, lr 1.0",
            _reference(1.0),
            "The paper's schedule (2000 steps, 200 of warm-up) with its learning rate of 1.0 read as torch's.",
        ),
        StitchPreset(
            "reference-lr0.1",
            "reference: identity start, 2000 steps, lr 0.1",
            _reference(0.1),
            "The paper's schedule with its learning rate of 1.0 read as tuned-lens' scale, which is 0.1 in torch.",
        ),
        StitchPreset(
            "tiny",
            "tiny: 3 steps, for tests",
            _quick(3, 1, fit_batches=2),
            "Three steps: shows that the pass runs, not what it finds.",
        ),
    )
}

_SMALL = "Batches are 8 sequences of 128 tokens; the paper's are 1 sequence of 1024."
_PUBLIC = "The Pile's validation set is that of mit-han-lab/pile-val-backup; each split ends at 8.4 million tokens."
_TEN_K = "The text is the first 10 000 documents of the Pile (its training set); the paper's is the validation set."
_CORPUS = "The text is docstrings of Python packages, the models' own training domain; the paper's is the Pile."
# Departures that speak of the preset's own text, and of the size of its batches in tokens.
OF_THE_TEXT, OF_THE_TOKENS = (_PUBLIC, _TEN_K, _CORPUS), (_SMALL,)

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "bundled",
            "bundled models",
            "docstrings",
            "eval",
            "phi",
            8,
            128,
            100,
            100,
            "quick",
            (_SMALL, _CORPUS, "CKA maps rest on 100 batches by default; the paper's on 1000."),
        ),
        Preset(
            "quick",
            "quick look",
            "docstrings",
            "eval",
            "phi",
            8,
            128,
            20,
            20,
            "quick",
            (_SMALL, _CORPUS, "20 batches; the paper's maps rest on 1000."),
        ),
        Preset(
            "tiny",
            "tiny, for tests",
            "docstrings",
            "eval",
            "phi",
            8,
            128,
            4,
            2,
            "tiny",
            (_SMALL, _CORPUS, "4 batches and 3 steps: for tests only."),
        ),
        Preset(
            "paper",
            "the paper's models and settings",
            "pile-val",
            "eval",
            "phi",
            1,
            1024,
            1000,
            100,
            "reference",
            (_PUBLIC, "Stitches are evaluated on 100 sequences of 1024 tokens; the paper does not say on how many."),
            "paper",
            "bfloat16",
        ),
        Preset(
            "paper-quick",
            "the paper's models, quick look",
            "pile-10k",
            "eval",
            "phi",
            1,
            1024,
            20,
            20,
            "quick",
            (_TEN_K, "20 batches; the paper's maps rest on 1000."),
            "paper",
            "bfloat16",
        ),
        Preset(
            "paper-tiny",
            "the paper's models, for tests",
            "pile-10k",
            "eval",
            "phi",
            1,
            64,
            2,
            2,
            "tiny",
            (_TEN_K, "2 batches of 64 tokens and 3 steps: for tests only."),
            "paper",
        ),
    )
}
# The paper's models take the setting that stands where the bundled models' stands.
FOR_PAPER_MODELS = {"bundled": "paper-quick", "quick": "paper-quick", "tiny": "paper-tiny"}


def preset(name: str, models: str = "bundled") -> Preset:
    """The preset of that name, or a `UserError` with the known ones;
    models="paper" takes the one for the paper's models."""
    if models == "paper":
        name = FOR_PAPER_MODELS.get(name, name)
    if name not in PRESETS:
        raise unknown_name("preset", name, list(PRESETS), "python -m repdiss_core run --help")
    return PRESETS[name]


def stitch_preset(name: str) -> StitchPreset:
    """The stitching preset of that name, or a `UserError` with the known ones."""
    if name not in STITCH_PRESETS:
        raise unknown_name("stitching preset", name, list(STITCH_PRESETS), "python -m repdiss_core compare --help")
    return STITCH_PRESETS[name]

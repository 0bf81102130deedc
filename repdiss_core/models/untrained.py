"""The untrained twin of any language model, "random:NAME" or "random:SEED:NAME": its architecture with weights drawn by
a seed.

Imports no torch.

What two models share without any training is the control of every comparison.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

from repdiss_core.base.errors import UserError
from repdiss_core.models import ModelSpec, model_spec, paper_models

TWIN = re.compile(r"random:(?:([0-9]{1,9}):)?(.+)", re.DOTALL)
LOADERS = (
    "hooked:load_bundled",
    "neox:load_family",
    "neox:load_hub",
    "decoder:load_hub",
    "decoder:load_path",
    "nanda:load_hub",
    "loading:load_hub",
    "loading:load_package",
    "loading:load_path",
)


def parts_of(name: str) -> tuple[int, str]:
    """(seed, name of the trained model).

    Raises:
        UserError: it names none.
    """
    found = TWIN.fullmatch(name)
    if found is None or found[2].startswith("random:"):
        raise UserError(
            f"{name!r} names no model; write random: and a model, or random:SEED:MODEL, as in random:7:gelu-3l."
        )
    return int(found[1] or 0), found[2]


def twin_spec(name: str) -> ModelSpec:
    """What is known of the twin: its trained model's shape, and an identity of its own.

    Raises:
        UserError: the trained model's own, or a classifier, which has no twin.
    """
    seed, trained = parts_of(name)
    base = model_spec(trained)
    if base.loader.removeprefix("repdiss_core.models.") not in LOADERS:
        raise UserError(
            f"{trained} is a classifier; only language models and encoders have an untrained twin. "
            "Choose another model."
        )
    unpinned = base.weights.startswith(paper_models.UNPINNED)
    weights = base.weights if unpinned else hashlib.sha256(f"untrained:{seed}:{base.weights}".encode()).hexdigest()
    return replace(
        base,
        name=name,
        weights=weights,
        seed=seed,
        state="untrained",
        tokens_seen=0,
        validation_loss=float("nan"),
        repo="",
        revision="",
        download_bytes=0,
        architecture=f"{base.architecture}; weights drawn with seed {seed}, untrained",
        family="untrained",
        group="untrained",
        loader="repdiss_core.models.untrained_networks:load_twin",
    )

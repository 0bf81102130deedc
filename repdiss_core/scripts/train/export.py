"""Writes a trained model as it ships: float16 weights and its entry in the facts file."""

from __future__ import annotations

import dataclasses
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from repdiss_core import bundled
from repdiss_core.scripts.train import checkpoints
from repdiss_core.scripts.train.facts_file import update_facts
from repdiss_core.scripts.train.segments import Training

DTYPE = torch.float16


def export(training: Training, start: int, command: str, gap: float | None, state: str = "final") -> None:
    """Ships the model of the decay from step `start`.

    Args:
        training: of the model.
        start: step of the checkpoint that the decay began at.
        command: that trained it, for the facts.
        gap: highest minus lowest validation loss among the models of the same depth, None while unknown.
        state: "final", or "intermediate" while others of its depth are still training.
    """
    name = training.model.name
    path = bundled.WEIGHTS_FOLDER / f"{name}.safetensors"
    model = training.final_model(start)
    tensors = {key: value.detach().to(DTYPE).contiguous() for key, value in model.named_parameters()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary, {"format": "pt"})
    temporary.chmod(0o644)
    temporary.replace(path)
    update_facts(
        {"models": {name: _facts(training, start, path, sum(t.numel() for t in tensors.values()), command, gap, state)}}
    )
    update_facts(
        {
            "versions": {
                **{n: version(n) for n in ("torch", "transformer-lens", "tokenizers", "numpy")},
                "python": platform.python_version(),
            }
        }
    )


def _facts(
    training: Training, start: int, path: Path, n_parameters: int, command: str, gap: float | None, state: str
) -> dict[str, Any]:
    model, recipe = training.model, training.recipe
    segment = training.folder / f"decay-{start:06d}"
    final = json.loads((segment / "final.json").read_text())
    end = start + recipe.decay_steps
    progress = checkpoints.load_checkpoint(checkpoints.path_of(segment, end), training.final_model(start))
    return {
        "architecture": dataclasses.asdict(model.architecture),
        "activation": model.activation_name,
        "seed": model.seed,
        "n_parameters": n_parameters,
        "weights": bundled.file_hash(path),
        "dtype": "float16",
        "state": state,
        "tokens_seen": end * recipe.tokens_per_step,
        "decay_from_tokens": start * recipe.tokens_per_step,
        "training_seconds": round(progress.seconds),
        "validation_loss": round(final["loss"], 4),
        "validation_loss_before_rounding": round(final["loss_before_rounding"], 4),
        "loss_gap_of_depth": None if gap is None else round(gap, 4),
        "loss_curve": [{k: p[k] for k in ("tokens", "train", "eval")} for p in progress.curve],
        "recipe": dataclasses.asdict(recipe),
        "command": command,
    }


def gap_of(losses: list[float]) -> float:
    """Highest minus lowest."""
    return max(losses) - min(losses)

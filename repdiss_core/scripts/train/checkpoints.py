"""Checkpoints of a training: weights, optimiser and position in the data, written atomically, without pickle."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn


@dataclass
class Progress:
    """How far a training has come.

    Args:
        step: optimiser steps done, which is also the position in the data.
        curve: measured points {step, tokens, train, eval}.
        seconds: of computing, resumed runs included.
    """

    step: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


def path_of(folder: Path, step: int) -> Path:
    """The checkpoint after a step."""
    return folder / f"step-{step:06d}.safetensors"


def steps_in(folder: Path) -> list[int]:
    """Steps that have a checkpoint, in order."""
    return sorted(int(path.stem.removeprefix("step-")) for path in folder.glob("step-*.safetensors"))


def save(folder: Path, progress: Progress, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Writes a checkpoint beside and renames it: a killed run leaves the last whole one."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"weight.{name}": p.detach() for name, p in model.named_parameters()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}.{name}"] = value
    meta: dict[str, Any] = {"step": progress.step, "curve": progress.curve, "seconds": progress.seconds}
    path = path_of(folder, progress.step)
    temporary = path.with_suffix(f".part{os.getpid()}")
    save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, {"progress": json.dumps(meta)})
    os.replace(temporary, path)


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> Progress:
    """Puts a checkpoint into a model and its optimiser."""
    with safe_open(path, "pt") as file:
        progress = Progress(**json.loads(file.metadata()["progress"]))
        keys = set(file.keys())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(file.get_tensor(f"weight.{name}"))
                if optimizer is not None:
                    state = {k: f"{k}.{name}" for k in ("step", "exp_avg", "exp_avg_sq")}
                    optimizer.state[parameter] = {k: file.get_tensor(n) for k, n in state.items() if n in keys}
    return progress


def latest(folder: Path) -> Path | None:
    """The last checkpoint that can be read; unreadable ones (a full disk) are removed."""
    for step in reversed(steps_in(folder)):
        path = path_of(folder, step)
        try:
            with safe_open(path, "pt") as file:
                file.metadata()
            return path
        except SafetensorError:
            path.unlink()
    return None

"""Runs one segment of a training: the constant rate, or a decay from one of its checkpoints; resumable at any point."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from transformer_lens.model_bridge.sources.native.model import NativeModel

from repdiss_core.base.comparison import DataId
from repdiss_core.bundled.recipe import BundledModel, Recipe
from repdiss_core.data.batches import PackedStream
from repdiss_core.models.mini_gpt import fast_logits, mean_loss, new_model, next_token_loss
from repdiss_core.scripts.train import checkpoints
from repdiss_core.scripts.train.checkpoints import Progress

CONSTANT = "constant"
# Checkpoints of the first part are of no use to a decay and only the last one is kept.
_KEEP_FROM = 0.55


class Report(Protocol):
    """Told after every step: what runs, steps done and to do, loss, tokens a second."""

    def __call__(self, segment: str, step: int, end: int, loss: float, tokens_a_second: float) -> None: ...


class Steps(Protocol):
    """What the recipes of both families say of one step of the optimiser."""

    @property
    def sequences_per_batch(self) -> int: ...
    @property
    def tokens_per_sequence(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def betas(self) -> tuple[float, float]: ...
    @property
    def weight_decay(self) -> float: ...


@dataclass(frozen=True, eq=False)
class Corpus:
    """Tokens to train and to validate on, (n,) each."""

    train: np.ndarray
    held_out: np.ndarray

    def order(self, recipe: Steps, seed: int, epoch: int) -> PackedStream:
        """The training batches of an epoch in the order of a seed."""
        shape = recipe.sequences_per_batch, recipe.tokens_per_sequence
        return PackedStream(self.train, DataId("train", "train", "", *shape, seed=seed + 10_000 * epoch))

    def validation(self, recipe: Steps, n_sequences: int | None) -> Tensor:
        """(n, t) sequences of the held-out tokens: all, or so many of them evenly spaced."""
        t = recipe.tokens_per_sequence
        whole = self.held_out[: len(self.held_out) // t * t].reshape(-1, t)
        n = len(whole) if n_sequences is None else min(n_sequences, len(whole))
        return torch.from_numpy(whole[np.linspace(0, len(whole) - 1, n).astype(int)].astype(np.int64))


class Order:
    """The training batches of one model, step by step; a new order every epoch."""

    def __init__(self, corpus: Corpus, recipe: Steps, seed: int) -> None:
        self._corpus, self._recipe, self._seed = corpus, recipe, seed
        self._epoch, self._stream = 0, corpus.order(recipe, seed, 0)

    def tokens(self, step: int) -> Tensor:
        """(b, t) tokens of a step counted from 0."""
        epoch, batch = divmod(step, self._stream.n_batches)
        if epoch != self._epoch:
            self._epoch, self._stream = epoch, self._corpus.order(self._recipe, self._seed, epoch)
        return torch.from_numpy(self._stream.batch(batch).tokens)


@dataclass(frozen=True, eq=False)
class Training:
    """One model's training: its folder holds constant/ and decay-<step>/."""

    model: BundledModel
    recipe: Recipe
    corpus: Corpus
    folder: Path
    report: Report

    def constant(self) -> list[dict[str, float]]:
        """Trains at the constant rate to the end of the recipe; the measured curve."""
        return self._run(CONSTANT, None, self.recipe.constant_steps).curve

    def starts(self) -> list[int]:
        """Steps from which a decay can start."""
        first = _KEEP_FROM * self.recipe.constant_steps
        return [step for step in checkpoints.steps_in(self.folder / CONSTANT) if step >= first]

    def decayed_loss(self, start: int) -> float:
        """Validation loss after a decay from the checkpoint of step `start`, in float32 with the weights as shipped."""
        segment = f"decay-{start:06d}"
        done = self.folder / segment / "final.json"
        if done.exists():
            return json.loads(done.read_text())["loss"]
        self._run(segment, start, start + self.recipe.decay_steps)
        model = self.final_model(start)
        sequences = self.corpus.validation(self.recipe, self.recipe.final_sequences)
        loss = mean_loss(model, sequences, autocast=False)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(parameter.half())
        shipped = mean_loss(model, sequences, autocast=False)
        temporary = done.with_suffix(".part")
        temporary.write_text(json.dumps({"loss": shipped, "loss_before_rounding": loss}))
        temporary.replace(done)
        return shipped

    def final_model(self, start: int) -> NativeModel:
        """The model at the end of a decay."""
        model = new_model(self.model.architecture, self.model.seed)
        checkpoints.load_checkpoint(
            checkpoints.path_of(self.folder / f"decay-{start:06d}", start + self.recipe.decay_steps), model
        )
        return model

    def _run(self, segment: str, start: int | None, end: int) -> Progress:
        folder = self.folder / segment
        model = new_model(self.model.architecture, self.model.seed)
        optimizer = new_optimizer(model, self.recipe)
        progress = self._resume(segment, start, model, optimizer)
        order = Order(self.corpus, self.recipe, self.model.seed)
        validation = self.corpus.validation(self.recipe, self.recipe.curve_sequences)
        began, before, first, recent = time.monotonic(), progress.seconds, progress.step, []
        while progress.step < end:
            recent.append(
                self._step(model, optimizer, order.tokens(progress.step), self.recipe.rate(progress.step, start))
            )
            progress.step += 1
            elapsed = time.monotonic() - began
            progress.seconds = before + elapsed
            if progress.step % self.recipe.curve_steps == 0 or progress.step == end:
                progress.curve.append(self._point(progress, recent, mean_loss(model, validation)))
                recent = []
            if progress.step % self.recipe.checkpoint_steps == 0 or progress.step == end:
                checkpoints.save(folder, progress, model, optimizer)
                self._prune(folder, segment)
            rate = (progress.step - first) * self.recipe.tokens_per_step / max(elapsed, 1e-9)
            loss = progress.curve[-1]["eval"] if progress.curve else float("nan")
            self.report(f"{self.model.name} {segment}", progress.step, end, loss, rate)
        return progress

    def _resume(self, segment: str, start: int | None, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
        """The segment's last checkpoint, else the one it starts from, else the beginning."""
        last = checkpoints.latest(self.folder / segment)
        if last is None and start is not None:
            last = checkpoints.path_of(self.folder / CONSTANT, start)
        return checkpoints.load_checkpoint(last, model, optimizer) if last else Progress()

    def _step(self, model: NativeModel, optimizer: torch.optim.Optimizer, tokens: Tensor, rate: float) -> float:
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            logits = fast_logits(model, tokens)
        loss = next_token_loss(logits, tokens)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), self.recipe.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def _point(self, progress: Progress, recent: list[float], held_out: float) -> dict[str, float]:
        tokens = progress.step * self.recipe.tokens_per_step
        train = float(np.mean(recent)) if recent else float("nan")
        return {"step": progress.step, "tokens": tokens, "train": round(train, 4), "eval": round(held_out, 4)}

    def _prune(self, folder: Path, segment: str) -> None:
        keep = set(self.starts()) if segment == CONSTANT else set()
        for step in checkpoints.steps_in(folder)[:-1]:
            if step not in keep:
                checkpoints.path_of(folder, step).unlink()


def new_optimizer(model: nn.Module, recipe: Steps) -> torch.optim.Optimizer:
    """AdamW; biases and LayerNorms are not decayed."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, fused=True)

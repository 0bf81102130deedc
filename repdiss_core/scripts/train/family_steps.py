"""Trains one member of the family, resumable at any point, and measures its validation loss."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import GPTNeoXForCausalLM

from repdiss_core.bundled.family.recipe import FamilyMember, NeoxRecipe
from repdiss_core.models.mini_gpt import next_token_loss
from repdiss_core.models.mini_neox import fast_logits, new_model, training_loss
from repdiss_core.scripts.train import checkpoints
from repdiss_core.scripts.train.checkpoints import Progress
from repdiss_core.scripts.train.segments import Corpus, Order, Report, new_optimizer


@torch.no_grad()
def mean_loss(model: GPTNeoXForCausalLM, sequences: Tensor, batch: int = 16) -> float:
    """Mean cross-entropy over (n, t) sequences, each counted alike, in nats a token; in float32."""
    total = sum(
        next_token_loss(fast_logits(model, chunk), chunk).item() * len(chunk) for chunk in sequences.split(batch)
    )
    return total / len(sequences)


@dataclass(frozen=True, eq=False)
class MemberTraining:
    """One member's training; its folder holds the last checkpoint and those that ship."""

    member: FamilyMember
    recipe: NeoxRecipe
    corpus: Corpus
    folder: Path
    report: Report

    def run(self) -> Progress:
        """Trains from the last checkpoint to the end of the recipe; how far it came."""
        recipe, member = self.recipe, self.member
        model = new_model(member.architecture, member.seed).train()
        optimizer = new_optimizer(model, recipe)
        last = checkpoints.latest(self.folder)
        progress = checkpoints.load_checkpoint(last, model, optimizer) if last else Progress()
        order, validation = (
            Order(self.corpus, recipe, member.seed),
            self.corpus.validation(recipe, recipe.curve_sequences),
        )
        began, before, first, saved, recent = time.monotonic(), progress.seconds, progress.step, time.monotonic(), []
        while progress.step < recipe.steps:
            recent.append(
                self._step(
                    model, optimizer, order.tokens(progress.step), recipe.rate(member.architecture, progress.step)
                )
            )
            progress.step += 1
            progress.seconds = before + time.monotonic() - began
            shipped = progress.step in member.shipped_steps or progress.step == recipe.steps
            if progress.step % recipe.curve_steps == 0 or progress.step == recipe.steps:
                progress.curve.append(_point(progress, recipe, recent, mean_loss(model, validation)))
                recent = []
            if shipped or time.monotonic() - saved > recipe.checkpoint_seconds:
                checkpoints.save(self.folder, progress, model, optimizer)
                saved = time.monotonic()
                self._prune()
            rate = (progress.step - first) * recipe.tokens_per_step / max(time.monotonic() - began, 1e-9)
            self.report(
                member.name,
                progress.step,
                recipe.steps,
                progress.curve[-1]["eval"] if progress.curve else float("nan"),
                rate,
            )
        return progress

    def model_at(self, step: int) -> tuple[GPTNeoXForCausalLM, Progress]:
        """The model as it was after a step that has a checkpoint."""
        model = new_model(self.member.architecture, self.member.seed)
        return model.eval(), checkpoints.load_checkpoint(checkpoints.path_of(self.folder, step), model)

    def _step(self, model: GPTNeoXForCausalLM, optimizer: torch.optim.Optimizer, tokens: Tensor, rate: float) -> float:
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            loss = training_loss(model, tokens)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), self.recipe.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def _prune(self) -> None:
        for step in checkpoints.steps_in(self.folder)[:-1]:
            if step not in self.member.shipped_steps:
                checkpoints.path_of(self.folder, step).unlink()


def _point(progress: Progress, recipe: NeoxRecipe, recent: list[float], held_out: float) -> dict[str, float]:
    tokens = progress.step * recipe.tokens_per_step
    train = float(np.mean(recent)) if recent else float("nan")
    return {"step": progress.step, "tokens": tokens, "train": round(train, 4), "eval": round(held_out, 4)}

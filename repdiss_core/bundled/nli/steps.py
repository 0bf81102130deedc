"""The two trainings of the NLI classifiers, and their accuracies: masked language modelling, then classification."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

from repdiss_core.bundled.nli.network import encoder_of, masked_lm, save
from repdiss_core.data import nli
from repdiss_core.data.nli_grammar import draw_premise, state
from repdiss_core.data.nli_sets import LABELS, SUB_CASES, Item


@dataclass(frozen=True)
class PreTraining:
    """Masked language modelling on pairs of sentences: half of the second sentences restate a fact of the first."""

    steps: int = 3200
    batch: int = 64
    window: int = 4000
    lr: float = 1.5e-3
    masked: float = 0.2
    n_pairs: int = 60_000
    seed: int = 7
    checkpoint_steps: int = 200


@dataclass(frozen=True)
class FineTuning:
    """One epoch; linear decay after a short warm-up."""

    n_items: int = 8000
    batch: int = 16
    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.1


@dataclass(frozen=True)
class Recipe:
    """Both trainings."""

    pre_training: PreTraining = field(default_factory=PreTraining)
    fine_tuning: FineTuning = field(default_factory=FineTuning)


def corpus(recipe: PreTraining) -> np.ndarray:
    """(n_pairs, 32) token ids of sentence pairs without labels, short ones first."""
    rng = np.random.default_rng(recipe.seed)
    items = []
    for _ in range(recipe.n_pairs):
        first = draw_premise(rng)
        related = rng.random() < 0.5
        second = state(first.facts[rng.integers(len(first.facts))], rng) if related else state(draw_premise(rng).main, rng)
        items.append(Item(first.words, second, 0, "text"))
    tokens = nli.encode(items)[0]
    return tokens[np.argsort((tokens != nli.PAD).sum(axis=1), kind="stable")]


def trimmed(tokens: np.ndarray) -> np.ndarray:
    """Without the columns that are padding in every row."""
    return np.ascontiguousarray(tokens[:, : int((tokens != nli.PAD).sum(axis=1).max())])


def pre_train(recipe: PreTraining, folder: Path, report: Callable[[str], None]) -> dict[str, torch.Tensor]:
    """The encoder's weights after pre-training; goes on from the checkpoint in `folder`."""
    model = masked_lm(recipe.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=0.01)
    file = folder / "pre-training.safetensors"
    step = _resume(file, model, optimizer)
    tokens = corpus(recipe) if step < recipe.steps else np.zeros((0, nli.LENGTH), np.int64)
    started, first = time.monotonic(), step
    while step < recipe.steps:
        loss = _masked_step(model, optimizer, tokens, recipe, step)
        step += 1
        if step % recipe.checkpoint_steps == 0 or step == recipe.steps:
            _checkpoint(file, model, optimizer, step)
            left = (time.monotonic() - started) / (step - first) * (recipe.steps - step) / 60
            report(f"pre-training {step}/{recipe.steps}: loss {loss:.3f}, {left:.1f} min left")
    return encoder_of(model)


def _masked_step(model: nn.Module, optimizer: torch.optim.Optimizer, tokens: np.ndarray, recipe: PreTraining, step: int) -> float:
    rng = np.random.default_rng([recipe.seed, step])  # by step, so that a resumed run sees the same batches
    start = rng.integers(0, max(1, len(tokens) - recipe.window))  # neighbours have like lengths: less padding to compute
    batch = trimmed(tokens[start + rng.integers(0, min(recipe.window, len(tokens)), recipe.batch)])
    chosen = (rng.random(batch.shape) < recipe.masked) & (batch >= len(nli.SPECIAL))
    shown = np.where(chosen & (rng.random(batch.shape) < 0.9), nli.MASK, batch)
    for group in optimizer.param_groups:
        group["lr"] = recipe.lr * _schedule(step, recipe.steps, 0.06)
    hidden = model.bert(**inputs(shown)).last_hidden_state
    logits = model.cls(hidden[torch.from_numpy(chosen)])
    loss = F.cross_entropy(logits, torch.from_numpy(batch[chosen]))
    return _descend(model, optimizer, loss)


def fine_tune(model: nn.Module, items: list[Item], recipe: FineTuning, order_seed: int) -> None:
    """One epoch over the items in the order of `order_seed`."""
    tokens, labels = nli.encode(items)
    order = np.random.default_rng(order_seed).permutation(len(items))
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    steps = len(items) // recipe.batch
    model.train()
    for step in range(steps):
        rows = order[step * recipe.batch : (step + 1) * recipe.batch]
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * _schedule(step, steps, recipe.warmup)
        loss = F.cross_entropy(model(**inputs(trimmed(tokens[rows]))).logits, torch.from_numpy(labels[rows]))
        _descend(model, optimizer, loss)
    model.eval()


def accuracies(model: nn.Module) -> dict[str, float]:
    """Fraction right on every set, and on every sub-case ("lexical_overlap.passive"); there, right is: not entailed."""
    found: dict[str, float] = {}
    for name in nli.SETS:
        tokens, labels = nli.encoded(name)
        with torch.no_grad():
            predicted = np.concatenate([model(**inputs(part)).logits.argmax(-1).numpy() for part in np.array_split(tokens, 8)])
        overlap = name in ("lexical_overlap", "lexical_overlap_rank")
        right = predicted != LABELS.index("entailment") if overlap else predicted == labels
        found[name] = float(right.mean())
        if overlap:
            kinds = np.array([item.kind for item in nli.items_of(name)])
            found |= {f"{name}.{kind}": float(right[kinds == kind].mean()) for kind in SUB_CASES}
    return found


def inputs(tokens: np.ndarray) -> dict[str, torch.Tensor]:
    """What BERT takes: ids, attention mask, and which of the two sentences a token belongs to."""
    from repdiss_core.models.bert import token_types

    return {
        "input_ids": torch.from_numpy(np.ascontiguousarray(tokens)),
        "attention_mask": torch.from_numpy((tokens != nli.PAD).astype(np.int64)),
        "token_type_ids": torch.from_numpy(token_types(tokens, nli.SEP)),
    }


def _schedule(step: int, steps: int, warmup: float) -> float:
    rise = max(1, round(steps * warmup))
    return (step + 1) / rise if step < rise else (steps - step) / max(1, steps - rise)


def _descend(model: nn.Module, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> float:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


def _named(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return iter(model.named_parameters())


def _checkpoint(file: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    tensors = {f"weight.{name}": p for name, p in _named(model)}
    for name, parameter in _named(model):
        tensors |= {f"{key}.{name}": torch.as_tensor(value) for key, value in optimizer.state[parameter].items()}
    save(file, tensors, {"step": json.dumps(step)})


def _resume(file: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Puts the last checkpoint into model and optimiser; the steps it had done, 0 without one."""
    if not file.exists():
        return 0
    with safe_open(file, "pt") as stored:
        with torch.no_grad():
            for name, parameter in _named(model):
                parameter.copy_(stored.get_tensor(f"weight.{name}"))
                optimizer.state[parameter] = {key: stored.get_tensor(f"{key}.{name}") for key in ("step", "exp_avg", "exp_avg_sq")}
        return int(json.loads(stored.metadata()["step"]))

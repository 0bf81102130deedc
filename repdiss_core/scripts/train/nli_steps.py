"""The two trainings of the NLI classifiers, and their accuracies: masked language modelling, then classification."""

from __future__ import annotations

import functools
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

from repdiss_core.data import nli
from repdiss_core.data.nli_grammar import INTRANSITIVE, NOUNS, TRANSITIVE, draw_premise, state
from repdiss_core.data.nli_sets import LABELS, SUB_CASES, Item
from repdiss_core.models.tiny_bert import PreTrainingModel, save


@dataclass(frozen=True)
class PreTraining:
    """Masked language modelling on pairs of sentences, in two phases.

    First: half of the second sentences restate a fact of the first, and a masked word must be restored. Then all
    restate one; of the chosen words, mostly in the restatement, 40 % are masked, 40 % replaced by another of their kind
    and 20 % kept; they must be restored, and each visible word of the restatement must be told as replaced or not
    (Clark et al. 2020), at first from the last layer, later from layers 3 to 6 and, for the sentence as a whole, from
    [CLS]. Both phases teach to compare the words of two sentences; no task asks who did what to whom.
    """

    steps: int = 3200
    replacing_steps: int = 1700
    deep_steps: int = 1000
    batch: int = 64
    window: int = 4000
    lr: float = 1.5e-3
    masked: float = 0.2
    chosen: tuple[float, float] = (0.1, 0.3)
    replaced_weight: float = 3.0
    n_pairs: int = 60_000
    seed: int = 7
    checkpoint_steps: int = 100


@dataclass(frozen=True)
class FineTuning:
    """One epoch; linear decay after a short warm-up."""

    n_items: int = 4000
    batch: int = 16
    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.1


@dataclass(frozen=True)
class Recipe:
    """Both trainings."""

    pre_training: PreTraining = field(default_factory=PreTraining)
    fine_tuning: FineTuning = field(default_factory=FineTuning)


def corpus(recipe: PreTraining, related_share: float = 0.5) -> np.ndarray:
    """(n_pairs, 32) token ids of sentence pairs without labels, short ones first.

    Args:
        related_share: of the second sentences restate a fact of the first; the others come from another scene.
    """
    rng = np.random.default_rng([recipe.seed, int(100 * related_share)] if related_share != 0.5 else recipe.seed)
    items = []
    for _ in range(recipe.n_pairs):
        first = draw_premise(rng)
        related = rng.random() < related_share
        second = (
            state(first.facts[rng.integers(len(first.facts))], rng) if related else state(draw_premise(rng).main, rng)
        )
        items.append(Item(first.words, second, 0, "text"))
    tokens = nli.encode(items)[0]
    return tokens[np.argsort((tokens != nli.PAD).sum(axis=1), kind="stable")]


def trimmed(tokens: np.ndarray) -> np.ndarray:
    """Without the columns that are padding in every row."""
    return np.ascontiguousarray(tokens[:, : int((tokens != nli.PAD).sum(axis=1).max())])


def pre_train(recipe: PreTraining, folder: Path, report: Callable[[str], None]) -> dict[str, torch.Tensor]:
    """The encoder's weights after both phases; goes on from the checkpoint in `folder`."""
    model = PreTrainingModel(recipe.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=0.01)
    file = folder / "pre-training.safetensors"
    step, end = _resume(file, model, optimizer), recipe.steps + recipe.replacing_steps
    started, first = time.monotonic(), step
    texts = corpus(recipe) if step < recipe.steps else np.zeros((0, nli.LENGTH), np.int64)
    restatements = corpus(recipe, 1.0) if step < end else texts
    while step < end:
        replacing = step >= recipe.steps
        loss = _pre_training_step(model, optimizer, recipe, step, restatements if replacing else texts, replacing)
        step += 1
        if step % recipe.checkpoint_steps == 0 or step == end:
            _checkpoint(file, model, optimizer, step)
            left = (time.monotonic() - started) / (step - first) * (end - step) / 60
            report(f"pre-training {step}/{end}: loss {loss:.3f}, {left:.1f} min left")
    return model.encoder()


def _pre_training_step(
    model: PreTrainingModel,
    optimizer: torch.optim.Optimizer,
    recipe: PreTraining,
    step: int,
    tokens: np.ndarray,
    replacing: bool,
) -> float:
    rng = np.random.default_rng([recipe.seed, step])  # by step, so that a resumed run sees the same batches
    # Neighbours have like lengths: less padding to compute
    start = rng.integers(0, max(1, len(tokens) - recipe.window))
    batch = trimmed(tokens[start + rng.integers(0, min(recipe.window, len(tokens)), recipe.batch)])
    if replacing:
        shown, chosen, replaced = _replaced(batch, recipe, rng)
        rate = _flat_then_falling(step - recipe.steps, recipe.replacing_steps)
        deep = step >= recipe.steps + recipe.replacing_steps - recipe.deep_steps
    else:
        chosen, replaced = (rng.random(batch.shape) < recipe.masked) & (batch >= len(nli.SPECIAL)), None
        shown = np.where(chosen & (rng.random(batch.shape) < 0.9), nli.MASK, batch)
        rate = _schedule(step, recipe.steps, 0.06)
    for group in optimizer.param_groups:
        group["lr"] = recipe.lr * rate
    layers, whole = model(inputs(shown))
    loss = F.cross_entropy(model.words.cls(layers[-1][torch.from_numpy(chosen)]), torch.from_numpy(batch[chosen]))
    if replaced is not None:
        told = torch.from_numpy(replaced)
        heads = layers[3:] if deep else layers[-1:]
        wrong = [F.cross_entropy(model.replaced(h).flatten(0, 1), told.flatten(), ignore_index=-100) for h in heads]
        loss = loss + recipe.replaced_weight * sum(wrong) / len(wrong)
        if deep:
            loss = loss + F.cross_entropy(whole, (told == 1).any(dim=1).long())
    return _descend(model, optimizer, loss)


def _replaced(
    tokens: np.ndarray, recipe: PreTraining, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(tokens as shown; which words must be restored; 1 at replaced, 0 at right and −100 at all other places)."""
    from repdiss_core.models.bert import token_types

    kind = _kinds()[tokens]
    second = token_types(tokens, nli.SEP) == 1
    chosen = (kind > 0) & (rng.random(tokens.shape) < np.where(second, recipe.chosen[1], recipe.chosen[0]))
    draw, shown = rng.random(tokens.shape), tokens.copy()
    shown[chosen & (draw < 0.4)] = nli.MASK
    for number in (1, 2, 3):
        here = chosen & (draw >= 0.4) & (draw < 0.8) & (kind == number)
        shown[here] = rng.choice(np.flatnonzero(_kinds() == number), int(here.sum()))
    return shown, chosen, np.where((kind > 0) & second & (shown != nli.MASK), (shown != tokens).astype(np.int64), -100)


def _flat_then_falling(step: int, steps: int) -> float:
    """Full rate after 50 steps, falling to 0 in the last 30 %."""
    return min(1.0, (step + 1) / 50, (steps - step) / max(1, 0.3 * steps))


@functools.lru_cache(maxsize=1)
def _kinds() -> np.ndarray:
    """(vocabulary,) 1 for nouns, 2 and 3 for verbs, 0 for all else."""
    kinds = {word: number for number, words in enumerate((NOUNS, TRANSITIVE, INTRANSITIVE), start=1) for word in words}
    return np.array([kinds.get(word, 0) for word in nli.vocabulary()])


def fine_tune(model: nn.Module, items: list[Item], recipe: FineTuning, order_seed: int) -> None:
    """One epoch over the items in the order of `order_seed`."""
    tokens, labels = nli.encode(items)
    order = np.random.default_rng(order_seed).permutation(len(items))
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
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
            predicted = np.concatenate(
                [model(**inputs(part)).logits.argmax(-1).numpy() for part in np.array_split(tokens, 8)]
            )
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
    tensors: dict[str, torch.Tensor] = {f"weight.{name}": p for name, p in _named(model)}
    for name, parameter in _named(model):
        tensors |= {
            f"{key}.{name}": torch.as_tensor(value) for key, value in optimizer.state.get(parameter, {}).items()
        }
    save(file, tensors, {"step": json.dumps(step)})


def _resume(file: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Puts the last checkpoint into model and optimiser; the steps it had done, 0 without one."""
    if not file.exists():
        return 0
    with safe_open(file, "pt") as stored:
        with torch.no_grad():
            for name, parameter in _named(model):
                parameter.copy_(stored.get_tensor(f"weight.{name}"))
                if f"step.{name}" in stored.keys():  # absent where a parameter has had no gradient yet
                    optimizer.state[parameter] = {
                        key: stored.get_tensor(f"{key}.{name}") for key in ("step", "exp_avg", "exp_avg_sq")
                    }
        return int(json.loads(stored.metadata()["step"]))

"""How the bundled GPT-NeoX family is built and trained: every number of it. Imports nothing heavy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

# Checkpoints of seed 0 that ship too, by head dimension: the odd member is compared with its twin at equal tokens
# (steps 2000 and 4000) and at equal loss (between the twin's checkpoints around it). More of them would not fit into
# the 45 MB that the family may take.
SHIPPED_STEPS = {32: (1000, 2000, 3000), 8: (2000,)}


@dataclass(frozen=True)
class NeoxArchitecture:
    """A small GPT-NeoX: parallel residual, rotary positions on a quarter of each head,
    untied embeddings (as Pythia)."""

    n_layers: int
    d_model: int
    d_head: int = 32
    rotary_fraction: float = 0.25
    n_ctx: int = 128
    vocab_size: int = 2048

    @property
    def n_heads(self) -> int:
        """Heads of a block."""
        return self.d_model // self.d_head

    @property
    def d_mlp(self) -> int:
        """Width of the MLP."""
        return 4 * self.d_model


@dataclass(frozen=True)
class NeoxRecipe:
    """Training with warm-up, then a cosine to a tenth of the rate.

    Rates come from a feasibility study at this size; nothing was tuned on the shown measures.
    """

    steps: int = 4000
    learning_rate: float = 3e-3  # the peak; 4e-3 at d_model 64 and below, 2.5e-3 from 160
    warmup_share: float = 0.05
    final_share: float = 0.1  # of the rate, at the last step
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    clip: float = 1.0
    sequences_per_batch: int = 8
    tokens_per_sequence: int = 128
    checkpoint_seconds: float = 30.0
    curve_steps: int = 250  # between two measurements on a small part of eval
    curve_sequences: int = 128  # evenly spaced over eval
    # The validation loss that is reported: a quarter of eval, evenly spaced; None takes all
    final_sequences: int | None = 728

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one optimiser step."""
        return self.sequences_per_batch * self.tokens_per_sequence

    def peak_rate(self, architecture: NeoxArchitecture) -> float:
        """The highest learning rate: smaller for wider models."""
        if architecture.d_model <= 64:
            return 4e-3
        return self.learning_rate if architecture.d_model < 160 else 2.5e-3

    def rate(self, architecture: NeoxArchitecture, step: int) -> float:
        """Learning rate of a step counted from 0."""
        peak, warmup = self.peak_rate(architecture), max(1, round(self.warmup_share * self.steps))
        if step < warmup:
            return peak * (step + 1) / warmup
        turned = (step - warmup) / max(1, self.steps - warmup)
        return peak * (self.final_share + (1 - self.final_share) * 0.5 * (1 + math.cos(math.pi * turned)))


@dataclass(frozen=True)
class FamilyMember:
    """One model of the family.

    Args:
        seed: of both its first weights and the order of its data; no two members share one.
        role: "regular", "odd" (d_head 8) or "replicate" (a regular member with another seed).
        shipped_steps: checkpoints that ship beside the final model.
    """

    name: str
    architecture: NeoxArchitecture
    seed: int
    role: str
    shipped_steps: tuple[int, ...] = field(default=())

    @property
    def shape(self) -> str:
        """Layers, width and head dimension: what members that differ by their seed alone have in common."""
        return self.name.rsplit("-s", 1)[0]


def checkpoint_name(name: str, step: int) -> str:
    """The name under which a member's checkpoint ships."""
    return f"{name}-step{step}"


def _members() -> dict[str, FamilyMember]:
    """In the order of training, so that what is done at any time is of most use."""
    plan = [
        *((4, 128, d_head, replicate) for replicate in (0, 1) for d_head in (32, 8)),
        *((n_layers, d_model, 32, 0) for n_layers, d_model in ((2, 64), (3, 96), (6, 160), (8, 192))),
        *((4, 128, d_head, 2) for d_head in (32, 8)),
        *((n_layers, d_model, 32, 1) for n_layers, d_model in ((3, 96), (2, 64))),
    ]
    found = {}
    for number, (n_layers, d_model, d_head, replicate) in enumerate(plan):
        name = f"mini-neox-{n_layers}l{d_model}-h{d_head}-s{replicate}"
        role = "odd" if d_head == 8 else "replicate" if replicate else "regular"
        steps = SHIPPED_STEPS[d_head] if d_model == 128 and replicate == 0 else ()
        found[name] = FamilyMember(name, NeoxArchitecture(n_layers, d_model, d_head), 7001 + number, role, steps)
    return found


FAMILY_MEMBERS = _members()

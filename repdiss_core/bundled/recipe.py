"""How the bundled models are built and trained: every number of it. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """A small GPT: pre-LayerNorm blocks, attention then MLP, rotary positions on a quarter of each head."""

    n_layers: int
    activation: str  # "gelu" or "solu_ln" (SoLU followed by a LayerNorm)
    d_model: int = 128
    n_heads: int = 4
    d_head: int = 32
    d_mlp: int = 512
    rotary_dim: int = 8
    n_ctx: int = 128
    vocab_size: int = 2048


@dataclass(frozen=True)
class Recipe:
    """Training at a constant rate with checkpoints, and a linear decay to 0 from one of them.

    Rates and decay were taken from a feasibility study of AdamW at this size; nothing was tuned on the shown measures.
    """

    constant_tokens: int = 4_000_000
    decay_tokens: int = 800_000
    learning_rate: float = 3e-3
    warmup_steps: int = 200
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    clip: float = 1.0
    sequences_per_batch: int = 8
    tokens_per_sequence: int = 128
    checkpoint_steps: int = 50
    curve_steps: int = 200  # between two measurements on a small part of eval
    curve_sequences: int = 256  # evenly spaced over eval
    final_sequences: int | None = None  # the validation loss that is reported: None takes all of eval

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one optimiser step."""
        return self.sequences_per_batch * self.tokens_per_sequence

    @property
    def constant_steps(self) -> int:
        """Steps at the constant rate, rounded to whole checkpoints."""
        return max(1, self.constant_tokens // self.tokens_per_step // self.checkpoint_steps) * self.checkpoint_steps

    @property
    def decay_steps(self) -> int:
        """Steps of the decay."""
        return max(1, self.decay_tokens // self.tokens_per_step)

    def rate(self, step: int, decay_start: int | None) -> float:
        """Learning rate of a step counted from 0."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        if decay_start is None or step < decay_start:
            return self.learning_rate * warm
        return self.learning_rate * warm * (1.0 - (step + 1 - decay_start) / self.decay_steps)


@dataclass(frozen=True)
class BundledModel:
    """One model: its name, architecture and the seed of both its first weights and the order of its data."""

    name: str
    architecture: Architecture
    seed: int

    @property
    def activation_name(self) -> str:
        """ "gelu" or "solu"."""
        return self.name.split("-")[1]


def _models() -> dict[str, BundledModel]:
    found = {}
    for depth, n_seeds in ((3, 3), (4, 2)):
        # SoLU first: it usually ends with the higher loss, which is then the target of its depth.
        for replicate in range(n_seeds):
            for code, (kind, activation) in enumerate((("solu", "solu_ln"), ("gelu", "gelu"))):
                name = f"mini-{kind}-{depth}l-s{replicate}"
                found[name] = BundledModel(
                    name, Architecture(depth, activation), 1000 * depth + 100 * code + replicate + 1
                )
    return found


BUNDLED_MODELS = _models()

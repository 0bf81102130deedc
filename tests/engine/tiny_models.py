"""A tiny pre-LayerNorm transformer that fulfils the model protocol, and streams of learnable tokens."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repdiss_core.base.comparison import Comparison, DataId, ModelId
from repdiss_core.data.batches import PackedStream, TokenBatch
from repdiss_core.measures.stitch_settings import StitchSettings, stitch_comparison

VOCAB = 17


class TinyModel(nn.Module):
    """L blocks of causal attention and an MLP; weights from a seed."""

    def __init__(
        self, name: str = "tiny", n_layers: int = 3, d_model: int = 16, seed: int = 0, vocab_size: int = VOCAB
    ) -> None:
        super().__init__()
        self.name, self.n_layers, self.d_model, self.vocab_size = name, n_layers, d_model, vocab_size
        torch.manual_seed(seed)
        self.tokens = nn.Embedding(vocab_size, d_model)
        self.layers = nn.ModuleList(nn.ModuleDict({
            "attention_norm": nn.LayerNorm(d_model), "qkv": nn.Linear(d_model, 3 * d_model),
            "out": nn.Linear(d_model, d_model),
            "mlp_norm": nn.LayerNorm(d_model), "up": nn.Linear(d_model, 2 * d_model),
            "down": nn.Linear(2 * d_model, d_model),
        }) for _ in range(n_layers))  # fmt: skip
        self.final_norm = nn.LayerNorm(d_model)
        self.unembed = nn.Linear(d_model, vocab_size)
        self.calls = 0

    def embed(self, batch: TokenBatch) -> Tensor:
        return self.tokens(torch.as_tensor(batch.tokens))

    def blocks(self, h: Tensor, a: int, b: int, batch: TokenBatch) -> Tensor:
        for block in self.layers[a:b]:
            self.calls += 1
            q, k, v = block["qkv"](block["attention_norm"](h)).chunk(3, dim=-1)
            h = h + block["out"](F.scaled_dot_product_attention(q, k, v, is_causal=True))
            h = h + block["down"](F.gelu(block["up"](block["mlp_norm"](h))))
        return h

    def head(self, h: Tensor, batch: TokenBatch) -> Tensor:
        return self.unembed(self.final_norm(h))

    def logits(self, batch: TokenBatch) -> Tensor:
        return self.head(self.blocks(self.embed(batch), 0, self.n_layers, batch), batch)


def trained(model: TinyModel, stream: PackedStream, steps: int = 60) -> TinyModel:
    """The model after a short training with weights then frozen."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(steps):
        batch = stream.batch(step % stream.n_batches)
        targets = torch.as_tensor(batch.tokens)[:, 1:]
        loss = F.cross_entropy(model.logits(batch)[:, :-1].flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return model.eval().requires_grad_(False)


def stream(split: str, n_batches: int, seed: int = 0, n_tokens: int = 12) -> PackedStream:
    """Batches of 4 sequences from a noisy cycle, so that there is something to predict."""
    size = n_batches * 4 * n_tokens
    rng = np.random.default_rng([seed, len(split)])
    jumps = np.where(rng.random(size) < 0.2, rng.integers(0, VOCAB, size), 3)
    return PackedStream(
        np.cumsum(jumps).astype(np.uint16) % VOCAB, DataId("cycle", split, f"content-{split}-{seed}", 4, n_tokens, seed)
    )


def comparisons(
    pairs: list[tuple[int, int]], settings: StitchSettings, evaluation: DataId, phi: DataId
) -> list[Comparison]:
    """Comparisons of two named models at these layer pairs."""
    return [stitch_comparison(ModelId("f", "a"), ModelId("g", "b"), evaluation, *pair, settings, phi) for pair in pairs]

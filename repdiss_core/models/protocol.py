"""What every measure expects of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from torch import Tensor

from repdiss_core.data.batches import TokenBatch


@runtime_checkable
class ResidualModel(Protocol):
    """A transformer that can be cut between its blocks.

    `blocks` and `head` always work on the raw residual stream, so that `head(blocks(embed(x), 0, n_layers))` is the
    model's own output; `resid_mean` changes `residuals` alone, which features are made of.
    """

    name: str
    n_layers: int
    d_model: int
    vocab_size: int

    def embed(self, batch: TokenBatch) -> Tensor:
        """(b, t, d_model): the residual stream before block 1."""
        ...

    def blocks(self, h: Tensor, a: int, b: int, batch: TokenBatch) -> Tensor:
        """(b, t, d_model) after blocks a+1 … b of a raw stream; differentiable in h; 0 <= a <= b <= n_layers."""
        ...

    def head(self, h: Tensor, batch: TokenBatch) -> Tensor:
        """(b, t, vocab_size) logits: final norm and unembedding."""
        ...

    def residuals(self, batch: TokenBatch) -> Iterator[Tensor]:
        """(b, t, d_model) after block 1, 2 … n_layers, without gradient, with `resid_mean` applied."""
        ...

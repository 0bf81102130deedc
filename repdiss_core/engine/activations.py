"""Residual streams batch by batch, from a disk cache within a stated budget or from a forward pass."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import diskcache
import numpy as np

from repdiss_core.base.comparison import DataId, ModelId
from repdiss_core.base.paths import local_root, number_setting
from repdiss_core.store.storage import DamagedEntry, open_diskcache, pack, unpack

if TYPE_CHECKING:
    import torch

    from repdiss_core.data.batches import TokenBatch
    from repdiss_core.models.protocol import ResidualModel

DEFAULT_BUDGET_GB = 2.0
# A batch that takes more than one part in this of the budget is not kept: it would push out all others
LARGEST_SHARE = 16
EMBEDDING = "embedding"  # where layer 0 is read; no hook of a comparison


class ActivationCache:
    """float32 residual streams on disk; the oldest batches leave when the budget is reached.

    Args:
        directory: default `cache/local/activations`.
        budget_bytes: default `REPDISS_ACTIVATIONS_GB` (2); 0 turns the cache off.

    `home` is the device on which features are handed over: models may stand on several.
    """

    def __init__(self, directory: Path | None = None, budget_bytes: int | None = None) -> None:
        self.home = "cpu"
        if budget_bytes is None:
            budget_bytes = int(number_setting("REPDISS_ACTIVATIONS_GB", DEFAULT_BUDGET_GB) * 2**30)
        self.budget_bytes = budget_bytes
        self.problems: list[str] = []
        self._cache = None
        if budget_bytes > 0:
            try:
                self._cache = open_diskcache(directory or local_root() / "activations", budget_bytes)
            except (OSError, sqlite3.Error) as error:
                self._go_without(error)

    def get(self, key: str) -> dict[str, np.ndarray] | None:
        """The stored layers, or None; a damaged entry counts as absent and is told in `problems`."""
        if self._cache is None:
            return None
        try:
            data = self._cache.reader.find(key)
            if data is None:
                return None
            layers, meta = unpack(data)
            if meta.get("key") != key:
                raise DamagedEntry("they belong to another batch")
            return layers
        except (DamagedEntry, sqlite3.DatabaseError, OSError) as error:
            self.problems.append(f"Cached activations {key[:12]} were damaged and are computed anew ({error}).")
            return None

    def takes(self, n_bytes: int) -> bool:
        """Whether a batch of that size is kept."""
        return self._cache is not None and n_bytes * LARGEST_SHARE <= self.budget_bytes

    def put(self, key: str, layers: dict[str, np.ndarray]) -> None:
        """Store layers; where the disk refuses, the computation goes on without the cache."""
        if not self.takes(sum(h.nbytes for h in layers.values())) or self._cache is None:
            return
        try:
            self._cache.set(key, pack(layers, {"key": key}), retry=True)
        except (OSError, sqlite3.Error, diskcache.Timeout) as error:
            self._go_without(error)

    def _go_without(self, error: Exception) -> None:
        self.problems.append(f"Activations could not be cached ({error}); the computation went on without.")
        self._cache = None


def batch_key(
    model: ModelId, data: DataId, hook: str, resid_mean: str, dtype: str, index: int, tokenizer: str = ""
) -> str:
    """Names the residual streams of one model on one batch.

    Args:
        tokenizer: what tells the model's from another, where the data are texts; "" where they are tokens.
    """
    parts: tuple[str | int, ...] = (
        model.name,
        model.weights,
        data.name,
        data.split,
        data.content,
        data.sequences_per_batch,
    )
    parts += (data.tokens_per_sequence, data.seed, hook, resid_mean, dtype, index)
    parts += (tokenizer,) if tokenizer else ()
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


def residual_streams(
    load: Callable[[], ResidualModel], batch: TokenBatch, key: str, cache: ActivationCache
) -> list[torch.Tensor]:
    """[(b, t, d)] float32 after block 1 … L on the cache's `home`, from the cache where it holds them;
    else from `load()`."""
    import torch

    stored = cache.get(key)
    if stored:
        return [torch.from_numpy(stored[name]).to(cache.home) for name in sorted(stored)]
    layers = [h.float().to(cache.home) for h in load().residuals(batch)]
    if cache.takes(sum(h.numel() * 4 for h in layers)):
        cache.put(key, {f"{layer:03d}": h.cpu().numpy() for layer, h in enumerate(layers, start=1)})
    return layers


def embedding_stream(
    load: Callable[[], ResidualModel], batch: TokenBatch, key: str, cache: ActivationCache, resid_mean: str
) -> list[torch.Tensor]:
    """[(b, t, d)] float32: what block 1 reads, alone; with each token's mean over d_model "removed" or "kept"."""
    import torch

    stored = cache.get(key)
    if stored:
        return [torch.from_numpy(stored["000"]).to(cache.home)]
    with torch.no_grad():
        h = load().embed(batch).float()
        h = (h - h.mean(dim=-1, keepdim=True) if resid_mean == "removed" else h).to(cache.home)
    if cache.takes(h.numel() * 4):
        cache.put(key, {"000": h.cpu().numpy()})
    return [h]

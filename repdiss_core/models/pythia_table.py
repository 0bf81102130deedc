"""The parts of the eight Pythia models' configurations that Table 1 of the paper rests on, as they are published."""

from __future__ import annotations

from typing import Any


def _config(n_layers: int, d_model: int, n_heads: int) -> dict[str, Any]:
    return {"num_hidden_layers": n_layers, "hidden_size": d_model, "num_attention_heads": n_heads, "rotary_pct": 0.25}


PYTHIA_CONFIGS: dict[str, dict[str, Any]] = {
    "pythia-70m": _config(6, 512, 8),
    "pythia-160m": _config(12, 768, 12),
    "pythia-410m": _config(24, 1024, 16),
    "pythia-1b": _config(16, 2048, 8),
    "pythia-1.4b": _config(24, 2048, 16),
    "pythia-2.8b": _config(32, 2560, 32),
    "pythia-6.9b": _config(32, 4096, 32),
    "pythia-12b": _config(36, 5120, 40),
}

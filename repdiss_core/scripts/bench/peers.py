"""Other people's CKA, called the way their documentation says, on features at hand."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from importlib import import_module

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from repdiss_core.measures.matrix import cka_matrix

Cka = Callable[[list[Tensor], list[Tensor]], np.ndarray]
INSTALL = "pip install -r requirements-dev.txt"


def ours(f: list[Tensor], g: list[Tensor]) -> np.ndarray:
    """(L_f, L_g) by `cka_matrix`, one batch."""
    return cka_matrix([f], [g]).values


def pytorch_cka(f: list[Tensor], g: list[Tensor]) -> np.ndarray:
    """(L_f, L_g) by pytorch_cka's function for features; it takes a list of layers too, which is slower than one
    stacked tensor."""
    return import_module("cka").cka_from_features(torch.stack(f), torch.stack(g)).double().numpy()


class _Features(nn.Module):
    """A model whose named layers output given features: torch_cka reads features through hooks only."""

    def __init__(self, layers: list[Tensor]) -> None:
        super().__init__()
        self.outputs = layers
        self.layers = nn.ModuleList(nn.Identity() for _ in layers)

    def forward(self, _: Tensor) -> None:
        for layer, x in zip(self.layers, self.outputs):
            layer(x)


def torch_cka(f: list[Tensor], g: list[Tensor]) -> np.ndarray:
    """(L_f, L_g) by torch_cka."""
    names = [[f"layers.{i}" for i in range(len(layers))] for layers in (f, g)]
    loader = DataLoader(TensorDataset(torch.arange(len(f[0]))), batch_size=len(f[0]))
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):  # a progress bar for one batch
        warnings.simplefilter("ignore")
        comparison = import_module("torch_cka").CKA(_Features(f), _Features(g), "f", "g", *names)
        comparison.compare(loader, loader)
    return comparison.export()["CKA"].double().numpy()


PEERS: dict[str, tuple[str, Cka]] = {"pytorch_cka": ("cka", pytorch_cka), "torch_cka": ("torch_cka", torch_cka)}


def installed_peers() -> dict[str, Cka]:
    """The peers that can be imported here."""
    found = {}
    for name, (module, function) in PEERS.items():
        with contextlib.suppress(ImportError):
            import_module(module)
            found[name] = function
    return found

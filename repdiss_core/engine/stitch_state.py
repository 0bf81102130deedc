"""One stitch on its way: phi, its optimiser, its learning curve and the losses evaluated so far (torch)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from repdiss_core.base.comparison import Comparison
from repdiss_core.base.results import StitchResult
from repdiss_core.data.batches import TokenBatch
from repdiss_core.measures import spec_of
from repdiss_core.measures.protocol import StitchMeasure
from repdiss_core.measures.stitch_settings import StitchSettings
from repdiss_core.models.protocol import ResidualModel

CURVE_POINTS = 400
# Raised whenever training gives other numbers, so that no checkpoint of another training is taken up.
TRAINING_VERSION = 2
LOSSES = ("loss", "loss_closed_form", "loss_f", "loss_g")


class StitchState:
    """A stitch that can be trained a step at a time, evaluated a batch at a time, saved and resumed.

    Args:
        comparison: names the layers.
        settings: how phi is trained; None for identity stitching, which has no phi.
    """

    def __init__(self, comparison: Comparison, settings: StitchSettings | None) -> None:
        self.comparison, self.settings = comparison, settings
        self.measure: StitchMeasure = spec_of(comparison).load()
        self.layer_f, self.layer_g = comparison.layer_pair
        self.phi: Any = None
        self.closed: Any = None
        self.start: list[Tensor] = []
        self.optimizer: torch.optim.SGD | None = None
        self.curve: list[float] = []
        self.losses: dict[str, list[np.ndarray]] = {name: [] for name in LOSSES}
        self.failure = ""
        self.provenance: dict[str, Any] = {}

    @property
    def training(self) -> StitchSettings:
        """How phi is trained; identity stitching, which trains nothing, never asks."""
        assert self.settings is not None
        return self.settings

    @property
    def steps(self) -> int:
        """Training steps in all; 0 for identity stitching."""
        return self.settings.steps if self.settings else 0

    @property
    def step(self) -> int:
        """Training steps done."""
        return len(self.curve)

    @property
    def evaluated(self) -> int:
        """Evaluation batches done."""
        return len(self.losses["loss"])

    @property
    def needs_fit(self) -> bool:
        """Whether phi's closed form has still to be fitted."""
        return self.settings is not None and self.closed is None

    def begin(self, closed: nn.Module) -> None:
        """Sets phi to its start, given the closed form."""
        self.closed = closed.requires_grad_(False)
        self._train_from(self._start())

    def train_step(self, g: ResidualModel, residual: Tensor, batch: TokenBatch) -> None:
        """One step of SGD on a batch, from f's residual (b, t, d_f); only g's blocks above the stitch and its head run.

        A loss that is not finite ends this stitch with a sentence in `failure`; phi keeps the last finite values.
        """
        parameters = list(self.phi.parameters())
        with torch.enable_grad():
            top = g.blocks(self.phi(residual), self.layer_g, g.n_layers, batch)
        loss, at_top = self.measure.gradient(g, top, batch)
        gradients = torch.autograd.grad(top, parameters, at_top)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.training.clip)
        for parameter, start in zip(parameters, self.start, strict=True):
            parameter.grad.add_(parameter.detach() - start, alpha=self.training.weight_decay)
        if not np.isfinite(loss) or not torch.isfinite(norm):
            self.failure = (
                f"Training phi {self.comparison.layer_pairs.text} from {self.comparison.f.name} into "
                f"{self.comparison.g.name} gave a loss or a "
                f"gradient that is not finite at step {self.step + 1} of {self.steps} with lr {self.training.lr:g}; "
                f"expected finite "
                "values: try lr 0.1, a longer warm-up or the least-squares start."
            )
            return
        assert self.optimizer is not None, "`begin` or `restore` comes first"
        self.optimizer.param_groups[0]["lr"] = self.training.rate(self.step)
        self.optimizer.step()
        self.curve.append(loss)

    def add_losses(self, **losses: Tensor | None) -> None:
        """Takes in one evaluation batch: (b,) nats a token of each sequence by name; None where there is none."""
        for name, values in losses.items():
            self.losses[name].append(np.zeros(0) if values is None else values.double().cpu().numpy())

    def result(self, n_batches: int) -> StitchResult:
        """What is known so far; the losses only once all `n_batches` batches are evaluated."""
        finished = self.evaluated >= n_batches and self.step >= self.steps
        losses = {name: _joined(parts[:n_batches] if finished else []) for name, parts in self.losses.items()}
        step, train_loss = block_means(np.array(self.curve))
        provenance = self.provenance | ({"failed": self.failure} if self.failure else {})
        return StitchResult(
            self.layer_f, self.layer_g, **losses, step=step, train_loss=train_loss,
            steps_done=self.step, steps=self.steps, provenance=provenance,
        )  # fmt: skip

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays, plain values) from which `restore` goes on exactly."""
        arrays = {"curve": np.array(self.curve, dtype=np.float64)}
        for name, parts in self.losses.items():
            arrays[f"losses.{name}"] = _joined(parts)
        if self.phi is not None and self.optimizer is not None:
            for name, parameter in self.phi.named_parameters():
                arrays[f"phi.{name}"] = parameter.detach().cpu().numpy()
                buffer = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
                if buffer is not None and self.step < self.steps:
                    arrays[f"momentum.{name}"] = buffer.cpu().numpy()
            arrays |= {f"closed.{name}": p.cpu().numpy() for name, p in self.closed.named_parameters()}
        sizes = {name: [len(part) for part in parts] for name, parts in self.losses.items()}
        return arrays, {"sizes": sizes, "has_phi": self.phi is not None, "training_version": TRAINING_VERSION}

    def restore(self, arrays: dict[str, np.ndarray], plain: dict[str, Any], device: torch.device | str) -> None:
        """Goes on from `to_arrays`; a ValueError where that was written by another version of the training."""
        if plain["training_version"] != TRAINING_VERSION:
            raise ValueError(f"training version {plain['training_version']}, expected {TRAINING_VERSION}")
        if plain["has_phi"]:
            self.closed = self._layer(arrays, "closed.", device).requires_grad_(False)
            optimizer = self._train_from(self._layer(arrays, "phi.", device))
            for name, parameter in self.phi.named_parameters():
                if f"momentum.{name}" in arrays:
                    momentum = torch.tensor(arrays[f"momentum.{name}"], device=device)
                    optimizer.state[parameter]["momentum_buffer"] = momentum
        self.curve = arrays["curve"].tolist()
        for name, sizes in plain["sizes"].items():
            self.losses[name] = np.split(arrays[f"losses.{name}"], np.cumsum(sizes)[:-1]) if sizes else []

    def _start(self) -> Any:
        """phi before training."""
        weight = self.closed.affine.weight
        layer = self.measure.new_map(weight.shape[1], weight.shape[0]).to(weight.device)
        if self.training.init == "least_squares":
            layer.load_state_dict(self.closed.state_dict())
        return layer

    def _train_from(self, phi: nn.Module) -> torch.optim.SGD:
        self.phi, s = phi, self.training
        self.start = [parameter.detach() for parameter in self._start().parameters()]
        self.optimizer = torch.optim.SGD(phi.parameters(), lr=s.lr, momentum=s.momentum, nesterov=s.nesterov)
        return self.optimizer

    def _layer(self, arrays: dict[str, np.ndarray], prefix: str, device: torch.device | str) -> Any:
        """The map whose parameters a checkpoint holds."""
        d_g, d_f = arrays[f"{prefix}affine.weight"].shape
        layer = self.measure.new_map(d_f, d_g).to(device)
        layer.load_state_dict({name: torch.tensor(arrays[prefix + name]) for name in layer.state_dict()})
        return layer


def block_means(curve: np.ndarray, points: int = CURVE_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """(steps, losses) of a learning curve in at most `points` points: means over blocks of equal length.

    A point's step is the last one of its block, counted from 1; the last block may be shorter.
    """
    length = max(1, -(-len(curve) // points))
    ends = np.minimum(np.arange(length, len(curve) + length, length), len(curve))
    return ends.astype(np.int64), np.array([curve[max(0, (i * length)) : end].mean() for i, end in enumerate(ends)])


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0)

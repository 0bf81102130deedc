"""Model stitching: phi between f's residual stream and g's, its closed form, and the loss behind g's head (torch)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repdiss_core.base.errors import UserError

RIDGE = 1e-6
EPS = 1e-5
# Logits held at once (at least those of one sequence): 4 MB in float32 on a CPU, near its cache, 1 GB on a GPU.
LOGITS_AT_ONCE = {"cpu": 2**20, "cuda": 2**28}


class StitchingLayer(nn.Module):
    """phi(x) = W LN(x) + b, from width d_f to width d_g (appendix C.1: an affine map with an additional LayerNorm).

    A new layer has LayerNorm weight 1, bias 0. "Identity start" means W = I, b = 0: phi(x) = LN(x), not x. Each token
    keeps its direction (less the mean over d_model, which pre-LayerNorm blocks ignore) but gets the norm
    sqrt(d), so that g's next blocks add to a stream of another scale than they were trained with. phi = id lies outside
    this family; a model stitched into itself therefore starts above penalty 0 and training has to find the scale.

    Args:
        d_f, d_g: widths of the two residual streams.
    """

    def __init__(self, d_f: int, d_g: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_f, eps=EPS)
        self.affine = nn.Linear(d_f, d_g)
        with torch.no_grad():
            self.affine.weight.zero_().fill_diagonal_(1.0)
            self.affine.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """(…, d_f) residuals of f to (…, d_g) residuals for g; computed in phi's dtype, returned in x's."""
        return self.affine(self.norm(x.to(self.affine.weight.dtype))).to(x.dtype)


class AffineFit:
    """The affine map after a LayerNorm that is nearest, in squared error over tokens, to g's residuals.

    Minimises mean |W LN(x) + b − y|² + ridge·|W|² by float64 normal equations; ridge is 1e-6 of the mean variance of
    LN(x). The ridge picks a solution where there are many: LN(x) has mean 0 over features and so never has full rank.
    """

    def __init__(self, d_f: int, d_g: int, device: torch.device | str = "cpu") -> None:
        self.gram = torch.zeros(d_f + 1, d_f + 1, dtype=torch.float64, device=device)
        self.cross = torch.zeros(d_f + 1, d_g, dtype=torch.float64, device=device)
        self.n_tokens = 0

    def add(self, x: Tensor, y: Tensor) -> None:
        """Takes in more tokens: x (n, d_f) from f, y (n, d_g) from g."""
        normed = F.layer_norm(x.double(), x.shape[-1:], eps=EPS)
        rows = torch.cat([normed, normed.new_ones(len(normed), 1)], dim=1)
        self.gram += rows.T @ rows
        self.cross += rows.T @ y.double()
        self.n_tokens += len(rows)

    def phi(self) -> StitchingLayer:
        """The fitted stitching layer (LayerNorm weight 1 and bias 0).

        Raises:
            UserError: fewer tokens than unknowns, or residuals that are not finite.
        """
        d_f, d_g = len(self.gram) - 1, self.cross.shape[1]
        if self.n_tokens <= d_f + 1:
            raise UserError(
                f"The closed-form stitch was given {self.n_tokens} tokens for {d_f + 1} unknowns an output; "
                f"expected more tokens "
                "than unknowns: raise fit_batches or the size of the phi-training split."
            )
        if not (torch.isfinite(self.gram).all() and torch.isfinite(self.cross).all()):
            raise UserError(
                "The residuals for the closed-form stitch hold NaN or infinite values; "
                "check the models' weights and the dtype."
            )
        gram = self.gram / self.n_tokens
        gram.diagonal()[:d_f] += RIDGE * gram.diagonal()[:d_f].mean()
        solution = torch.linalg.solve(gram, self.cross / self.n_tokens)
        layer = StitchingLayer(d_f, d_g).to(self.gram.device)
        with torch.no_grad():
            layer.affine.weight.copy_(solution[:d_f].T)
            layer.affine.bias.copy_(solution[d_f])
        return layer


def closed_form_phi(x: Tensor, y: Tensor) -> StitchingLayer:
    """The least-squares phi from residuals x (n, d_f) of f to residuals y (n, d_g) of g on the same tokens.

    It has the same LayerNorm as a trained phi, so that it is exactly the start "least_squares".
    """
    fit = AffineFit(x.shape[-1], y.shape[-1], x.device)
    fit.add(x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1]))
    return fit.phi()


@dataclass(frozen=True)
class Targets:
    """The next token at each position (b, t), and which positions count (b, t); the last one never does."""

    tokens: Tensor
    valid: Tensor

    def rows(self, part: slice) -> Targets:
        """The targets of some sequences."""
        return Targets(self.tokens[part], self.valid[part])


def next_tokens(batch: Any, device: torch.device | str) -> Targets:
    """What a language model should predict on a `TokenBatch`, without padding where the batch has a mask."""
    tokens = torch.as_tensor(batch.tokens, device=device)
    valid = torch.ones_like(tokens, dtype=torch.bool)
    if batch.mask is not None:
        valid &= torch.as_tensor(batch.mask, device=device)
    following = valid.roll(-1, dims=1)
    following[:, -1] = False
    return Targets(tokens.roll(-1, dims=1), valid & following)


@torch.no_grad()
def sequence_losses(model: Any, h: Tensor, batch: Any) -> Tensor:
    """(b,) float64: mean cross-entropy of each sequence behind the model's head, in nats a token, from h (b, t, d)."""
    losses = []
    for rows in _parts(h, model.vocab_size):
        part = take_sequences(batch, rows)
        targets = next_tokens(part, h.device)
        log_p = F.log_softmax(model.head(h[rows], part).float(), dim=-1)
        losses.append(_mean_by_sequence(_negative(log_p, targets), targets))
    return torch.cat(losses)


def head_gradient(model: Any, h: Tensor, batch: Any) -> tuple[float, Tensor]:
    """The mean cross-entropy over all predicted tokens of a batch and its gradient with respect to h (b, t, d).

    The gradient at the logits is softmax − one-hot, written over the probabilities; the logits of a few sequences exist
    at a time.
    """
    n_predicted = int(next_tokens(batch, "cpu").valid.sum())
    if n_predicted == 0:
        raise UserError(
            "A batch for training a stitching layer has no token to predict; "
            "expected sequences of at least 2 tokens that are not padding."
        )
    gradient, total = torch.empty_like(h), torch.zeros((), dtype=torch.float64, device=h.device)
    for rows in _parts(h, model.vocab_size):
        part = take_sequences(batch, rows)
        targets = next_tokens(part, h.device)
        leaf = h[rows].detach().requires_grad_(True)
        with torch.enable_grad():
            logits = model.head(leaf, part)
        log_p = F.log_softmax(logits.detach().float(), dim=-1)
        total += (_negative(log_p, targets) * targets.valid).sum()
        at_logits = log_p.exp_()
        at_logits.scatter_add_(2, targets.tokens[..., None], at_logits.new_full((*targets.tokens.shape, 1), -1.0))
        at_logits *= (targets.valid / n_predicted)[..., None]
        (gradient[rows],) = torch.autograd.grad(logits, leaf, at_logits.to(logits.dtype))
    return float(total) / n_predicted, gradient


def take_sequences(batch: Any, rows: slice) -> Any:
    """Some sequences of a `TokenBatch`."""
    mask = None if batch.mask is None else batch.mask[rows]
    labels = None if batch.labels is None else batch.labels[rows]
    return dataclasses.replace(batch, tokens=batch.tokens[rows], mask=mask, labels=labels)


def _parts(h: Tensor, vocab_size: int) -> Iterator[slice]:
    n_sequences, n_tokens = h.shape[:2]
    step = max(1, LOGITS_AT_ONCE.get(h.device.type, LOGITS_AT_ONCE["cpu"]) // (n_tokens * vocab_size))
    for start in range(0, n_sequences, step):
        yield slice(start, start + step)


def _negative(log_p: Tensor, targets: Targets) -> Tensor:
    return -log_p.gather(2, targets.tokens[..., None])[..., 0].double()


def _mean_by_sequence(nats: Tensor, targets: Targets) -> Tensor:
    return (nats * targets.valid).sum(1) / targets.valid.sum(1)

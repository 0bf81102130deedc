"""Trains all stitching layers of one pair of models together, evaluates them, and survives being killed (torch)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repdiss_core.base.comparison import Comparison
from repdiss_core.base.errors import UserError
from repdiss_core.base.results import StitchResult
from repdiss_core.data.batches import TokenBatch, TokenStream
from repdiss_core.engine.checkpoint import CheckpointDir
from repdiss_core.engine.stitch_checks import check_evaluation, check_pair, check_streams, check_widths
from repdiss_core.engine.stitch_state import StitchState
from repdiss_core.measures import spec_of
from repdiss_core.models.protocol import ResidualModel

SAVE_SECONDS = 3.0
PROGRESS_SECONDS = 0.2
MEMORY_BYTES = 2**29


def run_stitches(
    comparisons: Sequence[Comparison],
    f: ResidualModel,
    g: ResidualModel,
    eval_stream: TokenStream,
    phi_stream: TokenStream,
    n_eval_batches: int,
    store_partial: Callable[[Comparison, StitchResult], None],
    checkpoints: CheckpointDir,
    progress: Callable[[float, str], None],
    should_stop: Callable[[], bool],
    tokenizers: tuple[str, str] | None = None,
) -> None:
    """Trains and evaluates one phi for each comparison, all of one (f, g) and one setting, and hands the results over.

    A phi that is trained beside others gets the same bits as one trained alone. Stopping (or being killed) and starting
    again with the same arguments gives the numbers of an undisturbed run, also with another selection of layers.

    Args:
        f, g: residual models, bottom and top; g is f for a stitch into itself (then nothing runs twice).
        eval_stream, phi_stream: token streams without common tokens. The phi stream is gone through as often as the
            steps need, each epoch in an order of its own that the stream's seed fixes.
        store_partial: gets unfinished results (loss empty) every few seconds and the finished ones.
        progress: (share done, message). should_stop: asked between batches; work is saved before returning.
        tokenizers: hashes of the models' tokenizers where known. Raises:
        UserError: what cannot be stitched; after all other phi are finished and stored, one whose loss was not finite.
    """
    check_pair(comparisons, f, g, tokenizers)
    check_evaluation(comparisons[0], eval_stream, n_eval_batches)
    check_streams(comparisons[0], eval_stream.data_id, phi_stream.data_id)
    settings = spec_of(comparisons[0]).load().settings(comparisons[0])
    if settings.init == "identity":
        check_widths(f, g, "The identity start")
    if phi_stream.n_batches < 1:
        raise UserError(
            f"{phi_stream.data_id.name}/{phi_stream.data_id.split} holds no full batch to train phi on; "
            "ask for smaller batches."
        )
    states = [StitchState(comparison, settings) for comparison in comparisons]
    run = _Pass(states, f, g, n_eval_batches, store_partial, checkpoints, progress, should_stop)
    provenance = _training_provenance(settings, phi_stream)
    for state in states:
        state.provenance = run.provenance | provenance
    run.restore()
    if run.fit(phi_stream, settings.fit_batches) and run.train(phi_stream):
        run.evaluate(eval_stream)
    failures = [state.failure for state in states if state.failure]
    if failures:
        raise UserError(" ".join(failures))


def run_identity_stitches(
    comparisons: Sequence[Comparison],
    f: ResidualModel,
    g: ResidualModel,
    eval_stream: TokenStream,
    n_eval_batches: int,
    store_partial: Callable[[Comparison, StitchResult], None],
    checkpoints: CheckpointDir,
    progress: Callable[[float, str], None],
    should_stop: Callable[[], bool],
    tokenizers: tuple[str, str] | None = None,
) -> None:
    """Evaluates g's upper blocks on f's residuals with phi = id; a model stitched so into itself has penalty exactly 0.

    Args and errors as in `run_stitches`, without training; both models need the same width.
    """
    check_pair(comparisons, f, g, tokenizers)
    check_widths(f, g, "Identity stitching")
    check_evaluation(comparisons[0], eval_stream, n_eval_batches)
    states = [StitchState(comparison, None) for comparison in comparisons]
    run = _Pass(states, f, g, n_eval_batches, store_partial, checkpoints, progress, should_stop)
    for state in states:
        state.provenance = dict(run.provenance)
    run.restore()
    run.evaluate(eval_stream)


class _Pass:
    """The work on a list of stitches that share their models."""

    def __init__(
        self,
        states: list[StitchState],
        f: ResidualModel,
        g: ResidualModel,
        n_eval: int,
        store_partial: Callable[[Comparison, StitchResult], None],
        checkpoints: CheckpointDir,
        progress: Callable[[float, str], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.states: list[StitchState] = states
        self.measure = states[0].measure
        self.f, self.g, self.n_eval = f, g, n_eval
        self.store_partial, self.checkpoints, self.progress, self.should_stop = (
            store_partial,
            checkpoints,
            progress,
            should_stop,
        )
        self.memory: dict[int, dict[int, Tensor]] = {}
        self.memory_left = MEMORY_BYTES
        self.last_save = self.last_progress = time.monotonic()
        self.provenance = {"n_eval_batches": n_eval, "torch": torch.__version__, "threads": torch.get_num_threads()}

    def restore(self) -> None:
        """Reads the checkpoints of all stitches; what cannot be used is reported and starts afresh."""
        device = getattr(self.f, "device", "cpu")
        for at, state in enumerate(self.states):
            key = state.comparison.key
            saved = self.checkpoints.load(key)
            if saved is None:
                continue
            try:
                state.restore(*saved, device=device)
            except (KeyError, ValueError, RuntimeError) as error:
                self.checkpoints.reject(key, f"does not fit this stitch ({error})")
                self.states[at] = StitchState(state.comparison, state.settings)
                self.states[at].provenance = state.provenance

    def fit(self, stream: TokenStream, n_batches: int) -> bool:
        """Fits the closed form of every stitch that has none, on the first batches of the phi stream."""
        waiting = [state for state in self.states if state.needs_fit]
        n_batches = min(n_batches, stream.n_batches)
        fits: dict[StitchState, Any] = {}
        for i in range(n_batches if waiting else 0):
            batch = stream.batch(i)
            from_f = self._remembered(i, batch)
            from_g = from_f if self.g is self.f else {}
            from_g = residuals_at(self.g, batch, {s.layer_g for s in waiting} - from_g.keys()) | from_g
            for state in waiting:
                x, y = from_f[state.layer_f].flatten(0, 1), from_g[state.layer_g].flatten(0, 1)
                if state not in fits:
                    fits[state] = self.measure.new_fit(x.shape[1], y.shape[1], x.device)
                fits[state].add(*_counted(batch, x, y))
            if self._tick(f"least-squares stitch: batch {i + 1} of {n_batches}", 0.1 * (i + 1) / n_batches):
                return False
        for state in waiting:
            state.begin(fits[state].phi())
        return True

    def train(self, stream: TokenStream) -> bool:
        """Trains every phi to its last step; False when told to stop. Stitches saved at earlier steps catch up."""
        while pending := [s for s in self.states if s.step < s.steps and not s.failure]:
            step = min(state.step for state in pending)
            i = batch_of_step(step, stream.n_batches, stream.data_id.seed)
            batch = stream.batch(i)
            residuals = self._remembered(i, batch)
            active = [state for state in pending if state.step == step]
            for state in active:
                state.train_step(self.g, residuals[state.layer_f], batch)
            done = step + 1
            losses = ", ".join(f"{s.comparison.layer_pairs.text} {s.curve[-1]:.3f}" for s in active if s.curve)
            if self._tick(
                f"training phi: step {done} of {active[0].steps} ({losses})", 0.1 + 0.6 * done / active[0].steps
            ):
                return False
        self._save()
        return True

    def evaluate(self, stream: TokenStream) -> None:
        """Measures every stitch, and both models, on the first batches of the evaluation stream; stores the results."""
        self.memory.clear()
        for i in range(self.n_eval):
            active = [state for state in self.states if state.evaluated == i and not state.failure]
            if not active:
                continue
            self._evaluate_batch(active, stream.batch(i))
            if (
                self._tick(f"evaluating: batch {i + 1} of {self.n_eval}", 0.7 + 0.3 * (i + 1) / self.n_eval)
                and i + 1 < self.n_eval
            ):
                return
        self._save()
        self.progress(1.0, "done")

    @torch.no_grad()
    def _evaluate_batch(self, active: list[StitchState], batch: TokenBatch) -> None:
        f, g, losses = self.f, self.g, self.measure.losses
        residuals = residuals_at(f, batch, {s.layer_f for s in active} | {f.n_layers})
        loss_f = losses(f, residuals[f.n_layers], batch)
        loss_g = loss_f if g is f else losses(g, g.blocks(g.embed(batch), 0, g.n_layers, batch), batch)
        for state in active:
            x = residuals[state.layer_f]
            stitched = [phi(x) if phi is not None else None for phi in (state.phi, state.closed)]
            if state.phi is None:
                stitched[0] = x
            loss, closed = (h if h is None else self._upper_losses(h, state.layer_g, batch) for h in stitched)
            state.add_losses(loss=loss, loss_closed_form=closed, loss_f=loss_f, loss_g=loss_g)

    def _upper_losses(self, h: Tensor, layer_g: int, batch: TokenBatch) -> Tensor:
        return self.measure.losses(self.g, self.g.blocks(h, layer_g, self.g.n_layers, batch), batch)

    def _remembered(self, i: int, batch: TokenBatch) -> dict[int, Tensor]:
        """f's residuals on phi batch i at the layers of all stitches; kept for the next epochs while memory lasts."""
        if i in self.memory:
            return self.memory[i]
        residuals = residuals_at(self.f, batch, {state.layer_f for state in self.states})
        size = sum(h.numel() * h.element_size() for h in residuals.values())
        if size <= self.memory_left:
            self.memory[i] = residuals
            self.memory_left -= size
        return residuals

    def _tick(self, message: str, share: float) -> bool:
        """Reports progress, saves when it is time, and says whether to stop (after saving)."""
        now = time.monotonic()
        if now - self.last_progress >= PROGRESS_SECONDS:
            self.progress(share, message)
            self.last_progress = now
        stop = self.should_stop()
        if stop or now - self.last_save >= SAVE_SECONDS:
            self._save()
        return stop

    def _save(self) -> None:
        """Writes the checkpoint and the result so far of every stitch that has begun."""
        for state in self.states:
            if not state.needs_fit:
                if not state.failure:
                    self.checkpoints.save(state.comparison.key, *state.to_arrays())
                self.store_partial(state.comparison, state.result(self.n_eval))
        self.last_save = time.monotonic()


@torch.no_grad()
def residuals_at(model: ResidualModel, batch: TokenBatch, layers: Iterable[int]) -> dict[int, Tensor]:
    """{layer: raw residual (b, t, d)} after these blocks (0 is the embedding); nothing above the highest one runs."""
    found: dict[int, Tensor] = {}
    h, at = None, 0
    for layer in sorted(layers):
        h = model.embed(batch) if h is None else h
        h = model.blocks(h, at, layer, batch)
        found[layer], at = h, layer
    return found


def batch_of_step(step: int, n_batches: int, seed: int) -> int:
    """Which phi batch a step (from 0) trains on: each epoch goes through all, in an order fixed by (seed, epoch)."""
    epoch, place = divmod(step, n_batches)
    return int(np.random.default_rng([seed, epoch]).permutation(n_batches)[place])


def _counted(batch: TokenBatch, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of x and y at tokens that are not padding."""
    if batch.mask is None:
        return x, y
    rows = torch.as_tensor(batch.mask, device=x.device).flatten()
    return x[rows], y[rows]


def _training_provenance(settings: Any, stream: TokenStream) -> dict[str, Any]:
    tokens = stream.data_id.tokens_per_batch
    return {
        "settings": dataclasses.asdict(settings),
        "phi_data": dataclasses.asdict(stream.data_id),
        "phi_tokens_seen": settings.steps * tokens,
        "phi_epochs": settings.steps / stream.n_batches,
        "closed_form_tokens": min(settings.fit_batches, stream.n_batches) * tokens,
    }

"""Runs a stitch pass on tiny models and keeps what it stored, said and reported."""

from __future__ import annotations

import numpy as np

from repdiss_core.engine.checkpoint import CheckpointDir
from repdiss_core.engine.stitch_pass import run_identity_stitches, run_stitches
from repdiss_core.measures.stitch_settings import StitchSettings
from tests.engine.tiny_models import comparisons, stream

SETTINGS = StitchSettings(init="least_squares", steps=12, warmup_steps=3, lr=0.2, fit_batches=6)
EVAL, PHI = stream("eval", 5), stream("phi", 7)


class Harness:
    """Runs a pass and keeps what it stored, said and reported."""

    def __init__(self, folder, stop_after: int = 10**9) -> None:
        self.results, self.partial, self.messages, self.reports = {}, [], [], []
        self.checkpoints = CheckpointDir(folder, self.reports.append)
        self.questions, self.stop_after = 0, stop_after

    def store(self, comparison, result) -> None:
        (self.results if result.complete else {}).update({comparison.layer_pair: result})
        self.partial.append(result)

    def stop(self) -> bool:
        self.questions += 1
        return self.questions > self.stop_after

    def run(self, wanted, f, g, n_eval=5, evaluation=EVAL, phi=PHI, **more):
        run_stitches(
            wanted,
            f,
            g,
            evaluation,
            phi,
            n_eval,
            self.store,
            self.checkpoints,
            lambda *a: self.messages.append(a),
            self.stop,
            **more,
        )
        return self.results

    def identity(self, wanted, f, g, n_eval=5):
        run_identity_stitches(
            wanted, f, g, EVAL, n_eval, self.store, self.checkpoints, lambda *a: self.messages.append(a), self.stop
        )
        return self.results


def pairs_of(pairs, settings=SETTINGS, evaluation=EVAL, phi=PHI):
    return comparisons(pairs, settings, evaluation.data_id, phi.data_id)


def same(one, other) -> bool:
    return (
        all(np.array_equal(getattr(one, name), getattr(other, name)) for name in one.ARRAYS)
        and one.steps_done == other.steps_done
    )

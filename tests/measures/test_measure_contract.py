"""What each line of MEASURES declares is what its function does."""

from __future__ import annotations

import numpy as np
import pytest

from repdiss_core.measures import INVARIANCES, MEASURES

FEATURE_MEASURES = [spec for spec in MEASURES.values() if spec.needs == "features"]
N, D = 48, 6
RNG = np.random.default_rng(0)
ROTATION = np.linalg.qr(RNG.normal(size=(D, D)))[0]
SKEW = ROTATION @ np.diag([20.0, 5.0, 1.0, 1.0, 0.5, 0.1])
CHANGES = {
    "rotation": lambda x: x @ ROTATION,
    "isotropic_scale": lambda x: 37.5 * x,
    "shift": lambda x: x + np.arange(D),
    "invertible_linear": lambda x: x @ SKEW,
}


def cases():
    return [
        pytest.param(spec, estimator, id=f"{spec.name}-{estimator}")
        for spec in FEATURE_MEASURES
        for estimator in spec.estimators
    ]


def models() -> tuple[list, list]:
    f = [[RNG.normal(size=(N, D)) for _ in range(2)] for _ in range(3)]
    g = [[x @ RNG.normal(size=(D, D)) + 0.5 * RNG.normal(size=(N, D)) for x in batch] for batch in f]
    return f, g


def measured(spec, estimator, f, g):
    ids = [np.repeat(np.arange(8), N // 8)] * len(f)
    return spec.load()(f, g, estimator=estimator, sequence_ids=ids if estimator == "sequence_aware" else None).values


@pytest.mark.parametrize("change", INVARIANCES)
@pytest.mark.parametrize("spec, estimator", cases())
def test_declared_invariances_hold_and_no_others(spec, estimator, change):
    f, g = models()
    changed = [[CHANGES[change](x) for x in batch] for batch in g]
    gap = np.abs(measured(spec, estimator, f, changed) - measured(spec, estimator, f, g)).max()
    assert gap < 1e-9 if change in spec.invariant_to else gap > 1e-2


@pytest.mark.parametrize("spec, estimator", cases())
def test_symmetry_range_and_value_on_equal_input(spec, estimator):
    f, g = models()
    values = measured(spec, estimator, f, g)
    swapped = measured(spec, estimator, g, f).T
    assert np.allclose(values, swapped, atol=1e-12) == spec.symmetric
    assert (values >= spec.range[0]).all() and (values <= spec.range[1]).all()
    assert (measured(spec, estimator, f, f).diagonal() == spec.self_value).all()
    copies = [[x.copy() for x in batch] for batch in f]
    np.testing.assert_allclose(measured(spec, estimator, f, copies).diagonal(), spec.self_value, atol=1e-12)


def test_every_line_is_complete():
    assert {"cka", "stitching", "identity_stitching"} <= set(MEASURES)
    for name, spec in MEASURES.items():
        assert spec.name == name and spec.label and spec.version >= 1 and spec.range[0] < spec.range[1]
        assert spec.needs in ("features", "models") and spec.direction in ("similar", "different")
        assert set(spec.invariant_to) <= set(INVARIANCES)
        assert spec.self_value is None or spec.range[0] <= spec.self_value <= spec.range[1]
        assert callable(spec.load())

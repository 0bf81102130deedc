"""Procrustes similarity against numpy's nuclear norm, wide layers included."""

from __future__ import annotations

import feature_cases as cases
import numpy as np
import pytest
import slow_forms as slow

from repdiss_core.base.errors import UserError
from repdiss_core.measures import procrustes


def test_every_cell_is_the_nuclear_norm_over_frobenius_norms():
    cases.check_against(procrustes.procrustes_matrix, slow.procrustes, tolerance=1e-7)
    cases.check_float32(procrustes.procrustes_matrix, slow.procrustes, 5e-7)


@pytest.mark.parametrize("n, widths", [(20, (50, 8)), (300, (350, 16))])
def test_layers_wider_than_the_batch_are_reduced_without_changing_the_value(n, widths):
    f, g = cases.layers(n, widths), cases.layers(n, widths, seed=1)
    prepared = procrustes.prepare(f)
    assert [x.shape[1] for x in prepared.factors] == [min(n, d) for d in widths]
    expected = [[slow.procrustes(x, y) for y in g] for x in f]
    np.testing.assert_allclose(procrustes.procrustes_matrix(f, g), expected, atol=5e-6)


def test_the_angle_is_a_distance():
    x, y, z = (cases.layers(widths=(8,), seed=s)[0] for s in range(3))
    angles = np.arccos(procrustes.procrustes_matrix([x, y, z], [x.copy(), y.copy(), z.copy()]).clip(max=1.0))
    assert angles[0, 2] <= angles[0, 1] + angles[1, 2]


def test_what_changes_it():
    cases.check_self_and_symmetry(procrustes.procrustes_matrix)
    cases.check_changes(procrustes.procrustes_matrix, {"rotation", "scale", "shift"}, {"invertible"})
    cases.check_independent(procrustes.procrustes_matrix, 0.293, 0.004)
    cases.check_constant_layers(procrustes.prepare, procrustes.cross, "Procrustes similarity")
    f = cases.layers()
    both = procrustes.procrustes_matrix(f, f)
    np.testing.assert_allclose(both, procrustes.procrustes_matrix(f, [x.copy() for x in f]), atol=1e-12)


def test_bad_input_and_cost():
    cases.check_bad_features(procrustes.procrustes_matrix)
    with pytest.raises(UserError, match="Procrustes similarity needs at least 2 tokens, and this batch holds 1"):
        procrustes.procrustes_matrix(cases.layers(1), cases.layers(1))
    assert procrustes.least_tokens(512, 512) == 2
    assert procrustes.flops(1024, 512, 512, 2, 3) == 6 * (2 * 1024 * 512**2 + 2 * 512**3 + 4 / 3 * 512**3)
    assert procrustes.flops(64, 512, 512) < procrustes.flops(1024, 512, 512)

"""PWCCA against canonical variates from the normal equations, and its direction."""

from __future__ import annotations

import feature_cases as cases
import numpy as np
import pytest
import slow_forms as slow

from repdiss_core.base.errors import UserError
from repdiss_core.measures import pwcca, svcca
from repdiss_core.measures.shared import LayerPreparations


def test_every_cell_is_the_weighted_mean():
    cases.check_against(pwcca.pwcca_matrix, slow.pwcca, tolerance=1e-7)
    cases.check_float32(pwcca.pwcca_matrix, slow.pwcca, 2e-5)


def test_what_changes_it():
    cases.check_self_and_symmetry(pwcca.pwcca_matrix, symmetric=False)
    cases.check_changes(pwcca.pwcca_matrix, {"rotation", "scale", "shift", "invertible"}, set())
    cases.check_changes(lambda f, g: pwcca.pwcca_matrix(g, f), {"scale", "shift"}, {"rotation", "invertible"})
    cases.check_independent(pwcca.pwcca_matrix, 0.301, 0.005)
    cases.check_constant_layers(pwcca.prepare, pwcca.cross, "PWCCA")


def test_it_shares_the_bases_of_svcca():
    shared = LayerPreparations(cases.layers())
    q = pwcca.prepare(shared).bases[0].q
    assert svcca.prepare(shared).components[0].data_ptr() == q.data_ptr()


def test_bad_input_and_cost():
    cases.check_bad_features(pwcca.pwcca_matrix)
    with pytest.raises(
        UserError, match="PWCCA of layers of 12 and 12 features .* holds 24: use batches of at least 25 tokens"
    ):
        pwcca.pwcca_matrix(cases.layers(24), cases.layers(24, seed=1))
    assert np.isfinite(pwcca.pwcca_matrix(cases.layers(25), cases.layers(25, seed=1))).all()
    assert pwcca.least_tokens(12, 12) == 25
    assert pwcca.flops(1024, 256, 256, 2, 2) > 2 * pwcca.flops(1024, 256, 256) > 0

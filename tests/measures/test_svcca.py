"""SVCCA against canonical correlations from the normal equations, and the n that it needs."""

from __future__ import annotations

import feature_cases as cases
import numpy as np
import pytest
import slow_forms as slow

from repdiss_core.base.errors import UserError
from repdiss_core.measures import svcca
from repdiss_core.measures.shared import BatchContext


def test_every_cell_is_the_mean_canonical_correlation_of_components():
    for variance in (0.5, 0.99, 1.0):
        cases.check_against(svcca.svcca_matrix, slow.svcca, tolerance=1e-6, variance=variance)
    cases.check_float32(svcca.svcca_matrix, slow.svcca, 2e-6)


def test_the_fewest_components_that_hold_the_share_are_kept():
    x = np.linalg.qr(np.random.default_rng(0).normal(size=(50, 5)) - 0.0)[0]
    x = np.linalg.qr(x - x.mean(axis=0))[0] * np.sqrt([60.0, 30.0, 8.0, 1.5, 0.5])
    for variance, count in ((0.6, 1), (0.61, 2), (0.99, 4), (1.0, 5)):
        components = svcca.prepare([x], BatchContext(settings={"variance": variance})).components
        assert components[0].shape == (50, count), variance


def test_a_layer_of_low_rank_has_as_many_components_as_its_rank():
    x = cases.layers(widths=(4,))[0]
    wide = np.concatenate([x, x[:, :2] + x[:, 2:]], axis=1)
    assert svcca.prepare([wide], BatchContext(settings={"variance": 1.0})).components[0].shape == (60, 4)


def test_what_changes_it():
    cases.check_self_and_symmetry(svcca.svcca_matrix)
    cases.check_changes(svcca.svcca_matrix, {"rotation", "scale", "shift"}, {"invertible"})
    cases.check_independent(svcca.svcca_matrix, 0.300, 0.005)
    cases.check_constant_layers(svcca.prepare, svcca.cross, "SVCCA")


def test_too_few_tokens_names_the_number_that_would_do():
    cases.check_bad_features(svcca.svcca_matrix)
    f, g = cases.layers(20, (12, 5)), cases.layers(20, (8,), seed=1)
    with pytest.raises(
        UserError, match="SVCCA of layers of 12 and 8 features .* holds 20: use batches of at least 21 tokens"
    ):
        svcca.svcca_matrix(f, g)
    assert svcca.least_tokens(12, 8) == 21
    assert np.isfinite(svcca.svcca_matrix(cases.layers(21, (12, 5)), cases.layers(21, (8,), seed=1))).all()
    with pytest.raises(UserError, match="SVCCA of layers of 30 .* holds 20"):
        svcca.prepare(cases.layers(20, (30,)))


def test_bad_settings():
    for variance in (0.0, 1.5):
        with pytest.raises(UserError, match="keeps lies above 0 and is at most 1"):
            svcca.svcca_matrix(cases.layers(), cases.layers(), variance=variance)
    half = svcca.prepare(cases.layers(), BatchContext(settings={"variance": 0.5}))
    with pytest.raises(UserError, match=r"f was prepared with 0.5 of its variance and g with 0.99: prepare both alike"):
        svcca.cross(half, svcca.prepare(cases.layers()))
    assert svcca.flops(1024, 256, 256, 12, 12) > svcca.flops(1024, 128, 128, 12, 12) > 0

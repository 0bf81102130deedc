"""CKNNA against the published formula with whole matrices, both orders averaged."""

from __future__ import annotations

import feature_cases as cases
import numpy as np
import pytest
import slow_forms as slow

from repdiss_core.base.errors import UserError
from repdiss_core.measures import cknna, mutual_knn
from repdiss_core.measures.shared import BatchContext, LayerPreparations

IDS = np.repeat(np.arange(6), 10)


def test_every_cell_is_the_published_value_of_both_orders_averaged():
    for k in (2, 10, 30):
        cases.check_against(cknna.cknna_matrix, slow.cknna, k=k)
    f, g = cases.layers(), cases.layers(seed=1)
    values = cknna.cknna_matrix(f, g, k=5, neighbours="other_sequences", sequence_ids=IDS)
    np.testing.assert_allclose(values, [[slow.cknna(x, y, 5, IDS) for y in g] for x in f], atol=1e-11)
    cases.check_float32(cknna.cknna_matrix, slow.cknna, 1e-3)


def test_the_published_order_matters_and_ours_does_not():
    x, y = cases.layers()[0], cases.layers(seed=1)[0]
    forward, backward = slow.published_cknna(x, y), slow.published_cknna(y, x)
    assert abs(forward - backward) > 1e-4
    assert cknna.cknna_matrix([x], [y])[0, 0] == pytest.approx((forward + backward) / 2, abs=1e-11)


def test_with_all_tokens_as_neighbours_it_is_unbiased_cka_of_cosines():
    from repdiss_core.measures.hsic import hsic1

    x, y = cases.layers()[0], cases.layers(seed=1)[0]
    K, L = slow.cosines(x), slow.cosines(y)
    expected = hsic1(K, L) / np.sqrt(hsic1(K, K) * hsic1(L, L))
    assert cknna.cknna_matrix([x], [y], k=59)[0, 0] == pytest.approx(expected, abs=1e-11)


def test_what_changes_it():
    cases.check_self_and_symmetry(cknna.cknna_matrix)
    cases.check_changes(cknna.cknna_matrix, {"rotation", "scale", "shift"}, {"invertible"})
    cases.check_independent(cknna.cknna_matrix, 0.072, 0.004)
    cases.check_constant_layers(cknna.prepare, cknna.cross, "CKNNA")


def test_a_layer_whose_alignment_with_itself_is_not_positive_has_no_value():
    x = np.eye(12) - 1 / 12  # all cosines equal and negative: masked, they do not align with themselves
    prepared = cknna.prepare([x, cases.layers(12)[0]], BatchContext(settings={"k": 11}))
    assert "layer 1 has no CKNNA: its alignment with itself is not positive" in prepared.notes
    assert np.isnan(cknna.cross(prepared, prepared)[0]).all() and cknna.cross(prepared, prepared)[1, 1] == 1.0


def test_it_reads_the_lists_of_mutual_knn():
    shared = LayerPreparations(cases.layers())
    assert cknna.prepare(shared).lists.index is mutual_knn.prepare(shared).index


def test_bad_input_says_what_would_do():
    cases.check_bad_features(cknna.cknna_matrix)
    with pytest.raises(
        UserError, match="CKNNA needs at least 4 tokens, and this batch holds 3: use batches of at least 4"
    ):
        cknna.cknna_matrix(cases.layers(3), cases.layers(3), k=1)
    with pytest.raises(UserError, match="10 neighbours need batches of at least 11 tokens, and this batch holds 8"):
        cknna.cknna_matrix(cases.layers(8), cases.layers(8))
    assert cknna.least_tokens(8, 8) == 11 and cknna.least_tokens(8, 8, 2) == 4
    assert cknna.flops(1024, 512, 512) > mutual_knn.flops(1024, 512, 512)

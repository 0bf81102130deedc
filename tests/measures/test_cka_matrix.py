"""`cka_matrix` on tensors and arrays, and its error sentences."""

from __future__ import annotations

import doctest
import subprocess
import sys

import numpy as np
import pytest
import torch

from repdiss_core.base.errors import UserError
from repdiss_core.measures import cka_matrix, hsic1
from repdiss_core.measures import matrix as module


def features(
    n_batches: int = 4, n: int = 60, layers: tuple[int, ...] = (8, 5), seed: int = 0
) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [[rng.normal(size=(n, d)) for d in layers] for _ in range(n_batches)]


def from_grams(f, g, layer_f, layer_g, reduction) -> float:
    """One cell through `hsic1` of Gram matrices, batch by batch."""
    grams = [(x[layer_f] @ x[layer_f].T, y[layer_g] @ y[layer_g].T) for x, y in zip(f, g)]
    cross, self_f, self_g = (np.array([hsic1(pair[a], pair[b]) for pair in grams]) for a, b in ((0, 1), (0, 0), (1, 1)))
    if reduction == "mean_of_ratios":
        return float(np.mean(cross / np.sqrt(self_f * self_g)))
    return float(cross.sum() / np.sqrt(self_f.sum() * self_g.sum()))


@pytest.mark.parametrize("reduction", ["mean_of_ratios", "ratio_of_means"])
def test_every_cell_is_the_ratio_of_hsic1_values(reduction):
    f, g = features(), features(layers=(4, 7, 3), seed=1)
    result = cka_matrix(f, g, reduction=reduction)
    expected = [[from_grams(f, g, row, column, reduction) for column in range(3)] for row in range(2)]
    np.testing.assert_allclose(result.values, expected, rtol=1e-9, atol=1e-12)
    assert (result.values < 0).any(), "negative values are kept"
    assert result.n_batches == 4 and result.row_labels == ("1", "2") and result.column_labels == ("1", "2", "3")
    assert (
        (result.interval[0] < result.values).all()
        and (result.values < result.interval[1]).all()
        and (result.standard_error > 0).all()
    )


def test_tensors_and_arrays_give_the_same_bytes():
    f, g = features(n=300), features(n=300, seed=1)
    tensors = [[[torch.from_numpy(x) for x in batch] for batch in model] for model in (f, g)]
    for estimator in ("unbiased", "biased"):
        assert cka_matrix(f, g, estimator).values.tobytes() == cka_matrix(*tensors, estimator).values.tobytes()


def test_sequence_ids_may_differ_from_batch_to_batch():
    f, g = features(2), features(2, seed=1)
    ids = [np.repeat(np.arange(6), 10), np.arange(60) // 12]
    both = cka_matrix(f, g, "sequence_aware", sequence_ids=ids).values
    each = [
        cka_matrix(f[i : i + 1], g[i : i + 1], "sequence_aware", sequence_ids=ids[i : i + 1]).values for i in range(2)
    ]
    np.testing.assert_allclose(both, np.mean(each, axis=0), rtol=1e-12)
    assert np.abs(both - cka_matrix(f, g).values).max() > 1e-4


def test_a_constant_layer_is_nan_with_a_note_and_spares_the_others():
    f = features(3)
    for batch in f:
        batch[1][:] = 2.5
    result = cka_matrix(f, f)
    assert result.values[0, 0] == 1.0 and np.isnan(result.values[1]).all() and np.isnan(result.values[:, 1]).all()
    assert any("f: layer 2 has no CKA: its features are the same for every token" in note for note in result.notes)


@pytest.mark.parametrize(
    "f, g, more, match",
    [
        ([], [], {}, r"f has 0 batches and g has 0"),
        (features(2), features(3), {}, r"f has 2 batches and g has 3; both need the same batches"),
        (features(2), features(2, n=50), {}, r"Batch 0: f has 60 tokens in this batch and g has 50"),
        (features(2, n=3), features(2, n=3), {}, r"Batch 0: HSIC needs at least 4 tokens, and this batch holds 3"),
        (features(1) + features(1, layers=(4,)), features(2), {}, r"Batch 1 has 1 × 2 layers and batch 0 has 2 × 2"),
        (features(2), features(2), {"reduction": "mode"}, r"no reduction 'mode'"),
        (features(2), features(2), {"estimator": "exact"}, r"Batch 0: There is no CKA estimator 'exact'"),
        (
            features(2),
            features(2),
            {"estimator": "sequence_aware"},
            r'Batch 0: The estimator "sequence_aware" needs to know',
        ),
        (features(2), features(2), {"sequence_ids": [np.zeros(60)]}, r"sequence_ids covers 1 batches, but there are 2"),
    ],
)
def test_bad_features_say_what_is_wrong(f, g, more, match):
    with pytest.raises(UserError, match=match):
        cka_matrix(f, g, **more)


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(module).failed == 0 and doctest.testmod(module).attempted == 4


def test_importing_the_measures_imports_no_torch():
    code = (
        "import sys, repdiss_core.measures as m, repdiss_core.measures.reduction, repdiss_core.measures.distance\n"
        "m.MEASURES['cka'], m.hsic1, m.cka_distance\n"
        "assert not {'torch', 'scipy', 'transformers'} & set(sys.modules)\n"
        "assert callable(m.cka_matrix) and 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_in_measures_is_an_attribute_error():
    import repdiss_core.measures

    with pytest.raises(AttributeError, match="no attribute 'cca'"):
        _ = repdiss_core.measures.cca

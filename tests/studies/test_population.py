"""CKA of a population from what is stored: the same division as everywhere, whatever the size of the features."""

from __future__ import annotations

import numpy as np
import pytest

from repdiss_core.base.comparison import DataId, ModelId, cka_comparison
from repdiss_core.base.errors import UserError
from repdiss_core.base.layer_pairs import SAME
from repdiss_core.base.results import SameLayerHsic
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.population import load_cka

PAIR = cka_comparison(
    ModelId("f", "f" * 64), ModelId("g", "g" * 64), DataId("d", "eval", "c" * 64, 4, 16), layer_pairs=SAME
)[0]


def loaded(tmp_path, scale: float, reduction: str) -> np.ndarray:
    """(3,) CKA of the pair where all HSIC values are `scale` times those of two batches of three layers."""
    cross = np.array([[0.5, 0.25, 0.1], [0.75, 0.5, 0.2]])
    self_f, self_g = np.array([[1.0, 1.0, 1.0], [2.0, 1.0, 1.0]]), np.array([[1.0, 4.0, 0.0], [2.0, 1.0, 1.0]])
    store = ResultStore(tmp_path / f"{scale}", tmp_path / "packs")
    arrays, meta = SameLayerHsic(cross * scale, self_f * scale, self_g * scale, np.array([64, 64])).to_arrays()
    store.put(PAIR.key, arrays, {**meta, "comparison": PAIR.to_dict()})
    return load_cka(store, {("f", "g"): PAIR}, 2, reduction).values[0, 1]


@pytest.mark.parametrize("reduction", ["mean_of_ratios", "ratio_of_means"])
@pytest.mark.parametrize("scale", [2.0**600, 2.0**-600])
def test_very_large_and_very_small_features_have_the_cka_of_others(tmp_path, reduction, scale) -> None:
    """The product of two self terms would leave float64: 2^1200 is infinite and 2^-1200 is 0."""
    usual = loaded(tmp_path, 1.0, reduction)
    np.testing.assert_array_equal(loaded(tmp_path, scale, reduction), usual)
    assert usual[0] == pytest.approx({"mean_of_ratios": (0.5 + 0.375) / 2, "ratio_of_means": 1.25 / 3}[reduction])
    assert np.isnan(usual[2]) == (reduction == "mean_of_ratios"), "a self term of 0 in one batch"


def test_an_unknown_reduction_is_refused(tmp_path) -> None:
    with pytest.raises(UserError, match="no reduction 'median'; choose mean_of_ratios or ratio_of_means"):
        loaded(tmp_path, 1.0, "median")

"""B − A: nothing for a result and itself, paired intervals where both have the same batches,
and what cannot be subtracted."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest

from repdiss_core.base.errors import UserError
from repdiss_core.measures.reduction import mean_interval
from repdiss_core.plots.map_scale import USUAL_STYLE
from repdiss_core.plots.theme import LOOKS
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.studies.asymmetry.question import AsymmetryParams
from repdiss_core.studies.common import CkaView, bundled_preset, cka_panel, data_id
from repdiss_core.studies.pair.difference import compose_difference, difference, is_paired, measured_map

LOOK = LOOKS["page"]


@functools.cache
def measured(view: CkaView = CkaView(), names=("mini-solu-3l-s0", "mini-gelu-3l-s0"), n_batches: int = 100):  # noqa: B008
    """A shipped map; read once."""
    panel = cka_panel(*names, view, data_id(bundled_preset(), "eval"))
    return measured_map(ResultStore.open(), panel, view.reduction, n_batches)


@pytest.mark.parametrize("reduction", ["mean_of_ratios", "ratio_of_means"])
def test_a_result_minus_itself_is_exactly_nothing(reduction):
    one = measured(CkaView(reduction=reduction))
    found = difference(one, measured(CkaView(reduction=reduction)))
    assert (found.values == 0).all() and (found.standard_error == 0).all() and (found.interval == 0).all()


def test_the_paired_interval_is_that_of_the_batches_differences():
    a, b = measured(), measured(CkaView("biased"))
    found = difference(a, b)
    assert is_paired(a, b)
    np.testing.assert_allclose(found.values, b.matrix.values - a.matrix.values)
    mean, error, low, high = mean_interval(b.sample[:, 1, 2] - a.sample[:, 1, 2])
    np.testing.assert_allclose(
        [found.values[1, 2], found.standard_error[1, 2], *found.interval[:, 1, 2]], [mean, error, low, high], rtol=1e-9
    )
    assert error < np.hypot(a.matrix.standard_error[1, 2], b.matrix.standard_error[1, 2]), "shared noise goes out"


def test_swapped_pairs_keep_rows_and_columns():
    one = measured()
    np.testing.assert_allclose(one.sample.mean(axis=0), one.matrix.values, rtol=1e-12)


def test_other_batches_are_not_paired():
    a, b = measured(n_batches=50), measured()
    found = difference(a, b)
    assert not is_paired(a, b)
    np.testing.assert_allclose(found.standard_error, np.hypot(a.matrix.standard_error, b.matrix.standard_error))
    assert found.n_batches == 50


def test_what_cannot_be_subtracted_is_told():
    a = measured()
    with pytest.raises(UserError, match="A has 3 × 3 layers and B 4 × 4, which cannot be subtracted cell by cell"):
        difference(a, measured(names=("mini-solu-4l-s0", "mini-gelu-4l-s0")))
    with pytest.raises(UserError, match="A shows CKA and B loss, which cannot be subtracted"):
        difference(a, replace(a, quantity="loss"))


def test_the_figure_has_both_scales_and_the_tables_all_three_maps():
    drawn = compose_difference(measured(), measured(CkaView("biased")), LOOK, USUAL_STYLE, False)
    layout = drawn.figure.layout
    assert (layout.coloraxis.cmin, layout.coloraxis.cmax) == (0, 1)
    assert layout.coloraxis2.cmin == -layout.coloraxis2.cmax < 0
    assert [t.coloraxis for t in drawn.figure.data if t.name == "values"] == ["coloraxis", "coloraxis", "coloraxis2"]
    assert [table.title for table in drawn.tables] == ["A", "B", "B − A"]
    assert drawn.tables[2].to_dict()["paired"] is True
    a, b, change = (table.values for table in drawn.tables)
    np.testing.assert_allclose(change, b - a, rtol=1e-12)
    assert "95 % t interval of the difference over the same batches in both" in drawn.caption.text
    assert (drawn.complete, drawn.origin) == (True, "shipped")


def test_a_side_that_is_not_computed_leaves_the_difference_empty():
    a = measured()
    missing = replace(a, matrix=None, sample=None, complete=False, origin=None, stored_at=None)
    drawn = compose_difference(a, missing, LOOK, USUAL_STYLE, False, "not computed yet")
    assert not drawn.complete
    assert drawn.tables[2].values is None
    assert [x.text for x in drawn.figure.layout.annotations].count("not computed yet") == 2


def test_the_panels_of_the_study_are_paired():
    panel = asymmetry.cka_panels(AsymmetryParams())[2]
    one = measured_map(ResultStore.open(), panel, "mean_of_ratios", 100)
    assert one.table.comparisons == panel.comparison

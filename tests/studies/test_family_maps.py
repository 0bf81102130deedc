"""What is loaded of a family: batches, pairs either way round, what is missing, and what was left out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from neox_family import SUSPECT, keep, planted, pretend

from repdiss_core.measures.reduction import mean_interval
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.common import CkaView
from repdiss_core.studies.scaling import question
from repdiss_core.studies.scaling.family_maps import off_diagonal_mean
from repdiss_core.studies.scaling.question import FamilyParams
from repdiss_core.studies.scaling.stored import load_family_results, massive_rows, with_massive

BATCHES = 4
PARAMS = FamilyParams(cka=CkaView(n_batches=BATCHES))
MEMBERS = ("mini-neox-2l64-h32-s0", "mini-neox-4l128-h32-s0", "mini-neox-4l128-h8-s0")


@pytest.fixture
def store(monkeypatch, tmp_path) -> ResultStore:
    pretend(monkeypatch, tmp_path / "family", MEMBERS)
    return ResultStore(tmp_path / "local", tmp_path / "packs")


def test_within_a_model_the_mean_leaves_the_diagonal_out() -> None:
    assert off_diagonal_mean(np.array([[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]])) == pytest.approx(0.4)
    assert math.isnan(off_diagonal_mean(np.eye(1)))


def test_every_map_comes_back_whichever_way_its_pair_is_stored(store) -> None:
    step = f"{MEMBERS[1]}-step1000"
    made = planted(BATCHES, params=PARAMS, layers={(step, 1): -0.1})
    keep(store, made)
    maps = load_family_results(store, PARAMS).maps
    assert maps.pairs.keys() == made.maps.pairs.keys()
    assert {p.swapped for p in question.all_panels(PARAMS)} == {False, True}
    for pair, found in maps.pairs.items():
        np.testing.assert_allclose(found.values, made.maps.pairs[pair].values, atol=1e-12)
    assert np.diff(maps.map(step, MEMBERS[1]).mean.mean(axis=1))[0] > 0.05, (
        "the checkpoint's first layer is the odd row"
    )
    assert maps.complete and maps.n_batches == BATCHES and maps.origin.origin == "local"
    first, last = maps.members[0], maps.members[-1]
    np.testing.assert_array_equal(maps.map(last, first).mean, maps.map(first, last).mean.T)
    means, (whole, error) = maps.means(), maps.whole()
    assert means[0, 2] == pytest.approx(maps.map(first, last).mean.mean()) and means[0, 0] == pytest.approx(
        off_diagonal_mean(maps.map(first, first).mean)
    )
    np.testing.assert_array_equal(means, means.T)
    assert maps.depths == (2, 4, 4) and whole.shape == error.shape == (10, 10)
    np.testing.assert_array_equal(whole[2:6, 6:], maps.map(*maps.members[1:]).mean)
    assert error[0, 9] == pytest.approx(mean_interval(maps.map(first, last).values[:, 0, 3])[1])


def test_maps_of_fewer_batches_are_shown_and_count_as_missing(store) -> None:
    keep(store, planted(BATCHES - 1, params=PARAMS))
    maps = load_family_results(store, PARAMS).maps
    assert not maps.complete and maps.origin.n_missing == maps.wanted == len(question.all_panels(PARAMS))
    assert maps.n_batches == BATCHES - 1 and np.isfinite(maps.means()).all()
    keep(store, planted(BATCHES + 2, params=PARAMS))
    assert load_family_results(store, PARAMS).maps.pairs[MEMBERS[0], MEMBERS[0]].values.shape == (BATCHES, 2, 2)


def test_a_pair_that_is_not_stored_is_a_hole(store) -> None:
    keep(store, planted(BATCHES, params=PARAMS))
    (gone,) = (p.comparison for p in question.all_panels(PARAMS) if {p.row_name, p.column_name} == set(MEMBERS[:2]))
    other = ResultStore(store.directory.parent / "other", store.directory.parent / "packs")
    for panel in question.all_panels(PARAMS):
        if panel.comparison != gone:
            entry = store.get(panel.comparison.key)
            other.put(panel.comparison.key, entry.arrays, entry.meta)
    maps = load_family_results(other, PARAMS).maps
    assert maps.map(*MEMBERS[:2]) is None and maps.n_batches == 0 and maps.origin.n_missing == 1
    assert np.argwhere(np.isnan(maps.means())).tolist() == [[0, 1], [1, 0]]
    assert np.isnan(maps.whole()[0][:2, 2:6]).all() and np.isfinite(maps.whole()[0][:2, 6:]).all()


def test_what_dropping_massive_tokens_changes_is_told_member_by_member(store) -> None:
    dropped = with_massive(PARAMS, "dropped")
    keep(store, planted(BATCHES, params=PARAMS, within=0.6))
    keep(store, planted(BATCHES, params=dropped, within=0.5), dropped_token=11)
    kept, without, unit = (
        load_family_results(store, with_massive(PARAMS, way)) for way in ("kept", "dropped", "normalised")
    )
    rows = massive_rows(kept, without, unit)
    assert [row.name for row in rows] == list(kept.maps.members)
    odd = next(row for row in rows if SUSPECT in row.name)
    assert (odd.dropped, odd.rows, odd.peak, odd.layer, odd.tokens) == (
        2 * BATCHES,
        1024 * BATCHES,
        40.0,
        2,
        {11: BATCHES},
    )
    assert odd.change == pytest.approx(0.1) and math.isnan(odd.change_normalised)
    assert odd.blocks == (None, None, None), "four layers are too few to tell"
    assert massive_rows(kept, unit, unit) == []

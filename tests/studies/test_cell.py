"""One cell of a map: what it says equals what is stored, and its command computes that very value again."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
from synthetic import put_stitch

from repdiss_core.__main__ import main
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.studies.cell import by_estimator, cka_cell, cka_command, places, stitch_cell, table_cell
from repdiss_core.studies.common import CkaView, bundled_preset, cka_panel, data_id, stitch_comparison
from repdiss_core.studies.pair.stitch_map import pair_maps, stitch_table
from repdiss_core.studies.panels import load_matrix
from repdiss_core.studies.tables import Table, map_table

F, G = "mini-gelu-3l-s0", "mini-solu-3l-s0"
SWAPPED = asymmetry.cka_panels(asymmetry.AsymmetryParams())[2]  # rows SoLU, columns GeLU: stored the other way round


@pytest.mark.parametrize("reduction", ["mean_of_ratios", "ratio_of_means"])
@pytest.mark.parametrize("panel", [asymmetry.cka_panels(asymmetry.AsymmetryParams())[0], SWAPPED])
def test_a_cell_is_the_map_s(panel, reduction):
    store = ResultStore.open()
    matrix = load_matrix(store, panel, reduction, 50).matrix
    facts = cka_cell(store, panel, 2, 1, reduction, 50)
    np.testing.assert_array_equal(
        facts.statistics, [matrix.values[2, 1], matrix.standard_error[2, 1], *matrix.interval[:, 2, 1]]
    )
    assert facts.sample.shape == (50,)
    assert facts.sample.mean() == pytest.approx(facts.statistics[0], abs=1e-3)
    assert facts.sample.std(ddof=1) / np.sqrt(50) == pytest.approx(facts.statistics[1], rel=1e-9)
    assert (facts.f, facts.layer_f, facts.g, facts.layer_g) == (panel.row_name, 3, panel.column_name, 2)
    assert places(facts)[0] == f"{panel.row_name}, layer 3: resid_post, after block 3 of 3"
    assert (facts.entry.key, facts.entry.origin) == (panel.comparison.key, "shipped")


def test_a_table_leads_to_what_its_cell_rests_on():
    store = ResultStore.open()
    table = map_table(load_matrix(store, SWAPPED, "mean_of_ratios", 100))
    facts = table_cell(store, table, 0, 2)
    assert facts.statistics[0] == table.values[0, 2] == table.cell(0, 2)[0]
    assert facts.sample.size == table.sample.size == 100
    assert table_cell(store, replace(table, comparisons=None), 0, 2) is None


def test_the_command_computes_the_shipped_value_again(tmp_path):
    store = ResultStore.open()
    facts = cka_cell(store, SWAPPED, 1, 2, "mean_of_ratios", 2)
    words = shlex.split(facts.command)
    assert words[:3] == ["python", "-m", "repdiss_core"]
    assert main([*words[3:], "--out", str(tmp_path / "again.json")]) == 0
    form = json.loads((tmp_path / "again.json").read_text())
    assert form["provenance"]["origin"] == "local"
    assert form["values"][1][2] == pytest.approx(facts.statistics[0], abs=2e-6)
    assert form["comparison"] == facts.comparison.to_dict()


def test_fresh_computes_anew_what_is_stored_here():
    store = ResultStore.open()
    arguments = ["compare", F, F, "--batches", "1"]
    panel = cka_panel(F, F, CkaView(), data_id(bundled_preset(), "eval"))
    assert main(arguments) == 0
    first = store.get_local(panel.comparison.key).stored_at
    assert main(arguments) == 0
    assert store.get_local(panel.comparison.key).stored_at == first
    assert main([*arguments, "--fresh"]) == 0
    assert store.get_local(panel.comparison.key).stored_at > first


@pytest.fixture
def asked(monkeypatch):
    """Requests that the command line would compute."""
    found = []
    monkeypatch.setattr("repdiss_core.cli.compute.compute", found.append)
    monkeypatch.setattr("repdiss_core.cli.pairs.PairChoice.tables", lambda self, store: [Table("", "map")])
    return found


@pytest.mark.parametrize(
    "view",
    [
        CkaView("biased", "token", "kept", "ratio_of_means", 7),
        CkaView("sequence_aware", massive="dropped"),
        CkaView("unbiased", "sample", massive="normalised"),
    ],
)
def test_a_command_names_the_same_comparison(view, asked):
    for f, g in ((F, G), (G, F)):
        panel = cka_panel(f, g, view, data_id(bundled_preset(), "phi"))
        assert main(shlex.split(cka_command(panel, view.reduction, view.n_batches))[3:]) == 0
        assert (asked[-1].comparisons, asked[-1].n_batches) == ((panel.comparison,), view.n_batches)


@pytest.mark.parametrize("measure", ["stitching", "identity_stitching"])
def test_a_cell_of_stitches(measure, asked, tmp_path):
    store, setting = ResultStore.open(), bundled_preset()
    comparison = stitch_comparison(F, G, (2, 3), setting, "tiny", measure)
    assert stitch_cell(ResultStore(packs=tmp_path), comparison, "loss") is None
    put_stitch(store, comparison)
    facts = stitch_cell(store, comparison, "penalty")
    assert (facts.quantity, facts.unit, facts.layer_f, facts.layer_g) == ("penalty", "sequence", 2, 3)
    assert facts.statistics[0] == pytest.approx(facts.sample.mean())
    assert main(shlex.split(facts.command)[3:]) == 0
    assert asked[-1].comparisons == (comparison,)


def test_a_map_of_stitches_gives_its_cells():
    store, setting = ResultStore.open(), bundled_preset()
    one = pair_maps(F, G, setting, "quick", "identity_stitching")[2]
    put_stitch(store, one.comparisons[1][2])
    table = stitch_table(one, load_matrix(store, SWAPPED, "mean_of_ratios", 2).matrix, "loss")
    assert table_cell(store, table, 1, 2).layer_g == 3


def test_the_other_estimators_are_the_stored_ones_or_none():
    store = ResultStore.open()
    facts = cka_cell(store, SWAPPED, 0, 1, "mean_of_ratios", 100)
    found = by_estimator(facts, store)
    assert list(found) == ["unbiased", "biased", "sequence_aware"]
    assert found["unbiased"][1]["mean_of_ratios"].statistics == facts.statistics
    assert found["biased"][1]["mean_of_ratios"].statistics[0] > facts.statistics[0]
    empty = by_estimator(facts, ResultStore(packs=store.directory))
    assert all(cell is None for _, cells in empty.values() for cell in cells.values())

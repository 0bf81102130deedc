"""Tables of results: the JSON that others read, the data frame, and the CSV with the same numbers."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from synthetic import put_stitch

from repdiss_core.store.cache import ResultStore
from repdiss_core.studies import exports
from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.studies.common import bundled_preset, same_layer_curve
from repdiss_core.studies.panels import LearningCurve, load_curve, load_matrix
from repdiss_core.studies.tables import (
    CELL_COLUMNS,
    TRACE_COLUMNS,
    Sample,
    Table,
    curve_table,
    frame_of,
    map_table,
    trace_table,
)

F, G = "mini-gelu-3l-s0", "mini-solu-3l-s0"
NUMBERS = {"row_labels", "column_labels", "values", "standard_error", "interval"}
MAP = Table(
    "a and b",
    "map",
    f="a",
    g="b",
    row_labels=("1", "2"),
    column_labels=("1", "2", "3"),
    values=np.array([[0.1, np.nan, 1 / 3], [1e-17, -0.0, np.inf]]),
    sample=Sample("batch", 4),
)


def shipped_map() -> Table:
    return map_table(
        load_matrix(ResultStore.open(), asymmetry.cka_panels(asymmetry.AsymmetryParams())[2], "mean_of_ratios", 9)
    )


def stored_curve() -> Table:
    store = ResultStore.open()
    spec = same_layer_curve("f to g", F, G, "stitch", bundled_preset(), "tiny")
    for comparison in spec.comparisons[:2]:
        put_stitch(store, comparison)
    return curve_table(load_curve(store, spec, "penalty"))


def test_a_map_names_what_its_readers_look_for() -> None:
    plain = shipped_map().to_dict()
    assert plain.keys() == NUMBERS | {
        "title", "measure", "quantity", "rows", "columns", "n_batches", "reduction", "transposed", "notes",
        "comparison", "provenance",
    }  # fmt: skip
    assert (plain["n_batches"], plain["reduction"], plain["transposed"]) == (9, "mean_of_ratios", True)
    assert (plain["measure"], plain["quantity"]) == ("cka", "CKA")
    assert not {"reduction", "comparison"} & plain["provenance"].keys(), "each fact once"
    assert plain["interval"]["level"] == 0.95 and np.shape(plain["interval"]["lower"]) == (3, 3)


def test_a_curve_names_its_points_and_what_is_missing() -> None:
    table = stored_curve()
    plain = table.to_dict()
    assert plain.keys() == NUMBERS | {
        "title", "measure", "rows", "columns", "quantity", "unit", "closed_form", "own_loss", "n_sequences",
        "missing_layers", "comparison", "provenance",
    }  # fmt: skip
    assert (plain["row_labels"], plain["missing_layers"], plain["quantity"]) == (["1", "2"], [3], "penalty")
    assert [c["layer_pairs"] for c in plain["comparison"]] == ["1:1", "2:2"]
    assert len(plain["closed_form"]) == 2 and plain["own_loss"].keys() == {F, G}


def test_what_is_not_stored_has_null_values(tmp_path) -> None:
    empty = ResultStore(packs=tmp_path)
    panel = asymmetry.cka_panels(asymmetry.AsymmetryParams())[2]
    assert map_table(load_matrix(empty, panel, "mean_of_ratios", 9)).to_dict()["values"] is None
    spec = same_layer_curve("f to g", F, G, "stitch", bundled_preset(), "tiny")
    plain = curve_table(load_curve(empty, spec)).to_dict()
    assert plain.keys() == {"title", "measure", "rows", "columns", "values", "missing_layers"}
    assert plain["values"] is None and plain["missing_layers"] == [1, 2, 3]


def test_a_frame_has_one_row_for_each_cell_in_the_order_of_rows() -> None:
    frame = MAP.to_frame()
    assert tuple(frame.columns) == CELL_COLUMNS and len(frame) == 6
    assert list(zip(frame.layer_f, frame.layer_g, strict=True))[:4] == [("1", "1"), ("1", "2"), ("1", "3"), ("2", "1")]
    np.testing.assert_array_equal(frame.value, MAP.values.ravel())
    assert frame[["standard_error", "lower", "upper"]].isna().all(axis=None)


def test_numbers_that_are_not_finite_become_null() -> None:
    plain = json.loads(exports.to_json(MAP.to_dict()))
    assert plain["values"] == [[0.1, None, 1 / 3], [1e-17, -0.0, None]]
    assert plain["standard_error"] == plain["interval"]["upper"] == [[None] * 3] * 2
    assert plain["n_batches"] == 4 and "provenance" not in plain and "notes" not in plain


@pytest.mark.parametrize("make", [shipped_map, stored_curve])
def test_csv_holds_the_numbers_of_the_json(make) -> None:
    table = make()
    text = exports.to_csv([table, replace(table, title="again, “quoted”")])
    plain = table.to_dict()
    head = f"# {table.title}: {json.dumps(plain['provenance'], ensure_ascii=False)}\n"
    assert text.startswith(head) and text.count("\n# ") == 1
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("# ")))
    assert tuple(rows[0]) == CELL_COLUMNS and {row["panel"] for row in rows} == {table.title, "again, “quoted”"}
    first = [row for row in rows if row["panel"] == table.title]
    assert [float(row["value"]) for row in first] == np.ravel(plain["values"]).tolist()
    assert [float(row["upper"]) for row in first] == np.ravel(plain["interval"]["upper"]).tolist()


def test_a_trace_holds_a_row_for_each_step() -> None:
    curve = LearningCurve("f to g", 2, np.array([1, 10]), np.array([5.0, 4.5]), 20, "stitch", "gelu", "solu")
    table = trace_table(curve)
    assert table.to_dict() == {
        "title": "f to g, layer 2", "curve": "f to g", "layer": 2, "step": [1, 10], "train_loss": [5.0, 4.5],
        "steps": 20, "unit": "nats a token",
    }  # fmt: skip
    assert exports.to_csv([table]) == "curve,layer,step,train_loss\r\nf to g,2,1,5.0\r\nf to g,2,10,4.5\r\n"
    assert tuple(frame_of([table]).columns) == TRACE_COLUMNS


def test_a_file_without_values_still_has_its_header() -> None:
    header = f"{','.join(CELL_COLUMNS)}\r\n"
    assert exports.to_csv([]) == exports.to_csv([Table("t", "map")]) == header


def test_json_and_command_line_do_without_pandas() -> None:
    code = (
        "import sys; from repdiss_core.__main__ import main; from repdiss_core.studies import exports, paper, tables;"
        "import numpy; table = tables.Table('t', 'map', values=numpy.ones((1, 1)), row_labels=('1',));"
        "exports.to_json(table.to_dict());"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

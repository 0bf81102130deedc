"""Figures of two chosen models: a stitched map names the training that made it, and a curve exports its own points."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from synthetic import put_stitch

from repdiss_core.plots.theme import LOOKS
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies import exports
from repdiss_core.studies.common import CkaView, bundled_preset
from repdiss_core.studies.drawn import Drawn
from repdiss_core.studies.pair.cka_curve import compose_cka_by_layer
from repdiss_core.studies.pair.question import pair_panels
from repdiss_core.studies.pair.stitch_map import compose_stitch_maps, pair_maps
from repdiss_core.studies.presets import STITCH_PRESETS

F, G = "mini-gelu-3l-s0", "mini-solu-4l-s0"


@pytest.mark.parametrize("stitch", STITCH_PRESETS)
def test_a_stitched_map_names_the_training_that_was_chosen(stitch):
    store, setting = ResultStore.open(), bundled_preset()
    maps = pair_maps(F, G, setting, stitch, "stitching")
    put_stitch(store, maps[2].comparisons[0][0])
    caption = compose_stitch_maps(store, maps, LOOKS["print"], setting, "loss", "").caption
    assert caption.estimator == f"phi = LayerNorm + affine, {STITCH_PRESETS[stitch].label}"
    assert [name for name, preset in STITCH_PRESETS.items() if preset.label in caption.text] == [stitch]


def test_an_identity_map_names_no_training():
    store, setting = ResultStore.open(), bundled_preset()
    maps = pair_maps(F, G, setting, "quick", "identity_stitching")
    assert compose_stitch_maps(store, maps, LOOKS["print"], setting, "loss", "").caption.estimator == "phi = id"


def cka_by_layer(store: ResultStore, f: str = F, g: str = G, n_batches: int = 100) -> Drawn:
    view, setting = CkaView(n_batches=n_batches), bundled_preset()
    panel = pair_panels(f, g, view, setting)[-1]
    return compose_cka_by_layer(store, panel, LOOKS["print"], setting, view, "", 400)


@pytest.mark.parametrize(("f", "g"), [("mini-solu-3l-s0", "mini-gelu-3l-s0"), ("mini-gelu-3l-s0", "mini-gelu-3l-s0")])
def test_cka_by_layer_exports_the_points_that_are_drawn(f, g):
    drawn = cka_by_layer(ResultStore.open(), f, g)
    (table,) = drawn.tables
    plain = table.to_dict()
    line = next(trace for trace in drawn.figure.data if trace.y is not None and len(trace.y) == 3)
    np.testing.assert_array_equal(plain["values"], line.y)
    assert plain["row_labels"] == plain["column_labels"] == ["1", "2", "3"]
    assert len(plain["standard_error"]) == len(plain["interval"]["lower"]) == len(plain["interval"]["upper"]) == 3
    assert (plain["rows"], plain["columns"], plain["n_batches"]) == (f, g, 100)
    rows = csv.DictReader(io.StringIO("".join(x for x in exports.to_csv(drawn.tables).splitlines(True) if x[0] != "#")))
    assert [(row["layer_f"], row["layer_g"]) for row in rows] == [("1", "1"), ("2", "2"), ("3", "3")]
    exports.to_json(plain)


def test_cka_by_layer_of_nothing_exports_no_values(tmp_path):
    (table,) = cka_by_layer(ResultStore(packs=tmp_path)).tables
    assert table.values is None and table.to_dict()["values"] is None

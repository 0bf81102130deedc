"""The chance level end to end on bundled models: equal to a slow form, drawn, said, and exported."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from repdiss_core.__main__ import main
from repdiss_core.analysis.chance import chance_level
from repdiss_core.base.comparison import Request
from repdiss_core.base.errors import UserError
from repdiss_core.engine import batch_features
from repdiss_core.engine.run import Engine
from repdiss_core.plots.theme import LOOKS
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies import exports
from repdiss_core.studies.cell import table_cell
from repdiss_core.studies.common import CkaView
from repdiss_core.studies.drawn import compose_heatmaps
from repdiss_core.studies.figure import FigurePart
from repdiss_core.studies.pair.cka_curve import compose_cka_by_layer
from repdiss_core.studies.pair.question import pair_panels
from repdiss_core.studies.presets import preset
from tests.measures.dense import dense_cka

F, G = "mini-solu-3l-s0", "mini-gelu-3l-s0"
SMALL = ("--tokens-per-batch", "256", "--tokens-per-sequence", "64", "--batches", "5")


@pytest.fixture
def reads(monkeypatch) -> list[int]:
    """Grows with every batch that a model reads."""
    seen: list[int] = []
    read = batch_features.residual_streams
    monkeypatch.setattr(batch_features, "residual_streams", lambda *a: seen.append(1) or read(*a))
    return seen


def test_compare_gives_the_level_of_a_slow_float64_form(tmp_path, capsys, reads) -> None:
    out = tmp_path / "pair.json"
    assert main(["compare", F, G, "--chance", *SMALL, "--out", str(out)]) == 0
    assert len(reads) == 2 * 5, "the map and its level share their forward passes"
    said = capsys.readouterr().err
    assert "The chance level crosses the batches of windows of 8" in said and "no further forward pass" in said
    plain = json.loads(out.read_text())
    assert plain["comparison"]["settings"] == {"estimator": "unbiased", "flatten": "token"}
    assert plain["chance"]["comparison"]["settings"]["chance_window"] == 8
    engine, slow = Engine(ResultStore.open()), {}
    panel_of = {name: plain["comparison"][side] for side, name in (("f", "f"), ("g", "g"))}
    names = {"f": panel_of["f"]["name"], "g": panel_of["g"]["name"]}
    request = Request.from_dict({"comparisons": [plain["comparison"]], "n_batches": 5})
    (comparison,) = request.comparisons
    for side, model in (("f", comparison.f), ("g", comparison.g)):
        loaded, stream = engine.load(model, "removed"), engine.stream(comparison.data)
        slow[side] = [
            [h.reshape(-1, h.shape[-1]).double().numpy() for h in loaded.residuals(stream.batch(i))] for i in range(5)
        ]
    window = np.array([[dense_cka(slow["f"][a], slow["g"][b], "unbiased") for b in range(5)] for a in range(5)])
    if names["f"] != F:  # the key has the models in the order of their names
        window = window.transpose(1, 0, 3, 2)
    expected = chance_level([window])
    found = plain["chance"]
    np.testing.assert_allclose(plain["values"], expected.values, atol=1e-4)
    np.testing.assert_allclose(found["without_shared_text"], expected.mismatched, atol=1e-4)
    np.testing.assert_allclose(found["chance_level"], expected.level, atol=1e-4)
    np.testing.assert_allclose(found["chance_corrected"], expected.corrected, atol=1e-4)
    np.testing.assert_allclose(found["q"], expected.q, atol=2e-3)
    assert (found["window"], found["n_batches"], found["n_permutations"]) == (8, 5, 999)
    table = tmp_path / "pair.csv"
    assert main(["compare", F, G, "--chance", *SMALL, "--out", str(table)]) == 0
    lines = "".join(line for line in table.read_text().splitlines(True) if not line.startswith("#"))
    rows = list(csv.DictReader(io.StringIO(lines)))
    assert [float(row["chance_level"]) for row in rows] == np.ravel(found["chance_level"]).tolist()
    assert [float(row["q"]) for row in rows] == np.ravel(found["q"]).tolist()
    assert len(reads) == 2 * 5, "nothing is computed again"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--batches", "3"), "3 batches can be paired in 6 ways, fewer than the 20 .* measure at least 4 batches"),
        (("--massive", "dropped"), "Without massive tokens, batches have different numbers of rows"),
        (("--measure", "linear_predictivity"), "linear predictivity .* has no chance level"),
        (("--measure", "stitching"), "stitching has no chance level"),
    ],
)
def test_what_has_no_level_is_a_sentence_before_anything_runs(capsys, reads, options, sentence) -> None:
    assert main(["compare", F, G, "--chance", *options]) == 2
    import re

    assert re.search(sentence, capsys.readouterr().err) and not reads


def test_a_page_shows_the_level_on_maps_curves_cells_and_in_files() -> None:
    store, setting = ResultStore.open(), preset("tiny")
    view = CkaView(n_batches=5, chance="level")
    panels = pair_panels(F, G, view, setting)
    part = FigurePart("", panels=panels)
    before = compose_heatmaps(store, part, LOOKS["print"], setting, view.reduction, 5)
    assert not before.complete and before.caption.chance == "chance level not computed yet"
    Engine(store).run(Request(part.comparisons, 5), lambda *told: None)
    drawn = compose_heatmaps(store, part, LOOKS["print"], setting, view.reduction, 5)
    assert drawn.complete and len(drawn.tables) == 3
    assert "95 % quantile of 999 permutations within windows of 8 batches (5 batches)" in drawn.caption.text
    assert drawn.caption.chance.count("cells above, mean p = ") == 3
    chance = drawn.tables[-1].chance
    hovers = [trace for trace in drawn.figure.data if trace.type == "heatmap" and trace.name == "values"]
    assert f"chance level {chance.chance.level[0, 1]:.3f}".replace("0.", ".") in hovers[-1].customdata[0][1][5]
    assert "customdata[5]" in hovers[-1].hovertemplate
    facts = table_cell(store, drawn.tables[-1], 0, 1)
    assert facts.chance.startswith(f"Of {chance.chance.values[0, 1]:.2f}, ".replace("0.", "."))
    assert "is reached without a shared text" in facts.chance and facts.command.endswith("--chance")
    json.loads(exports.to_json([table.to_dict() for table in drawn.tables]))
    by_layer = compose_cka_by_layer(store, panels[-1], LOOKS["print"], setting, view, "", 400)
    line = next(trace for trace in by_layer.figure.data if trace.name == "chance level (95 %)")
    np.testing.assert_array_equal(line.y, np.diag(chance.chance.level))
    assert by_layer.tables[0].to_dict()["chance"]["chance_level"] == np.diag(chance.chance.level).tolist()
    corrected = FigurePart("", panels=pair_panels(F, G, CkaView(n_batches=5, chance="corrected"), setting))
    assert [c.key for c in corrected.comparisons] == [c.key for c in part.comparisons]
    shown = compose_heatmaps(store, corrected, LOOKS["print"], setting, view.reduction, 5)
    np.testing.assert_allclose(shown.tables[-1].values, chance.chance.corrected, atol=1e-12)
    assert shown.tables[-1].to_dict()["quantity"] == "chance-corrected CKA"
    assert shown.figure.layout.coloraxis.colorbar.title.text == "CKA above chance"


def test_without_a_level_nothing_of_it_is_asked_for_or_shown() -> None:
    store, setting = ResultStore.open(), preset("bundled")
    part = FigurePart("", panels=pair_panels(F, G, CkaView(), setting))
    assert all(c.setting("chance_window") is None for c in part.comparisons)
    drawn = compose_heatmaps(store, part, LOOKS["print"], setting, "mean_of_ratios", 100)
    assert drawn.caption.chance == "" and "chance" not in drawn.tables[-1].to_dict()
    assert "without_shared_text" not in drawn.tables[-1].to_frame().columns


def test_too_few_batches_are_refused_where_a_panel_is_made() -> None:
    with pytest.raises(UserError, match="measure at least 4 batches, in one window"):
        pair_panels(F, G, CkaView(n_batches=3, chance="level"), preset("tiny"))

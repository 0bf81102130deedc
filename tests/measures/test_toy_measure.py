"""A measure is added by one file and one line: computed, cached, resumed, reduced, drawn, explained, exported, offered.

The toy follows the recipe of docs/architecture.md and nothing more.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from shown import opened

from repdiss_core.__main__ import main
from repdiss_core.base.layer_pairs import AllLayers
from repdiss_core.base.option import choices_of
from repdiss_core.base.results import BatchValues
from repdiss_core.data import open_stream
from repdiss_core.measures import MEASURES, MeasureOption, MeasureSpec, Pass
from repdiss_core.measures.reduction import BATCH_MEAN
from repdiss_core.models import load_model
from repdiss_core.plots.theme import LOOKS
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies import options
from repdiss_core.studies.cell import cka_cell
from repdiss_core.studies.common import CkaView, cka_panel, data_id
from repdiss_core.studies.figure import FigureChoice
from repdiss_core.studies.pair.figures import PAIR_CURVE, PAIR_MAPS
from repdiss_core.studies.pair.question import Pair
from repdiss_core.studies.panels import load_matrix
from repdiss_core.studies.presets import preset
from repdiss_core.ui.glossary import terms_in

F, G = "mini-gelu-3l-s0", "mini-solu-3l-s0"
FILE = '''
"""How alike two layers order tokens by the length of their features: Pearson's correlation of (log) lengths."""
from dataclasses import dataclass
import numpy as np

@dataclass
class Lengths:
    n_tokens: int
    notes: tuple
    rows: np.ndarray
    @property
    def n_layers(self):
        return len(self.rows)

def prepare(layers, context):
    lengths = np.stack([np.linalg.norm(x.double().numpy(), axis=1) for x in layers.features])
    rows = np.log(lengths) if context.settings["scale"] == "log" else lengths
    rows = rows - rows.mean(axis=1, keepdims=True)
    return Lengths(layers.n_tokens, (), rows / np.linalg.norm(rows, axis=1, keepdims=True))

def cross(f, g):
    return f.rows @ g.rows.T
'''
LINE = MeasureSpec(
    name="toy",
    label="correlation of the lengths of features",
    short="toy lengths",
    runs=Pass.BATCH,
    implementation="toy_lengths",
    stored={AllLayers: BatchValues},
    reduction=BATCH_MEAN,
    options=(
        MeasureOption(
            "scale", "Scale", choices_of({"plain": "plain", "log": "logarithmic"}), phrase="{choice} lengths"
        ),
    ),
    invariant_to=("rotation", "isotropic_scale"),
    symmetric=True,
    range=(-1.0, 1.0),
    self_value=1.0,
    for_any_pair=True,
    means="Whether two layers order tokens alike by length. 1 is the same order.",
    formula=r"\mathrm{corr}(|x_i|, |y_i|)",
    source="a toy of the tests",
)


@pytest.fixture(autouse=True)
def toy(tmp_path, monkeypatch):
    """One file, one line."""
    (tmp_path / "toy_lengths.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(MEASURES, "toy", LINE)


def compared(capsys, *arguments: str) -> list[dict]:
    """What `compare` writes."""
    assert main(["compare", F, G, "--batches", "3", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    return found if isinstance(found, list) else [found]


def view(n_batches: int = 3, **more) -> CkaView:
    return CkaView(n_batches=n_batches, measure="toy", **more)


def plain(n_batches: int) -> np.ndarray:
    """(L_f, L_g) the toy's value in plain numpy."""
    data, per_batch = data_id(preset("bundled"), "eval"), []
    stream = open_stream(data.name, data.split, data.sequences_per_batch, data.tokens_per_sequence, data.seed)
    for index in range(n_batches):
        batch = stream.batch(index)
        f, g = (
            [np.linalg.norm(h.reshape(-1, h.shape[-1]).numpy(), axis=1) for h in load_model(name).residuals(batch)]
            for name in (F, G)
        )
        per_batch.append([[np.corrcoef(x, y)[0, 1] for y in g] for x in f])
    return np.mean(per_batch, axis=0)


def test_compare_computes_caches_and_exports_it_beside_cka_in_one_request(capsys) -> None:
    toy, cka = compared(capsys, "--measure", "toy,cka")
    assert (toy["measure"], cka["measure"], toy["reduction"], toy["n_batches"]) == ("toy", "cka", "mean", 3)
    np.testing.assert_allclose(toy["values"], plain(3), atol=1e-6)
    low, high = np.array(toy["interval"]["lower"]), np.array(toy["interval"]["upper"])
    assert (low < toy["values"]).all() and (toy["values"] < high).all()
    store, comparison = ResultStore.open(), cka_panel(F, G, view(), data_id(preset("bundled"), "eval")).comparison
    before = store.get_local(comparison.key).stored_at
    assert compared(capsys, "--measure", "toy")[0]["values"] == toy["values"]
    assert ResultStore.open().get_local(comparison.key).stored_at == before, "it was not computed again"


def test_more_batches_extend_it(capsys) -> None:
    compared(capsys, "--measure", "toy")
    key = cka_panel(F, G, view(), data_id(preset("bundled"), "eval")).comparison.key
    first = ResultStore.open().get_local(key).arrays["values"]
    assert main(["compare", F, G, "--measure", "toy", "--batches", "5"]) == 0
    grown = ResultStore.open().get_local(key).arrays["values"]
    assert grown.shape == (5, 3, 3) and grown[:3].tobytes() == first.tobytes()


def test_its_own_setting_is_part_of_the_key_and_is_refused_where_it_is_wrong(capsys) -> None:
    (toy,) = compared(capsys, "--measure", "toy", "--set", "scale=log")
    assert toy["comparison"]["settings"]["scale"] == "log"
    assert toy["values"] != compared(capsys, "--measure", "toy")[0]["values"]
    assert main(["compare", F, G, "--measure", "toy", "--set", "k=3"]) != 0
    assert "these measures have no setting 'k'; they have scale" in capsys.readouterr().err
    assert main(["compare", F, G, "--measure", "toy", "--reduction", "ratio_of_means"]) != 0
    assert "toy lengths has no reduction 'ratio_of_means'" in capsys.readouterr().err


def test_it_is_drawn_explained_and_its_cells_are_told(capsys) -> None:
    compared(capsys, "--measure", "toy")
    for g in (F, G):
        assert main(["compare", g, g, "--measure", "toy", "--batches", "3"]) == 0
    pair = Pair(F, G, "toy", "every", "toy lengths", view(), "quick", preset("bundled"))
    (card,) = PAIR_MAPS.cards(FigureChoice((pair,)))
    drawn = card.draw(ResultStore.open(), LOOKS["print"], "")
    assert drawn.complete and card.title == f"toy lengths of {F} and {G}" and card.explain.startswith(LINE.means)
    assert drawn.caption.estimator.startswith("toy lengths, plain lengths, tokens as rows, mean over batches")
    axis = drawn.figure.layout.coloraxis
    assert (axis.cmin, axis.cmax, axis.colorbar.title.text) == (0.0, 1.0, "toy lengths")
    (curve,) = PAIR_CURVE.cards(
        FigureChoice((Pair(F, G, "toy", "same", "toy lengths", view(), "quick", preset("bundled")),))
    )
    assert curve.draw(ResultStore.open(), LOOKS["print"], "").complete
    assert "toy lengths" in {term.name for term in terms_in((card.title,))}
    panel = cka_panel(F, G, view(), data_id(preset("bundled"), "eval"))
    cell = cka_cell(ResultStore.open(), panel, 0, 1, "mean_of_ratios", 3)
    matrix = load_matrix(ResultStore.open(), panel, "mean_of_ratios", 3).matrix
    assert cell.quantity == "toy lengths" and cell.statistics[0] == matrix.values[0, 1] and len(cell.sample) == 3
    assert "--measure toy" in cell.command and "--set scale=plain" in cell.command


def test_the_dropdown_offers_it_and_the_page_asks_for_it() -> None:
    assert options.MEASURE.labels["toy"] == "toy lengths"
    page = opened("pages/4_Compare_models.py", measure="toy")
    assert [e.message for e in page.exception] == [] and page.selectbox(key="measure").value == "toy"
    assert page.selectbox(key="toy-scale").options == ["plain", "logarithmic"]
    shown = "\n".join(str(one.value) for kind in ("markdown", "subheader", "header") for one in page.get(kind))
    assert f"toy lengths of {F} and {G}" in shown.replace("\\", "")

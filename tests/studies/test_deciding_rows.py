"""A map that a handful of tokens decides says so: how many, which, where, and how to leave them out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from shown import opened, words
from synthetic import put_cka

from repdiss_core.base.results import BatchHsic
from repdiss_core.plots.theme import LOOKS
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.common import CkaView, bundled_preset
from repdiss_core.studies.deciding_rows import deciding_rows, layer_words
from repdiss_core.studies.drawn import compose_heatmaps
from repdiss_core.studies.figure import FigurePart
from repdiss_core.studies.pair.question import pair_panels
from repdiss_core.studies.panels import load_matrix

F, G = "mini-solu-4l-s0", "mini-gelu-3l-s0"
N = 4


def planted(panel, share_f, share_g, rows=((5, 133), (5, -1))) -> dict[str, np.ndarray]:
    """What two tokens carry in f's layers, and one of them in g's, of every batch."""
    arrays = {}
    for side, share, places in zip("fg", (share_f, share_g), rows, strict=True):
        named = np.full((N, 8), -1)
        named[:, : len(places)] = places
        arrays |= {
            f"share_{side}": np.tile(share, (N, 1)),
            f"count_{side}": np.tile(np.array(share) > 0, (N, 1)) * sum(p >= 0 for p in places),
            f"rows_{side}": named,
            f"tokens_{side}": np.where(named >= 0, 40, -1),
            f"peak_{side}": np.full((N, len(share)), 60.0),
        }
    return arrays


def stored(share_f=(0, 0.9, 0.7, 0.1), share_g=(0.1, 0, 0.4)):
    """The panel between two models whose map is stored with massive tokens."""
    view = CkaView(n_batches=N)
    panels = pair_panels(G, F, view, bundled_preset())
    store = ResultStore.open()
    for panel in panels:
        put_cka(store, panel.comparison, N)
    panel = panels[-1]
    assert panel.comparison.f.name == G, "G comes first in the canonical order"
    entry = store.get_local(panel.comparison.key)
    arrays = {**entry.arrays, **planted(panel, share_g, share_f, ((5, -1), (5, 133)))}
    store.put(panel.comparison.key, arrays, entry.meta)
    return store, panels


def test_the_sentence_says_how_many_which_and_in_which_layers() -> None:
    store, panels = stored()
    said = load_matrix(store, panels[-1], "mean_of_ratios", N).deciding
    assert said.startswith(
        f"Massive tokens decide layers 2 to 3 of {F}: 2 of 1024 tokens per batch, longer than 5 times the median, "
        "carry 70 to 90 % of these layers’ HSIC with themselves (“"
    )
    assert "” at position 6)." in said  # rows 5 and 133: the sixth token of the first and of the second sequence
    assert said.endswith("Choose “without massive tokens” (--massive dropped) for the map without them.")


def test_both_models_are_named_and_a_turned_map_names_them_the_same() -> None:
    store, panels = stored(share_g=(0, 0, 0.995))
    one = load_matrix(store, panels[-1], "mean_of_ratios", N).deciding
    assert f"decide layers 2 to 3 of {F}" in one and f"decide layer 3 of {G}: 1 of 1024 tokens per batch" in one
    assert "carries 99 %" in one
    turned = pair_panels(F, G, CkaView(n_batches=N), bundled_preset())[-1]
    assert turned.swapped
    other = load_matrix(store, turned, "mean_of_ratios", N).deciding
    assert sorted(one.split(". ")) == sorted(other.split(". "))


@pytest.mark.parametrize("shares", [(0, 0, 0, 0), (0.2, 0.49, 0.5, 0.1)])
def test_rows_that_carry_at_most_half_decide_nothing(shares) -> None:
    store, panels = stored(share_f=shares)
    view = load_matrix(store, panels[-1], "mean_of_ratios", N)
    assert view.deciding == "" and view.notes == ()


def test_tokens_without_a_tokenizer_are_named_by_number_and_many_are_counted(monkeypatch) -> None:
    from repdiss_core.base.errors import UserError
    from repdiss_core.studies import deciding_rows as module

    def gone(source, ids):
        raise UserError("no tokenizer here")

    monkeypatch.setattr(module, "token_texts", gone)
    one = np.ones((1, 1, 1)), np.ones((1, 1)), np.ones((1, 1)), np.array([64])
    known = {"share_f": np.ones((1, 1)), "count_f": np.array([[5]]), "peak_f": np.ones((1, 1))}
    comparison = pair_panels(F, F, CkaView(), bundled_preset())[0].comparison
    spread = known | {"tokens_f": np.array([[7, 8, 9, 10, 11]]), "rows_f": np.array([[0, 1, 2, 3, 4]])}
    said = deciding_rows(BatchHsic(*one, massive=spread), comparison, (F, F))
    assert "(token 7 at position 1, token 8 at position 2, token 9 at position 3, 2 others)" in said
    first = spread | {"rows_f": np.array([[0, 128, 256, 384, 512]])}
    said = deciding_rows(BatchHsic(*one, massive=first), comparison, (F, F))
    assert "(whichever token stands at position 1 of its sequence)" in said


def test_the_caption_and_exports_say_it_and_the_cells_without_value_do_not() -> None:
    store, panels = stored()
    drawn = compose_heatmaps(
        store, FigurePart("", panels=panels), LOOKS["print"], bundled_preset(), "mean_of_ratios", N
    )
    assert drawn.caption.deciding.startswith("Massive tokens decide layers 2 to 3") and drawn.notes == ()
    assert drawn.caption.deciding in drawn.caption.text
    assert [table.to_dict()["notes"] for table in drawn.tables] == [[], [], [drawn.caption.deciding]]
    assert dataclasses.replace(drawn.caption, deciding="").text in drawn.caption.text.replace(
        f"{drawn.caption.deciding} ", ""
    )


@pytest.fixture
def page(own_cache, monkeypatch):
    from repdiss_core.ui.cards import figure_card
    from repdiss_core.ui.parts.shared import result_store

    monkeypatch.setattr("repdiss_core.ui.page.prepare", lambda look: None)
    monkeypatch.setattr("repdiss_core.store.cache.bundled_root", lambda: own_cache / "bundled")
    result_store.clear()
    figure_card._DRAWN.clear()
    stored()
    yield lambda **query: opened("pages/4_Compare_models.py", f=G, g=F, **query)
    result_store.clear()
    figure_card._DRAWN.clear()


def test_one_click_shows_the_map_without_them(page) -> None:
    test = page()
    assert "Massive tokens decide layers 2 to 3" in words(test)
    test.button(key="dropped-pair").click().run()
    assert not test.exception
    assert test.query_params["massive"] == ["dropped"] or test.query_params["massive"] == "dropped"
    assert test.selectbox(key="massive").value == "dropped"
    assert "Massive tokens decide" not in words(test)
    assert all(button.key != "dropped-pair" for button in test.button)


def test_layers_in_words() -> None:
    assert layer_words([2]) == "layer 2" and layer_words([1, 3, 4, 5]) == "layers 1, 3 to 5"
    assert layer_words([4, 5]) == "layers 4 to 5"

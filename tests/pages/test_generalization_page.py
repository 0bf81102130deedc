"""The page of section 4 on what ships: its figures, its choices, its warnings,
and the same numbers as the command line."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import shown
from shown import specs, words

from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.generalization import question
from repdiss_core.studies.generalization.question import PopulationParams
from repdiss_core.ui.cards import figure_card

PAGE = "pages/2_Generalization.py"
N_CHARTS = 5  # Figures 2 left, 2 right and 8, the map, and the strip of models


@pytest.fixture(autouse=True)
def fresh_store(own_cache):
    """The page opens the test's own local cache beside what ships."""
    from repdiss_core.ui.parts.shared import result_store

    def clear() -> None:
        result_store.clear()
        figure_card._DRAWN.clear()

    clear()
    yield
    clear()


opened = partial(shown.opened, PAGE)


def curve(spec: dict, name: str, axis: str) -> list[float]:
    """The joined points of a named curve in one panel."""
    (found,) = (
        t["y"]
        for t in spec["data"]
        if t.get("name", "").startswith(name) and t["xaxis"] == axis and t["mode"] == "lines+markers"
    )
    return found


def figure_json(tmp_path: Path, figure_id: str, *options: str) -> list[dict]:
    from repdiss_core.__main__ import main

    out = tmp_path / f"{figure_id}.json"
    assert main(["figure", figure_id, "--out", str(out), *options]) == 0
    return json.loads(out.read_text("utf-8"))["panels"]


def panel(panels: list[dict], rows: str, columns: str, measure: str) -> dict:
    (found,) = (f for f in panels if (f["rows"], f["columns"], f["measure"]) == (rows, columns, measure))
    return found


def test_every_figure_shows_at_once_from_what_ships() -> None:
    test = opened()
    assert [e.message for e in test.exception] == []
    shown = specs(test)
    assert len(shown) == N_CHARTS
    assert not any("not computed" in json.dumps(spec) for spec in shown)
    assert "Not every pair" not in words(test)


@pytest.mark.parametrize("population", ["natural", "constructed"])
def test_the_page_and_the_command_line_give_the_same_numbers(tmp_path, population) -> None:
    from repdiss_core.bundled.nli import POPULATIONS

    shown = specs(opened(population=POPULATIONS[population].label))
    fig2, fig7 = (figure_json(tmp_path, name, "--population", population) for name in ("fig2", "fig7"))
    inside, overlap = PopulationParams().sets
    stitched = "generalizing → heuristic"
    assert curve(shown[0], stitched, "x") == panel(fig2, "top_bottom", inside, "stitched_accuracy")["values"][:-1]
    assert curve(shown[0], stitched, "x2") == panel(fig7, "top_bottom", overlap, "stitched_accuracy")["values"][:-1]
    for axis, name in (("x", inside), ("x2", overlap)):
        assert curve(shown[1], "generalizing – heuristic", axis) == panel(fig2, "top_bottom", name, "cka")["values"]
    fig8 = figure_json(tmp_path, "fig8", "--population", population)
    points = [
        t["y"] for t in shown[2]["data"] if t["type"] == "scatter" and "generalizing – heuristic" in t["hovertemplate"]
    ]
    assert points == [panel(fig8, "top_bottom", name, "cka_distance")["values"] for name in (inside, overlap)]


def test_the_figures_say_how_many_models_pairs_and_inputs() -> None:
    told = words(opened())
    for part in (
        "6 + 6 of 24 tiny BERTs",
        "66 pairs of models",
        "132 ordered pairs",
        "500 pairs of sentences a set",
        "7 chunks of 1024 rows",
        "permutation of 12 models",
    ):
        assert part in told


def test_another_group_size_changes_the_groups_and_asks_for_what_is_missing() -> None:
    test = opened()
    test.selectbox(key="k").select(4).run()
    assert [e.message for e in test.exception] == []
    assert "4 + 4 of 24 tiny BERTs" in words(test)
    assert curve(specs(test)[1], "heuristic – heuristic (6 pairs)", "x")
    test.selectbox(key="k").select(10).run()
    assert "190 pairs of models" in words(test)
    assert "ordered pairs still missing" in json.dumps(specs(test)[0])


def test_penalties_are_measured_against_the_top_models_own_accuracy() -> None:
    shown = specs(opened(show="penalty"))[0]
    assert shown["layout"]["yaxis"]["title"]["text"] == "accuracy lost against the top model alone"


def test_ranking_on_what_is_measured_is_warned_of() -> None:
    assert not opened().warning
    test = opened(rank=question.SET_LABELS["lexical_overlap"])
    assert any("very pairs that they are measured on" in w.value for w in test.warning)


def test_the_constructed_population_is_called_constructed() -> None:
    test = opened(population="8 + 8, constructed control")
    assert any("made" in w.value and "no finding" in w.value for w in test.warning)
    assert "groups differ by construction" in words(test)


def test_two_chosen_models_open_their_comparison() -> None:
    first, second = question.group_models(PopulationParams())[2:4]
    test = opened(model_a=first, model_b=second)
    assert f"{first} and {second} stitched into each other" in words(test)
    assert curve(specs(test)[-2], f"{first} → {second}", "x")
    assert len(curve(specs(test)[-1], "CKA of the two models", "x2")) == 6


def test_a_click_takes_a_free_place_first() -> None:
    from repdiss_core.studies.options import NO_MODEL as NONE
    from repdiss_core.ui.cards.model_strip import placed

    assert placed("a", NONE, NONE) == ("a", NONE)
    assert placed("b", "a", NONE) == ("a", "b")
    assert placed("c", "a", "b") == ("c", "a")


def test_the_plane_is_drawn_when_its_tab_is_opened() -> None:
    test = opened(maps="The models in the plane")
    assert [e.message for e in test.exception] == []
    assert len(specs(test)) == N_CHARTS
    assert not any(trace["type"] == "heatmap" for trace in specs(test)[3]["data"])


def test_a_model_compared_with_itself_is_told_in_a_sentence() -> None:
    first = question.group_models(PopulationParams())[0]
    test = opened(model_a=first, model_b=first)
    assert any("Choose two different models" in i.value for i in test.info)
    assert len(specs(test)) == N_CHARTS


def test_labels_of_figure_8_are_lines_not_markup() -> None:
    ticks = specs(opened())[2]["layout"]["xaxis"]["ticktext"]
    assert ticks[1] == "generalizing –<br>heuristic<br>36 pairs"


def test_without_results_every_figure_says_so(monkeypatch, own_cache) -> None:
    monkeypatch.setattr("repdiss_core.store.cache.bundled_root", lambda: own_cache / "bundled")
    test = opened()
    assert [e.message for e in test.exception] == []
    assert "Not every pair of this population is computed yet." in words(test)
    assert all("not computed yet" in json.dumps(spec) for spec in specs(test)[:4])
    assert not ResultStore.open().keys("shipped")

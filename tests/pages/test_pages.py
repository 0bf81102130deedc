"""Every page with an empty and with a filled cache, its pickers, bad input, and a read-only demo."""

import json
import re
from urllib.parse import parse_qsl

import pytest
from shown import ROOT, charts, opened, specs
from streamlit.testing.v1 import AppTest
from synthetic import fill

from repdiss_core.measures import MEASURES
from repdiss_core.models import MODELS
from repdiss_core.models.paper_models import language_models
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.ui.cards import figure_card, scaling_cards

PAGES = {path.stem: f"pages/{path.name}" for path in sorted((ROOT / "pages").glob("*.py"))}
ASYMMETRY, COMPARE, RUNS = (f"pages/{name}.py" for name in ("1_Activation_asymmetry", "4_Compare_models", "7_Runs"))
CARDS = ("fig1", "fig4", "fig5", "fig6-3", "fig6-4")

pytestmark = pytest.mark.usefixtures("fresh_store")


def fill_asymmetry() -> None:
    """Everything that the asymmetry page shows at its first settings."""
    for depth in asymmetry.DEPTHS:
        params = asymmetry.AsymmetryParams(depth=depth)
        fill(ResultStore.open(), [p.comparison for p in asymmetry.cka_panels(params)])
        fill(
            ResultStore.open(),
            [
                c
                for curve in asymmetry.paper_curves(params) + asymmetry.control_curves(params)
                for c in curve.comparisons
            ],
        )


def words(test: AppTest) -> str:
    """All prose of the page."""
    return "\n".join(
        element.value
        for kind in ("markdown", "caption", "title", "header", "subheader", "error", "info")
        for element in test.get(kind)
    )


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("page", ["app.py", *PAGES.values()])
def test_a_page_stands_alone(page, filled):
    if filled:
        fill_asymmetry()
    test = opened(page)
    assert [e.message for e in test.exception] == []
    assert len(test.title) == 1
    assert test.title[0].value.endswith("?")


def test_opening_a_page_starts_nothing(own_cache):
    for page in ("app.py", *PAGES.values()):
        opened(page)
    assert not (own_cache / "local" / "jobs").exists()


def test_the_asymmetry_page_shows_all_four_figures():
    fill_asymmetry()
    test = opened(ASYMMETRY)
    shown = specs(test)
    assert len(shown) == len(CARDS)
    kinds = [{trace["type"] for trace in spec["data"]} for spec in shown]
    assert "heatmap" in kinds[1]
    assert "heatmap" in kinds[2]
    assert "heatmap" not in kinds[0] | kinds[3] | kinds[4]


def test_the_map_holds_the_values_of_the_store():
    fill_asymmetry()
    from repdiss_core.studies.panels import load_matrix

    panel = asymmetry.cka_panels(asymmetry.AsymmetryParams())[2]
    wanted = load_matrix(ResultStore.open(), panel, "mean_of_ratios", 100).matrix.values
    maps = [trace for trace in specs(opened(ASYMMETRY))[1]["data"] if trace.get("name") == "values"]
    assert maps[2]["z"] == wanted.tolist()


def test_a_chosen_cell_is_told_marked_and_let_go():
    fill_asymmetry()
    from repdiss_core.studies.panels import load_matrix
    from repdiss_core.ui.parts.chart import Click
    from repdiss_core.ui.parts.chosen_cell import take

    test = opened(ASYMMETRY, **{"cell-fig4": "3.2.1"})
    wanted = load_matrix(
        ResultStore.open(), asymmetry.cka_panels(asymmetry.AsymmetryParams())[2], "mean_of_ratios", 100
    ).matrix.values
    assert f"Layer 2 of mini-solu-3l-s0 × layer 1 of mini-gelu-3l-s0: CKA {wanted[1, 0]:.3f}" in words(test).replace(
        "\\", ""
    )
    assert json.loads(charts(test)[1].proto.json)["chosen"] == [3, 1, 0]
    test.button(key="close-fig4").click().run()
    assert "Layer 2 of" not in words(test)
    assert "cell-fig4" not in test.query_params
    address = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repdiss_core.ui.parts.chosen_cell.st.query_params", address)
        patch.setattr("repdiss_core.ui.parts.chosen_cell.remember_choices", lambda: None)
        take("fig4", Click(0, 3, 1, 0, None, ()))
        assert address == {"cell-fig4": "3.2.1"}
        take("fig4", Click(0, 3, 1, 0, None, ()))
        assert address == {}


@pytest.mark.parametrize("cell", ["4.1.1", "1.4.1", "1.1.4", "1.0.1", "1.1", "<b>.1.1", "1.1.99999999"])
def test_a_cell_that_the_maps_do_not_have_is_not_told(cell):
    fill_asymmetry()
    test = opened(ASYMMETRY, **{"cell-fig4": cell})
    assert [e.message for e in test.exception] == []
    assert "over 100 batches" not in words(test)
    assert json.loads(charts(test)[1].proto.json)["chosen"] is None


def test_a_link_carries_the_choices():
    test = opened(ASYMMETRY, depth="3 layers", show="penalty", gelu="seed 1")
    assert len(specs(test)) == 3
    assert test.selectbox(key="gelu").value == 1
    assert specs(test)[0]["layout"]["yaxis"]["title"]["text"] == "penalty, nats a token"


def test_a_link_with_unknown_values_shows_the_page_and_says_so():
    test = opened(ASYMMETRY, depth="7 layers", batches="<b>many</b>")
    assert [e.message for e in test.exception] == []
    (told,) = test.info
    assert "7 layers" in told.value
    assert "\\<b\\>many" in told.value
    assert test.selectbox(key="depth").value == (3, 4)


def test_the_settings_label_says_what_is_set():
    test = opened(ASYMMETRY, depth="3 layers")
    test.selectbox(key="estimator").select("biased").run()
    test.selectbox(key="batches").select(20).run()
    labels = [block.proto.popover.label for block in test.get("popover")]
    assert "biased · mean of ratios · 20 batches · quick stitch" in labels


def test_the_seeds_offered_are_those_that_ship_at_every_depth_shown():
    test = opened(ASYMMETRY, depth="3 layers")
    assert test.selectbox(key="gelu").options == [f"seed {s}" for s in asymmetry.seeds("gelu", 3)]
    both = set(asymmetry.seeds("gelu", 3)) & set(asymmetry.seeds("gelu", 4))
    assert opened(ASYMMETRY).selectbox(key="gelu").options == [f"seed {s}" for s in sorted(both)]


@pytest.mark.parametrize("measure", ["CKA", "stitching", "identity stitching", "rsa", "pwcca", "linear_predictivity"])
@pytest.mark.parametrize("layers", ["every pair", "each with its own number"])
def test_compare_draws_every_measure_for_every_choice_of_layers(measure, layers):
    test = opened(COMPARE, measure=measure, layers=layers)
    assert [e.message for e in test.exception] == []
    assert len(specs(test)) == 1


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        ("CKA", r"have a CKA of 0\.\d\d \[0\.\d\d, 0\.\d\d\] over 100 batches"),
        ("stitching", r"costs least after layer [123]: 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]"),
    ],
)
def test_compare_says_what_was_found_in_a_sentence(measure, said):
    fill_asymmetry()
    test = opened(COMPARE, measure=measure)
    assert re.search(said, words(test).replace("\\", ""))


def test_compare_tells_what_a_chance_level_takes_before_it_is_computed():
    shown = opened(COMPARE, chance="corrected")
    assert [e.message for e in shown.exception] == []
    assert "8 times the pairs of layers" in words(shown) and "chance level not computed yet" in words(shown)
    refused = opened(COMPARE, chance="level", measure="linear_predictivity")
    assert "has no chance level" in refused.error[0].value.replace("\\", "")


def test_compare_opens_the_difference_from_an_untrained_twin():
    f, g = "mini-gelu-3l-s0", "mini-solu-3l-s0"

    def twins(test) -> list[str]:
        """The addresses behind the page's links to twins of f."""
        queries = [link.proto.query_string for link in test.get("page_link")]
        return [query for query in queries if "b_f=random" in query]

    (query,) = twins(opened(COMPARE, f=f, g=g, batches="10"))
    asked = dict(parse_qsl(query))
    assert asked == {**asked, "mode": "difference", "b_f": f"random:{f}", "b_g": g, "batches": "10"}
    shown = opened(COMPARE, **asked)
    assert [e.message for e in shown.exception] == [] and len(specs(shown)) == 1
    assert f"B: random:{f}" in words(shown).replace("\\", "")
    assert not twins(opened(COMPARE, f=f, g=g, measure="stitching"))


def test_compare_offers_every_model_and_measure():
    test = opened(COMPARE)
    assert test.selectbox(key="f").options == [*MODELS, *language_models()]
    offered = [spec.short for spec in MEASURES.values() if spec.for_any_pair]
    assert test.selectbox(key="measure").options == offered and len(offered) >= 11


def test_a_model_compared_with_itself_is_one_map():
    name = next(iter(MODELS))
    test = opened(COMPARE, f=name, g=name)
    assert specs(test)[0]["layout"]["annotations"][0]["text"] == f"Within {name}"
    assert "xaxis2" not in specs(test)[0]["layout"]


def test_stitches_of_models_of_different_tokenizers_are_refused_in_a_sentence(monkeypatch):
    import dataclasses

    first, second = list(MODELS)[:2]
    monkeypatch.setitem(MODELS, second, dataclasses.replace(MODELS[second], tokenizer="another"))
    test = opened(COMPARE, f=first, g=second, measure="stitching")
    assert [e.message for e in test.exception] == []
    assert "tokenizers" in test.error[0].value.replace("\\", "")
    assert test.selectbox(key="f").value == first


def test_without_models_the_page_says_what_is_missing(monkeypatch):
    from repdiss_core import models

    monkeypatch.setattr(models, "MODELS", {})
    monkeypatch.setattr(asymmetry, "MODELS", {})
    test = opened(ASYMMETRY)
    assert [e.message for e in test.exception] == []
    assert "There is no" in test.error[0].value


def test_a_damaged_entry_is_told_and_the_rest_of_the_page_stands(own_cache):
    fill_asymmetry()
    store = ResultStore.open()
    key = asymmetry.cka_panels(asymmetry.AsymmetryParams())[0].comparison.key
    store._writable().set(key, b"not a result")
    test = opened(ASYMMETRY)
    assert [e.message for e in test.exception] == []
    assert len(specs(test)) == len(CARDS)
    assert any("skipped" in expander.label for expander in test.expander)


def test_a_button_asks_for_the_request_of_its_card(monkeypatch):
    from repdiss_core.runs import jobs

    asked = []
    monkeypatch.setattr(jobs, "start", lambda request, title, fresh=False: asked.append((request, title, fresh)))
    test = opened(ASYMMETRY, depth="3 layers")
    test.button(key="compute-fig4").click().run()
    ((request, title, fresh),) = asked
    assert {c.measure for c in request.comparisons} == {"cka"}
    assert (len(request.comparisons), request.n_batches, title, fresh) == (
        3,
        100,
        "CKA of 3-layer models: mini-gelu-3l-s0, mini-solu-3l-s0",
        False,
    )


def test_a_refused_start_is_a_sentence_and_the_figures_stay(monkeypatch):
    from repdiss_core.base.errors import UserError
    from repdiss_core.runs import jobs

    def refuse(*_):
        raise UserError("The disk is full. Free some space on the page Runs.")

    monkeypatch.setattr(jobs, "start", refuse)
    test = opened(ASYMMETRY, depth="3 layers")
    test.button(key="compute-fig4").click().run()
    assert [e.message for e in test.exception] == []
    assert "disk is full" in test.error[0].value
    assert len(specs(test)) == 3


def test_a_read_only_demo_shows_no_button_that_changes_anything(monkeypatch):
    fill_asymmetry()
    monkeypatch.setenv("REPDISS_READONLY", "1")
    for page in ("app.py", *PAGES.values()):
        test = opened(page)
        assert [e.message for e in test.exception] == []
        assert {button.label for button in test.button} <= {"Cell", "Present", "Add to my tour", "Back", "Next"}, (
            "these stay in the visitor's own session"
        )


def test_the_figures_drawn_ahead_are_those_that_the_pages_show_first(monkeypatch):
    from repdiss_core.base.paths import REPOSITORY
    from repdiss_core.plots.theme import LOOKS
    from repdiss_core.ui.cards.study_cards import first_cards
    from repdiss_core.ui.parts.shared import result_store
    from repdiss_core.ui.warm_up import steps

    monkeypatch.setattr("repdiss_core.store.cache.bundled_root", lambda: REPOSITORY / "cache" / "bundled")
    result_store.clear()
    figure_card._DRAWN.clear()
    assert len(list(steps(LOOKS["page"]))) > len(CARDS)
    ahead = set(figure_card._DRAWN)
    for page in (ASYMMETRY, "pages/2_Generalization.py", "pages/3_Scaling_families.py"):
        assert [e.message for e in opened(page).exception] == []
    assert set(figure_card._DRAWN) == ahead
    assert len(ahead) == len(CARDS) + 4 + len(list(first_cards("scaling", scaling_cards.first_choice())))


def test_what_ships_is_shown_at_once_and_marked(monkeypatch):
    from repdiss_core.base.paths import REPOSITORY
    from repdiss_core.ui.parts.shared import result_store

    monkeypatch.setattr("repdiss_core.store.cache.bundled_root", lambda: REPOSITORY / "cache" / "bundled")
    result_store.clear()
    figure_card._DRAWN.clear()
    test = opened(ASYMMETRY)
    assert [e.message for e in test.exception] == []
    assert len(specs(test)) == len(CARDS)
    assert "not computed yet" not in str([spec["layout"]["annotations"] for spec in specs(test)])
    assert words(test).count("shipped result") >= len(CARDS)

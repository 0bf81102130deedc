"""The panel of a chosen cell, difference mode, and what a click on the family's map chooses,
as a page without a browser runs them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import shown
from shown import charts, specs
from streamlit.testing.v1 import AppTest
from synthetic import fill, put_cka

from repdiss_core.models import model_spec
from repdiss_core.runs import jobs
from repdiss_core.runs.job_files import JobStatus
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.studies.cell import cka_cell
from repdiss_core.studies.common import CkaView, bundled_preset
from repdiss_core.studies.pair.question import pair_panels
from repdiss_core.studies.scaling import question as scaling
from repdiss_core.studies.tokens import token_request_of
from repdiss_core.ui.cards.scaling_cards import owner_of, take_pair
from repdiss_core.ui.parts import watched
from repdiss_core.ui.parts.chart import Click

F, G = "mini-gelu-3l-s0", "mini-solu-3l-s0"
ASYMMETRY, COMPARE = "pages/1_Activation_asymmetry.py", "pages/4_Compare_models.py"
RESTS, TOKENS = "what it rests on", "which tokens differ"

pytestmark = pytest.mark.usefixtures("fresh_store")


def opened(page: str, **query: str) -> AppTest:
    """The page, which opens without a fault; two underscores in a name stand for a hyphen."""
    test = shown.opened(page, **{name.replace("__", "-"): value for name, value in query.items()})
    assert [e.message for e in test.exception] == []
    return test


def prose(test: AppTest) -> str:
    """Everything that the page says, HTML included."""
    kinds = ("markdown", "caption", "code", "error", "info")
    said = [element.value for kind in kinds for element in test.get(kind)]
    return "\n".join([*said, *(element.proto.body for element in test.get("html"))]).replace("\\", "")


def between() -> object:
    """The map between the two models that the page shows first, stored."""
    panels = pair_panels(F, G, CkaView(), bundled_preset())
    fill(ResultStore.open(), [panel.comparison for panel in panels])
    return panels[-1]


def labels(test: AppTest) -> list[str]:
    return [button.label for button in test.button]


def test_the_panel_tells_what_the_stored_value_rests_on():
    panel = between()
    facts = cka_cell(ResultStore.open(), panel, 1, 2, "mean_of_ratios", 100)
    test = opened(COMPARE, cell__pair="3.2.3")
    said = prose(test)
    value, error, low, high = facts.statistics
    assert f"{value:.4f}, 95 % [{low:.4f}, {high:.4f}], standard error {error:.4f}" in said
    assert facts.command in said and facts.entry.key in said
    assert f"{F}, layer 2: resid_post, after block 2 of 3" in said
    strip = specs(test)[1]["data"][0]
    np.testing.assert_allclose(sorted(strip["x"]), sorted(facts.sample))


def test_the_lists_choose_another_cell():
    between()
    test = opened(COMPARE, cell__pair="3.2.3")
    test.selectbox(key="row-pair").select(0).run()
    assert test.query_params["cell-pair"] == "3.1.3"
    assert json.loads(charts(test)[0].proto.json)["chosen"] == [3, 0, 2]
    test.selectbox(key="map-pair").select(1).run()
    assert test.query_params["cell-pair"] == "1.1.3"


def test_without_a_click_a_button_opens_the_panel():
    between()
    test = opened(COMPARE)
    test.button(key="cell-of-pair").click().run()
    assert test.query_params["cell-pair"] == "3.3.3"
    assert "Close" in labels(test)


@pytest.mark.parametrize("readonly", [False, True])
def test_what_computes_is_hidden_in_a_read_only_demo(readonly, monkeypatch):
    between()
    if readonly:
        monkeypatch.setenv("REPDISS_READONLY", "1")
    rests = labels(opened(COMPARE, cell__pair="3.1.1"))
    assert ("Recompute with biased" in rests) is not readonly
    assert ("Recompute with sequence-aware" in rests) is not readonly
    assert "Recompute with unbiased" not in rests
    tokens = opened(COMPARE, cell__pair="3.1.1", about__pair=TOKENS)
    assert ("Compare the tokens here" in labels(tokens)) is not readonly
    assert "have not been compared at these two layers yet" in prose(tokens)


def test_opening_a_link_to_a_cell_starts_nothing(own_cache):
    between()
    for about in (RESTS, TOKENS):
        opened(COMPARE, cell__pair="3.1.1", about__pair=about)
    assert not (own_cache / "local" / "jobs").exists()


def test_another_estimator_is_started_as_a_job_and_shown_once_it_is_stored(monkeypatch):
    panel = between()
    started = []
    monkeypatch.setattr(jobs, "start", lambda request, title, fresh=False: started.append((request, title)))
    test = opened(COMPARE, cell__pair="3.1.1")
    test.button(key="recompute-biased-pair").click().run()
    ((request, title),) = started
    assert (request.comparisons[0].setting("estimator"), request.n_batches) == ("biased", 100)
    assert title == f"CKA (biased): {panel.row_name}, {panel.column_name}"
    put_cka(ResultStore.open(), request.comparisons[0])
    assert "Recompute with biased" not in labels(test.run())


def test_stored_tokens_are_shown_with_their_shades():
    facts = cka_cell(ResultStore.open(), between(), 0, 1, "mean_of_ratios", 100)
    comparison = token_request_of(facts, 1)
    arrays = {
        "tokens": np.full((2, 3), 40),
        "cosine": np.linspace(0.1, 1.0, 6).reshape(2, 3),
        "contribution": np.full((2, 3), 0.5),
    }
    ResultStore.open().put(comparison.key, arrays, {"comparison": comparison.to_dict()})
    said = prose(opened(COMPARE, cell__pair="3.1.2", about__pair=TOKENS, batch__pair="2"))
    assert said.count('class="t s') == 6 + 12
    assert "add up to HSIC₁ = 3 on this batch" in said


def test_a_card_repaints_itself_while_it_waits_for_a_job(monkeypatch):
    state = {}
    monkeypatch.setattr("repdiss_core.ui.parts.watched.st.session_state", state)
    monkeypatch.setattr("repdiss_core.ui.parts.watched.st.rerun", lambda: state.setdefault("reruns", []).append(1))
    job = JobStatus("0" * 64, "tokens", "running")
    monkeypatch.setattr(jobs, "status", lambda job_id: job)
    for _ in range(2):
        watched.wait_for("fig4", job)
    assert len(state["reruns"]) == 1
    assert watched.any_alive("fig4")
    assert not watched.any_alive("fig5")
    monkeypatch.setattr(jobs, "status", lambda job_id: JobStatus("0" * 64, "tokens", "done"))
    assert not watched.any_alive("fig4")


def test_a_result_and_itself_differ_by_nothing():
    between()
    test = opened(COMPARE, mode="difference B − A")
    assert "A and B have the same settings: their difference is 0" in prose(test)
    maps = [trace["z"] for trace in specs(test)[0]["data"] if trace.get("name") == "values"]
    assert maps[0] == maps[1]
    assert np.array(maps[2]).tolist() == np.zeros((3, 3)).tolist()


def test_a_pasted_link_is_the_other_result_and_only_what_differs_is_listed():
    between()
    test = opened(COMPARE, mode="difference B − A", b_link="http://x/Compare_models?estimator=biased&batches=50")
    said = prose(test)
    assert "| estimator | unbiased | biased |" in said
    assert "| batches | 100 | 50 |" in said
    assert "| model f |" not in said
    wrong = opened(COMPARE, mode="difference B − A", b_link="http://x/Runs")
    assert "This link leads to another page" in prose(wrong)


def test_the_look_of_maps_is_in_the_link():
    for depth in asymmetry.DEPTHS:
        fill(ResultStore.open(), [p.comparison for p in asymmetry.cka_panels(asymmetry.AsymmetryParams(depth=depth))])
    layout = specs(
        opened(ASYMMETRY, depth="3 layers", range="range of the values", numbers="hidden", axes="relative depth")
    )[1]
    assert layout["layout"]["coloraxis"]["cmin"] > 0.2
    assert layout["layout"]["xaxis"]["range"] == [0, 1]
    assert not any(trace.get("mode") == "text" for trace in layout["data"])


def test_a_click_on_the_family_s_map_chooses_the_pair(monkeypatch):
    state, address = {}, {}
    monkeypatch.setattr("repdiss_core.ui.cards.scaling_cards.st.session_state", state)
    monkeypatch.setattr("repdiss_core.ui.parts.chosen_cell.st.query_params", address)
    monkeypatch.setattr("repdiss_core.ui.parts.chosen_cell.remember_choices", lambda: None)
    params = scaling.FamilyParams()
    names = scaling.members(params.family)
    take_pair(params, "models", Click(0, 1, 2, 0, 0.5, ()))
    assert (state["f"], state["g"]) == (names[2], names[0])
    assert address == {}
    first = model_spec(names[0]).n_layers
    take_pair(params, "layers", Click(0, 1, first + 1, first - 1, 0.5, ()))
    assert (state["f"], state["g"]) == (names[1], names[0])
    assert address == {"cell-pair": f"3.2.{first}"}
    take_pair(params, "layers", Click(0, 1, 0, 1, 0.5, ()))
    assert address == {"cell-pair": "1.1.2"}
    depths = [model_spec(name).n_layers for name in names]
    assert owner_of(params.family, sum(depths) - 1) == (names[-1], depths[-1] - 1)


def test_a_chosen_cell_is_remembered_when_the_page_is_seen_again():
    between()
    test = opened(COMPARE)
    test.button(key="cell-of-pair").click().run()
    test.switch_page("pages/7_Runs.py").run()
    links = {link.proto.page: link.proto.query_string for link in test.get("page_link")}
    assert "cell-pair=3.3.3" in links["Compare_models"]

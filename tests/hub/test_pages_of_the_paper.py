"""The pages with the paper's models chosen: facts and status before anything is fetched,
and one click that pins what it names."""

from __future__ import annotations

import pytest
import tiny_repositories as tiny
from shown import opened
from streamlit.testing.v1 import AppTest

from repdiss_core.base.comparison import Request
from repdiss_core.runs import job_files, jobs
from repdiss_core.runs.resolve import is_pinned
from repdiss_core.ui.cards import figure_card

COMPARE = "pages/4_Compare_models.py"


@pytest.fixture(autouse=True)
def fresh_store(own_cache, monkeypatch):
    from repdiss_core.ui.parts.shared import result_store

    result_store.clear()
    figure_card._DRAWN.clear()
    yield
    result_store.clear()


def words(test: AppTest) -> str:
    parts = [e.value for kind in ("markdown", "caption", "info", "error", "warning") for e in test.get(kind)]
    return " ".join(str(part) for part in parts).replace("\\", "")


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("pages/1_Activation_asymmetry.py", {"models": "the paper’s, quick look"}),
        ("pages/2_Generalization.py", {"population": "the paper's: 10 best and 10 worst of 100 BERTs"}),
        ("pages/3_Scaling_families.py", {"family": "Pythia, deduplicated: the paper's 7 models"}),
        (COMPARE, {"f": "pythia-70m-deduped", "g": "pythia-1b-deduped"}),
    ],
)
def test_each_page_offers_the_papers_models_and_says_what_they_take(page, query):
    """Without a network, and with nothing of it on this machine."""
    test = opened(page, **query)
    assert [e.message for e in test.exception] == [] and [e.value for e in test.error] == []
    assert "of memory for the weights" in words(test) and "to download first" in words(test)


def test_facts_and_status_are_told_before_anything_is_fetched():
    told = words(opened(COMPARE, f="pythia-70m-deduped", g="pythia-6.9b-deduped"))
    for fact in (
        "| layers | 6 | 32 |",
        "| d_model | 512 | 4096 |",
        "to download: about 166 MB",
        "to download: about 13.8 GB",
        "281.7 MB | 27.4 GB",
    ):
        assert fact.replace("281.7 MB", "282 MB") in told


def test_models_of_two_tokenizers_and_data_of_another_are_refused_in_a_sentence():
    for f, g in (("pythia-70m-deduped", "gelu-3l"), ("mini-gelu-3l-s0", "pythia-70m-deduped")):
        test = opened(COMPARE, f=f, g=g, measure="stitching")
        assert "different tokenizers" in test.error[0].value


def test_compute_here_pins_what_it_names_and_the_page_finds_its_job(hub, monkeypatch):
    tiny.fill_models(hub, ("70m", "160m"), ())
    tiny.fill_texts(hub)
    monkeypatch.setattr(jobs, "_spawn", lambda folder, job_id: None)
    test = opened(COMPARE, f="pythia-70m-deduped", g="pythia-160m-deduped")
    next(b for b in test.button if b.label == "Compute here").click().run()
    assert [e.message for e in test.exception] == [] and [e.value for e in test.error] == []
    (job,) = jobs.list_jobs()
    request = Request.from_dict(job_files.read_request(job.job_id)["request"])
    assert is_pinned(request) and request.key == job.job_id
    assert any(b.label in ("Cancel", "Resume") for b in test.button)  # the page shows that very job


def test_without_a_network_the_click_is_answered_with_a_sentence(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    test = opened(COMPARE, f="pythia-70m-deduped", g="pythia-160m-deduped")
    next(b for b in test.button if b.label == "Compute here").click().run()
    assert "is not on this machine and the hub" in words(test) and jobs.list_jobs() == []


@pytest.mark.parametrize(
    "files", [lambda: {**tiny.neox(5, 4), "tokenizer.json": tiny.byte_tokenizer()}, lambda: tiny.decoder("llama", 5, 1)]
)
def test_a_typed_model_is_asked_for_on_a_click_and_then_compared(hub, files):
    tiny.fill_models(hub, ("70m",), ())
    hub.add("someone/own", files())
    test = opened(COMPARE, f="hub:someone/own", g="hub:someone/own")
    assert "Nothing is known of hub:someone/own yet" in words(test) and hub.log == []
    next(b for b in test.button if b.label == "Ask the hub").click().run()
    assert [e.message for e in test.exception] == [] and [e.value for e in test.error] == []
    assert "| layers | 5 |" in words(test)


def test_a_typed_model_that_is_not_there_is_told(hub):
    test = opened(COMPARE, f="hub:someone/none", g="hub:someone/none")
    next(b for b in test.button if b.label == "Ask the hub").click().run()
    assert "The hub has no model someone/none" in words(test)


def test_a_public_demo_takes_no_typed_models(monkeypatch):
    monkeypatch.setenv("REPDISS_READONLY", "1")
    assert "on your own machine" in words(opened(COMPARE, f="path:/etc", g="path:/etc"))

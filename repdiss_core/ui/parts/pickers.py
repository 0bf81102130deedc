"""Lists that live in the address of the page: a link carries every choice by its id,
and an invalid value in it is told.

Streamlit's own binding of a list to the address writes the label there. So the address is read before a list is drawn
for the first time, or after the browser's Back, and written when a choice is made; in between the list holds the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import streamlit as st
from streamlit.elements.lib.mutable_tab_container import TabContainer
from streamlit.runtime.scriptrunner import get_script_run_ctx

from repdiss_core.base.option import MOST_SHOWN, Number, Option
from repdiss_core.ui.parts.shared import remember_choices
from repdiss_core.ui.parts.text import as_text

UNKNOWN = "choices that a link asked for in vain"
DRAWN = "lists that hold a choice of this page"
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


@contextmanager
def second_row() -> Iterator[None]:
    """The frame of a page's further row of pickers; none where they draw nothing."""
    with st.container(key="second") if _LINKED.get() is None else nullcontext():
        yield


def begin_choices(same_page: bool) -> None:
    """Have lists read the address again where another page was open before, or the browser went back or forth;
    at a page's beginning."""
    context = get_script_run_ctx()
    if not same_page or (context is not None and context.is_history_navigation):
        st.session_state.pop(DRAWN, None)


def chosen(option: Option) -> Any:
    """The value that a picker stands at, before or after it was drawn."""
    linked = _LINKED.get()
    if linked is not None:
        return _value(option, linked.get(option.id))
    return st.session_state[option.id] if _holds(option) else _value(option, st.query_params.get(option.id))


def choose(option: Option) -> Any:
    """A dropdown; returns the chosen value."""
    if _LINKED.get() is not None:
        return chosen(option)
    value = _begin(option)
    values = list(option.values) if value in option.values else [*option.values, value]
    more: dict[str, Any] = {"accept_new_options": True} if option.typed else {"disabled": len(values) == 1}
    picked = st.selectbox(
        option.label,
        values,
        format_func=option.label_of,
        key=option.id,
        help=option.help or None,
        on_change=_write,
        args=(option,),
        **more,
    )
    _write(option)
    return picked


def switch(option: Option) -> Any:
    """Two or three choices side by side; returns the chosen value."""
    if _LINKED.get() is not None:
        return chosen(option)
    _begin(option)
    picked = st.segmented_control(
        option.label,
        option.values,
        format_func=option.label_of,
        required=True,
        key=option.id,
        help=option.help or None,
        on_change=_write,
        args=(option,),
    )
    _write(option)
    return picked


def offered(option: Option) -> bool:
    """Whether this page has drawn a list of the option."""
    return _LINKED.get() is None and _holds(option)


def put_choice(option: Option, value: Any) -> None:
    """Have a list of this page stand at another value, before the page runs again: for `on_click` of buttons."""
    st.session_state[option.id] = value
    _write(option)


def tabs(option: Option) -> list[tuple[Any, TabContainer]]:
    """A tab for each choice, with its value; `open` says which is shown."""
    labels = option.labels
    if not _holds(option):
        st.session_state[option.id] = labels[_value(option, _asked(option))]
        st.session_state.setdefault(DRAWN, set()).add(option.id)
    drawn = st.tabs(list(labels.values()), key=option.id, on_change=_write_tab, args=(option,))
    _write_tab(option)
    return list(zip(labels, drawn, strict=True))


def type_in(option: Option) -> str:
    """A line of text bound to the address."""
    linked = _LINKED.get()
    if linked is not None:
        return str(linked.get(option.id, option.default))
    return st.text_input(option.label, key=option.id, bind="query-params", placeholder=option.help)


def number(option: Number) -> int:
    """A whole number of the option's range, bound to the address."""
    low, high = int(option.low), int(option.high)
    key = option.id
    return int(st.number_input(option.label, low, high, option.default, key=key, bind="query-params", width=160))


def show_unknown() -> None:
    """What the link asked for and this page does not offer, as a sentence; it goes with the next choice."""
    sentences = st.session_state.pop(UNKNOWN, [])
    if sentences:
        st.info(" ".join(sentences), icon=":material/info:")


def _begin(option: Option) -> Any:
    """Give a list that is about to be drawn its value where it holds none, or one that is not offered any more."""
    state, asked = st.session_state, _asked(option)
    if not _holds(option):
        state[option.id] = _value(option, asked)
        state.setdefault(DRAWN, set()).add(option.id)
    elif not option.typed and state[option.id] not in option.values:
        state[option.id] = option.default
    return state[option.id]


def _holds(option: Option) -> bool:
    """Whether the list was drawn on this page before, so that what it holds counts and not the address."""
    return option.id in st.session_state.get(DRAWN, ()) and option.id in st.session_state


def _value(option: Option, asked: str | None) -> Any:
    return option.parse(asked) if asked is not None and option.accepts(asked) else option.default


def _asked(option: Option) -> str | None:
    """What the address says; a sentence is kept where it is not offered."""
    asked = st.query_params.get(option.id)
    if asked is not None and not option.accepts(asked):
        sentence = (
            f"The link asked for {as_text(option.label.lower())} “{as_text(asked[:MOST_SHOWN])}”, "
            "which is not offered here; "
            "another value is shown."
        )
        st.session_state.setdefault(UNKNOWN, []).append(sentence)
    return asked


def _write(option: Option) -> None:
    """Have the address say what the list holds: the id, or nothing for the value of a fresh page."""
    _to_address(option, st.session_state[option.id])


def _write_tab(option: Option) -> None:
    label = st.session_state[option.id]
    _to_address(option, next(value for value, name in option.labels.items() if name == label))


def _to_address(option: Option, value: Any) -> None:
    text = None if value == option.default else option.format(value)
    if st.query_params.get(option.id) == text:
        return
    if text is None:
        st.query_params.pop(option.id, None)
    else:
        st.query_params[option.id] = text
    remember_choices()

"""What a button asks for, and the sentence that stays where it was refused."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from repdiss_core.base.errors import UserError
from repdiss_core.ui.parts.text import as_text


def attempt(place: str, action: Callable[..., object], *arguments: object) -> None:
    """Run the action; a `UserError` is kept until the next attempt at the same place."""
    st.session_state.pop(_key(place), None)
    try:
        action(*arguments)
    except UserError as error:
        st.session_state[_key(place)] = str(error)


def show_refusal(place: str) -> None:
    """The sentence of the last attempt at this place, if it was refused."""
    sentence = st.session_state.get(_key(place))
    if sentence:
        st.error(as_text(sentence), icon=":material/error:")


def _key(place: str) -> str:
    return f"refused at {place}"

"""The cell of a map that was clicked: which one it is, and what the stored result says of it in one line."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from repdiss_core.figures.theme import count
from repdiss_core.ui.chart import Click
from repdiss_core.ui.text import as_text

Cell = tuple[int, int, int]


def take(card_id: str, click: Click) -> None:
    """Choose the clicked cell; a second click on it lets it go."""
    cell = None if click.row is None else (click.panel, click.row, click.column)
    st.session_state[_key(card_id)] = None if cell == st.session_state.get(_key(card_id)) else cell


def chosen_cell(card_id: str, forms: Sequence[dict[str, Any]]) -> Cell | None:
    """(panel from 1, row, column) of the card's chosen cell, as long as its maps have such a cell."""
    cell = st.session_state.get(_key(card_id))
    if cell is None:
        return None
    panel, row, column = cell
    rows = forms[panel - 1]["values"] if panel <= len(forms) else None
    return cell if rows and row < len(rows) and column < len(rows[row]) else None


def tell_cell(card_id: str, forms: Sequence[dict[str, Any]], cell: Cell) -> None:
    """One line under the figure, and a button that takes it away."""
    panel, row, column = cell
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"cell-{card_id}"):
        st.markdown(as_text(cell_line(forms[panel - 1], row, column)), width="content")
        let_go = partial(st.session_state.pop, _key(card_id), None)
        st.button("Close", key=f"close-{card_id}", type="tertiary", icon=":material/close:", on_click=let_go)


def cell_line(form: dict[str, Any], row: int, column: int) -> str:
    """Both layers, value, interval and the size of the sample, from a map in the form that exports have."""
    where = f"Layer {form['row_labels'][row]} of {form['rows']} × layer {form['column_labels'][column]} of {form['columns']}"
    value, low, high = (values[row][column] for values in (form["values"], form["interval"]["lower"], form["interval"]["upper"]))
    if value is None:
        return f"{where}: no value"
    unit = "batch" if "n_batches" in form else "sequence"
    size = form.get("n_batches") or form.get("n_sequences")
    interval = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    return f"{where}: {form.get('quantity', 'CKA')} {value:.3f}{interval} over {count(size, unit)}".replace("-0.", "\u22120.")


def _key(card_id: str) -> str:
    return f"chosen cell of {card_id}"

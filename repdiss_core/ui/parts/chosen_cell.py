"""Which cell of a card's maps is chosen: by a click, by the lists of layers, or by the address,
which always carries it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from repdiss_core.plots.theme import count
from repdiss_core.ui.parts.chart import Click
from repdiss_core.ui.parts.shared import remember_choices
from repdiss_core.ui.parts.text import whole_number

Cell = tuple[int, int, int]


def take(card_id: str, click: Click) -> None:
    """Choose the clicked cell; a second click on it lets it go."""
    cell = None if click.row is None else (click.panel, click.row, click.column)
    put(card_id, None if cell == _asked(card_id) else cell)


def put(card_id: str, cell: Cell | None) -> None:
    """Choose (panel from 1, row, column), or none; the address then says panel.row's layer.column's layer,
    counted from 1."""
    name = parameter(card_id)
    if cell is None:
        st.query_params.pop(name, None)
    else:
        panel, row, column = cell
        st.query_params[name] = f"{panel}.{row + 1}.{column + 1}"
    remember_choices()


def chosen_cell(card_id: str, forms: Sequence[dict[str, Any]]) -> Cell | None:
    """(panel from 1, row, column) of the card's chosen cell, as long as its maps have such a cell."""
    cell = _asked(card_id)
    return cell if cell is not None and _exists(forms, cell) else None


def first_cell(forms: Sequence[dict[str, Any]]) -> Cell | None:
    """The cell that is shown where none was named: of the last map, which is the one between two models,
    the upper right one."""
    maps = [number for number, form in enumerate(forms, start=1) if form["values"]]
    if not maps:
        return None
    rows = forms[maps[-1] - 1]["values"]
    return maps[-1], len(rows) - 1, len(rows[-1]) - 1


def parameter(card_id: str) -> str:
    """The name in the address."""
    return f"cell-{card_id}"


def cell_line(form: dict[str, Any], row: int, column: int) -> str:
    """Both layers, value, interval and the size of the sample, from a map in the form that exports have."""
    where = (
        f"Layer {form['row_labels'][row]} of {form['rows']} × layer {form['column_labels'][column]} of "
        f"{form['columns']}"
    )
    value, low, high = (
        values[row][column] for values in (form["values"], form["interval"]["lower"], form["interval"]["upper"])
    )
    if value is None:
        return f"{where}: no value"
    unit = "batch" if "n_batches" in form else "sequence"
    size = form.get("n_batches") or form.get("n_sequences")
    interval = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    over = f" over {count(size, unit)}" if size else ""
    return f"{where}: {form.get('quantity', 'CKA')} {value:.3f}{interval}{over}".replace("-0.", "\u22120.")


def _asked(card_id: str) -> Cell | None:
    read = (whole_number(n) for n in st.query_params.get(parameter(card_id), "").split("."))
    numbers = [n or 0 for n in read]
    if len(numbers) != 3 or not all(numbers):  # they count from 1
        return None
    panel, row, column = numbers
    return panel, row - 1, column - 1


def _exists(forms: Sequence[dict[str, Any]], cell: Cell) -> bool:
    panel, row, column = cell
    rows = forms[panel - 1]["values"] if panel <= len(forms) else None
    return rows is not None and row < len(rows) and column < len(rows[row])

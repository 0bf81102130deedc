"""Which cell of a card's maps is chosen: by a click, by the lists of layers, or by the address,
which always carries it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import streamlit as st

from repdiss_core.plots.theme import count
from repdiss_core.studies.tables import Table
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


def chosen_cell(card_id: str, tables: Sequence[Table]) -> Cell | None:
    """(panel from 1, row, column) of the card's chosen cell, as long as its maps have such a cell."""
    cell = _asked(card_id)
    return cell if cell is not None and _exists(tables, cell) else None


def first_cell(tables: Sequence[Table]) -> Cell | None:
    """The cell that is shown where none was named: of the last map, which is the one between two models,
    the upper right one."""
    maps = [number for number, table in enumerate(tables, start=1) if table.has_cells]
    if not maps:
        return None
    n_rows, n_columns = tables[maps[-1] - 1].shape
    return maps[-1], n_rows - 1, n_columns - 1


def parameter(card_id: str) -> str:
    """The name in the address."""
    return f"cell-{card_id}"


def cell_line(table: Table, row: int, column: int) -> str:
    """Both layers, value, interval and the size of the sample of a map's cell."""
    where = f"Layer {table.row_labels[row]} of {table.f} × layer {table.column_labels[column]} of {table.g}"
    value, low, high = table.cell(row, column)
    if not math.isfinite(value):
        return f"{where}: no value"
    interval = f" [{low:.3f}, {high:.3f}]" if math.isfinite(low) and math.isfinite(high) else ""
    over = f" over {count(table.sample.size, table.sample.unit)}" if table.sample and table.sample.size else ""
    return f"{where}: {table.quantity} {value:.3f}{interval}{over}".replace("-0.", "\u22120.")


def _asked(card_id: str) -> Cell | None:
    read = (whole_number(n) for n in st.query_params.get(parameter(card_id), "").split("."))
    numbers = [n or 0 for n in read]
    if len(numbers) != 3 or not all(numbers):  # they count from 1
        return None
    panel, row, column = numbers
    return panel, row - 1, column - 1


def _exists(tables: Sequence[Table], cell: Cell) -> bool:
    panel, row, column = cell
    if panel > len(tables) or not tables[panel - 1].has_cells:
        return False
    n_rows, n_columns = tables[panel - 1].shape
    return row < n_rows and column < n_columns

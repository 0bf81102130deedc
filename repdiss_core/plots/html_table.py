"""Data frames as tables in HTML."""

from __future__ import annotations

import html
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def html_table(frame: pd.DataFrame, name: str = "", markup: Collection[str] = ()) -> str:
    """The frame as a table; its cells are shown as text, what is missing as nothing.

    Args:
        name: of the table's class, for its look.
        markup: columns whose cells are HTML already.
    """
    head = "".join(f'<th scope="col">{html.escape(str(column))}</th>' for column in frame.columns)
    marked = [column in markup for column in frame.columns]
    rows = frame.astype(object).where(frame.notna(), "").to_numpy().tolist()
    body = "".join(
        "<tr>"
        + "".join(
            f"<td>{cell if is_html else html.escape(str(cell))}</td>" for cell, is_html in zip(row, marked, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    of_class = f' class="{name}"' if name else ""
    return f"<table{of_class}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

"""Data frames as tables on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

RULES = {"l": ":--", "r": "--:"}


def markdown_table(frame: pd.DataFrame, align: str) -> str:
    """The frame as a Markdown table; names of columns and cells are Markdown, so text of others is escaped before.

    Args:
        align: "l" or "r" for each column: at its left or at its right side.
    """
    rows = [list(frame.columns), [RULES[side] for side in align], *frame.to_numpy(dtype=object).tolist()]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)

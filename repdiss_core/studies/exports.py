"""Results as JSON and CSV with their provenance, the same from the page and from the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from repdiss_core.studies.tables import Table, frame_of


def to_json(plain: Any) -> str:
    """Indented JSON without NaN."""
    return json.dumps(plain, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def to_csv(tables: Sequence[Table]) -> str:
    """One row for each cell, step or record, with the provenance in comment lines at the top."""
    comments = "".join(
        f"# {table.title}: {json.dumps(dict(table.provenance), ensure_ascii=False)}\n"
        for table in tables
        if table.provenance
    )
    return comments + frame_of(tables).to_csv(index=False, lineterminator="\r\n")


def citation(title: str, rests_on: str, job: str, address: str = "") -> str:
    """One line that names a result: what, from what, its key, and where it is seen.

    Args:
        rests_on: the caption's line on models, data, amount and interval.
        job: key of the request; the same computation has the same key everywhere.
        address: of the live view; "" leaves it out.
    """
    parts = (f"RepDiss: {title}", rests_on, f"result {job[:12]}", address)
    return ". ".join(part.rstrip(".") for part in parts if part) + "."

"""Writes the tables of docs/reliability.md, and that of load in docs/benchmarks.md, from the tally that `make faults`
made: `report.py TALLY`."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
BEGIN, END = "<!-- made by `make faults`: begin -->", "<!-- made by `make faults`: end -->"


def table(rows: list[dict]) -> str:
    """A Markdown table: the fault, its counts, a note."""
    lines = ["| fault | what was counted | note |", "|---|---|---|"]
    for row in rows:
        counts = ", ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in row.items() if name not in ("fault", "note")
        )
        lines.append(f"| {row['fault']} | {counts} | {row.get('note', '')} |")
    return "\n".join(dict.fromkeys(lines))


def main(tally: str) -> None:
    """Put the tables between the marks."""
    rows = [json.loads(line) for line in Path(tally).read_text(encoding="utf-8").splitlines()]
    machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    made = f"{datetime.now(UTC):%Y-%m-%d}, {machine}, load {os.getloadavg()[2]:.1f} over the last 15 minutes."
    for name, chosen in (
        ("reliability.md", rows),
        ("benchmarks.md", [row for row in rows if row["fault"].startswith("load")]),
    ):
        before, _, rest = (DOCS / name).read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        (DOCS / name).write_text(f"{before}{BEGIN}\n{made}\n\n{table(chosen)}\n{END}{after}", encoding="utf-8")
        print(f"{len(chosen)} rows written to {name}.")


if __name__ == "__main__":
    main(sys.argv[1])

"""docs/models.md lists every family of the tests, each with every check passed."""

from __future__ import annotations

import families_report as report
import pytest
import tiny_families as tiny

from repdiss_core.models.load_checks import TOLERANCE


def test_the_documented_table_is_whole():
    written = report.DOCUMENT.read_text("utf-8").split(report.BEGIN)[1].split(report.END)[0]
    rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in written.splitlines()[2:]]
    assert [row[0] for row in rows] == list(tiny.FAMILIES)
    for row in rows:
        assert len(row) == 3 + len(report.CHECKS) and float(row[2]) < 1e-5
        values = [None if cell == "does not apply" else float(cell) for cell in row[3:]]
        assert [value is None for value in values] == [False, False, *[row[0] in tiny.ENCODERS] * 2]
        assert all(value is None or value < min(TOLERANCE.values()) * 1e3 for value in values)


@pytest.mark.parametrize("family", ["gpt2", "mamba", "deberta_v2"])
def test_a_row_of_the_table_is_computed(family):
    cells = [cell.strip() for cell in report.row(family).strip("|").split("|")]
    assert cells[0] == family and float(cells[2]) < 1e-5 and float(cells[3]) < 1e-4

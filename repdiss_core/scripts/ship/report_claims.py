"""The tables of claims in docs/results.md, and the rules behind their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from repdiss_core.studies.claims import Claim
from repdiss_core.studies.phrases import SCOPES
from repdiss_core.studies.words import finding, rests_on, rule_sentence

COLUMNS: dict[str, Callable[[Claim], str]] = {
    "claim": lambda claim: claim.statement + (" (our question)" if claim.ours else ""),
    "about": lambda claim: SCOPES[claim.scope].label,
    "verdict": lambda claim: f"**{claim.verdict}**",
    "rule": lambda claim: claim.judged_by.label,
    "found": finding,
    "rests on": rests_on,
}


def claims_table(claims: Sequence[Claim], columns: Sequence[str]) -> list[str]:
    """Markdown lines: a claim a row, then a line for each rule that gave a verdict.

    Args:
        columns: keys of `COLUMNS`.
    """
    rows = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    rows += [f"| {' | '.join(COLUMNS[column](claim) for column in columns)} |" for claim in claims]
    return [*rows, "", *dict.fromkeys(f"* {rule_sentence(claim)}" for claim in claims)]

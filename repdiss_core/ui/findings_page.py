"""The findings: each claim once per study, with every verdict on it, its rule, its effect and the way to its figure."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import streamlit as st
from streamlit.components.v2 import component

from repdiss_core.plots.html_file import Section
from repdiss_core.studies.evidence import Effect
from repdiss_core.studies.findings import Finding, Judged, Row, findings, judged_studies, tally
from repdiss_core.studies.paper import FIGURES, StudySpec
from repdiss_core.studies.phrases import SCOPES, interval, signed
from repdiss_core.studies.words import finding as finding_words
from repdiss_core.studies.words import rests_on, rule_sentence
from repdiss_core.ui.cards.claims_list import VERDICTS
from repdiss_core.ui.parts.presenting import carried
from repdiss_core.ui.parts.shared import page_address, result_store, stored_version
from repdiss_core.ui.parts.text import as_text

TABLE_CSS = """
.repdiss-findings { border-collapse: collapse; width: 100%; font-size: .9rem; line-height: 1.4; }
.repdiss-findings caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.repdiss-findings :is(th, td) { text-align: left; vertical-align: top; padding: .35rem .9rem .35rem 0; font-weight: 400;
  border-bottom: 1px solid color-mix(in srgb, currentColor 12%, transparent); }
.repdiss-findings thead th { color: var(--st-gray-text-color); font-size: .85rem; }
.repdiss-findings tbody th { font-weight: 600; width: 30%; }
.repdiss-findings thead th:is(:nth-child(4), :nth-child(5)),
.repdiss-findings .repdiss-number { text-align: right; white-space: nowrap; }
.repdiss-findings .repdiss-models { min-width: 5.5rem; }
.repdiss-findings small { color: var(--st-gray-text-color); font-size: .8rem; }
.repdiss-findings a { color: var(--st-link-color); white-space: nowrap; }
.repdiss-findings a:focus-visible { outline: 3px solid var(--st-primary-color); outline-offset: 2px; }
.repdiss-verdict, .repdiss-ours { white-space: nowrap; border-radius: 4px; padding: .1rem .4rem; font-size: .85rem;
  font-weight: 400; background: var(--st-gray-background-color); color: var(--st-gray-text-color); }
.repdiss-holds { background: var(--st-green-background-color); color: var(--st-green-text-color); }
.repdiss-does-not-hold { background: var(--st-orange-background-color); color: var(--st-orange-text-color); }
.repdiss-ours { background: var(--st-blue-background-color); color: var(--st-blue-text-color); }
"""
_mounted = component(
    "repdiss_findings",
    css=TABLE_CSS,
    js=Path(__file__).with_name("findings_table.js").read_text("utf-8"),
    isolate_styles=False,
)


def stored_findings(study: str) -> Judged:
    """`findings`, worked out once for each state of the results."""
    return _findings(study, stored_version())


@lru_cache(maxsize=12)
def _findings(study: str, _at: tuple[int, ...]) -> Judged:
    return findings(result_store(), study)


def study_findings(study: StudySpec) -> None:
    """One study: how its claims came out, and the table."""
    judged, problems, waiting = stored_findings(study.name)
    st.header(f"Section {study.section}: {study.question}", anchor=study.name)
    badges = [
        f":{VERDICTS[verdict][0]}-badge[{VERDICTS[verdict][1]} {verdict}: {n}]"
        for verdict, n in tally(judged).items()
        if n
    ]
    st.markdown(f"Verdicts on the paper’s claims: {' '.join(badges)}")
    for problem in problems:
        st.info(as_text(problem), icon=":material/info:")
    if waiting:
        st.caption(
            as_text(f"No verdict yet, since nothing of them has been computed on this machine: {', '.join(waiting)}.")
        )
    if not judged:
        return
    for models in dict.fromkeys(row.models for finding in judged for row in finding.rows if row.models.note):
        st.caption(as_text(f"{models.label}: {models.note}"))
    rows = [row for finding in judged for row in finding.rows]
    data = {"caption": f"Claims of section {study.section} and what becomes of them", "claims": table_rows(judged)}
    went = _mounted(key=f"findings-{study.name}", data=data, height="content", on_go_change=lambda: None).go
    if isinstance(went, int) and 0 <= went < len(rows):
        row = rows[went]
        st.switch_page(row.models.page, query_params={**row.models.choices, "at": row.card, **carried()})
    with st.expander("What gives a verdict", icon=":material/rule:"):
        st.markdown("\n".join(f"* {as_text(sentence)}" for sentence in rule_sentences(judged)))


def rule_sentences(judged: tuple[Finding, ...]) -> tuple[str, ...]:
    """Every rule behind some verdicts, once."""
    return tuple(dict.fromkeys(rule_sentence(row.claim) for finding in judged for row in finding.rows))


def table_rows(judged: tuple[Finding, ...]) -> list[dict[str, Any]]:
    """The table as plain JSON types: for each claim its verdicts.

    `span` says over how many verdicts a link goes; 0 where the link of the one above covers this one too.
    """
    claims, number = [], 0
    for finding in judged:
        rows = []
        for i, row in enumerate(finding.rows):
            value, ends = effect_words(row.claim.effect)
            first = i == 0 or finding.rows[i - 1].models != row.models
            rows.append({
                "models": whose(row),
                "verdict": row.claim.verdict.value,
                "kind": row.claim.verdict.replace(" ", "-"),
                "rule": row.claim.judged_by.label,
                "effect": value,
                "where": row.claim.effect.where if row.claim.effect else "",
                "interval": ends,
                "found": finding_words(row.claim),
                "figure": FIGURES[row.claim.figure].label,
                "href": address(row),
                "number": number,
                "span": sum(other.models == row.models for other in finding.rows) if first else 0,
            })  # fmt: skip
            number += 1
        claims.append({"statement": finding.statement, "ours": finding.ours, "rows": rows})
    return claims


def address(row: Row) -> str:
    """Where the figure of a verdict stands, relative to the server."""
    return f".{page_address(row.models.page)}?{urlencode({**row.models.choices, 'at': row.card})}"


def whose(row: Row) -> str:
    """The models, and what the verdict speaks for."""
    scope = SCOPES[row.claim.scope].short
    return f"{_short(row.models.label)}, {scope}" if scope else _short(row.models.label)


def _short(label: str) -> str:
    return label.partition(":")[0]


def effect_words(effect: Effect | None) -> tuple[str, str]:
    """The effect with its unit, and its interval; empty where there is none."""
    if effect is None:
        return "", ""
    return f"{signed(effect.value)} {effect.unit}", interval(effect)


def findings_sections() -> list[Section]:
    """All findings for an exported file."""
    import pandas as pd

    sections = []
    for study in judged_studies():
        rows = [
            (
                finding.statement + (" (our question)" if finding.ours else ""),
                whose(row),
                row.claim.verdict.value,
                *effect_words(row.claim.effect),
                finding_words(row.claim),
                rests_on(row.claim),
                rule_sentence(row.claim),
            )
            for finding in stored_findings(study.name)[0]
            for row in finding.rows
        ]
        columns = ["claim", "models", "verdict", "effect", "95 % interval", "found", "rests on", "rule"]
        table = pd.DataFrame(rows, columns=columns)
        sections.append(Section(f"Section {study.section}: {study.question}", table=table))
    return sections

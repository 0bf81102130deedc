"""The panel under a figure that explains a chosen cell: what the number rests on,
and how to get it again in another way."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from repdiss_core.base.comparison import Request
from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import readonly
from repdiss_core.plots.theme import Spec, chart_config, count, spec_of
from repdiss_core.runs import jobs
from repdiss_core.studies import options
from repdiss_core.studies.cell import CellFacts, by_estimator, places, table_cell
from repdiss_core.studies.drawn import Drawn
from repdiss_core.studies.panels import MatrixPanel, request_for
from repdiss_core.studies.tables import Table
from repdiss_core.ui.cards.token_panel import token_panel
from repdiss_core.ui.parts.attempts import attempt, show_refusal
from repdiss_core.ui.parts.chart import chart
from repdiss_core.ui.parts.chosen_cell import Cell, cell_line, put
from repdiss_core.ui.parts.pickers import switch
from repdiss_core.ui.parts.shared import current_look, result_store
from repdiss_core.ui.parts.tables import markdown_table
from repdiss_core.ui.parts.text import age, as_text
from repdiss_core.ui.parts.watched import wait_for

CELL_CSS = """
.stHtml dl.repdiss-facts { display: grid; grid-template-columns: max-content 1fr; gap: .3rem .9rem; margin: 0;
  padding: 0; font-size: .875rem; line-height: 1.45; }
.repdiss-facts dt { opacity: .65; }
.stHtml .repdiss-facts dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
[class*="st-key-estimators-"] :is(th, td) { font-size: .875rem; padding: .25rem .6rem .25rem 0 !important; }
"""
STORED = {"shipped": "shipped with RepDiss", "local": "computed here", "imported": "brought from another machine"}
SPREAD_HELP = {
    "batch": (
        "A dot is the value of one batch (for a ratio of means: its jackknife pseudo-value); "
        "the diamond is the value with its 95 % interval."
    ),
    "sequence": "A dot is the value of one evaluation sequence; the diamond is the mean with its 95 % interval.",
}


def cell_panel(card_id: str, drawn: Drawn, cell: Cell) -> None:
    """Everything about the chosen cell; drawn inside the card's own fragment, so that nothing else on the page runs."""
    panel, row, column = cell
    table = drawn.tables[panel - 1]
    with st.container(key=f"panel-{card_id}", gap="small"):
        with st.container(key=f"cell-{card_id}", horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{as_text(cell_line(table, row, column))}**", width="content")
            st.button(
                "Close",
                key=f"close-{card_id}",
                type="tertiary",
                icon=":material/close:",
                on_click=put,
                args=(card_id, None),
            )
        place = _pickers(card_id, drawn, cell)
        facts = table_cell(result_store(), table, row, column)
        if facts is None:
            return
        with place:
            about = options.ABOUT.named(card_id)
            shown = switch(about) if facts.is_cka else about.default
        if shown == "tokens":
            token_panel(card_id, facts)
        else:
            _rests_on(card_id, table, facts, row, column)


def _pickers(card_id: str, drawn: Drawn, cell: Cell) -> Any:
    """The cell as lists of its map and of both layers, for those who do not click; returns room for one thing more."""
    panel, row, column = cell
    table = drawn.tables[panel - 1]
    maps = [number for number, each in enumerate(drawn.tables, start=1) if each.has_cells]
    keys = [f"{part}-{card_id}" for part in ("map", "row", "column")]
    state = st.session_state
    state[keys[0]], state[keys[1]], state[keys[2]] = panel, row, column
    read = partial(_read, card_id, keys, drawn.tables)
    across = st.columns([1.3, 1, 1, 1.7], vertical_alignment="bottom")
    with across[0]:
        st.selectbox(
            "Map",
            maps,
            format_func=lambda n: drawn.tables[n - 1].title,
            key=keys[0],
            on_change=read,
            disabled=len(maps) == 1,
        )
    for column_of_page, key, labels, name in (
        (across[1], keys[1], table.row_labels, table.f),
        (across[2], keys[2], table.column_labels, table.g),
    ):
        with column_of_page:
            options = list(range(len(labels)))
            st.selectbox(
                f"Layer of {name}" if name else "Layer",
                options,
                format_func=labels.__getitem__,
                key=key,
                on_change=read,
            )
    return across[3]


def _read(card_id: str, keys: list[str], tables: Sequence[Table]) -> None:
    """Choose what the lists say; a layer that another map lacks becomes its last one."""
    panel, row, column = (st.session_state[key] for key in keys)
    n_rows, n_columns = tables[panel - 1].shape
    put(card_id, (panel, min(row, n_rows - 1), min(column, n_columns - 1)))


def _rests_on(card_id: str, table: Table, facts: CellFacts, row: int, column: int) -> None:
    left, right = st.columns([1.15, 1], gap="medium")
    with left:
        st.html(f"<style>{CELL_CSS}</style>{definitions_html(facts)}")
    with right:
        over = "batches" if facts.unit == "batch" else "sequences"
        alt = f"Distribution over {over}: {cell_line(table, row, column)}"
        chart(_strip(facts), key=f"spread-{card_id}", alt=alt, config=chart_config(f"repdiss-{card_id}-cell"))
        st.caption(SPREAD_HELP[facts.unit])
        if facts.is_cka:
            _estimators(card_id, facts)
    st.caption(
        "The command that computes this value again, with its whole map:"
        if facts.unit == "batch"
        else "The command that computes this stitch again:"
    )
    st.code(facts.command, language="bash", wrap_lines=True)


def value_words(facts: CellFacts) -> str:
    """Value, interval and standard error."""
    value, error, low, high = facts.statistics
    unit = f" {facts.value_unit}" if facts.value_unit else ""
    if value != value:
        return "none"
    reach = (
        f", 95 % [{low:.4f}, {high:.4f}], standard error {error:.4f}" if low == low else ", one batch has no interval"
    )
    return f"{value:.4f}{unit}{reach}".replace("-0.", "\u22120.")


def _strip(facts: CellFacts) -> Spec:
    from repdiss_core.plots.value_strip import value_strip

    return spec_of(value_strip(facts.sample, facts.statistics, current_look(), facts.quantity, facts.unit))


def definitions_html(facts: CellFacts) -> str:
    """What the value rests on, as a list of definitions; every text is escaped."""
    row, column = places(facts)
    data, made = facts.comparison.data, facts.provenance
    threads = count(made["threads"], "thread") if "threads" in made else None
    stored = STORED[facts.entry.origin]
    rows = (
        ("Row", row),
        ("Column", column),
        ("Value", value_words(facts)),
        ("By chance", facts.chance),
        ("Method", facts.how),
        ("Tokens", facts.tokens),
        ("Data", f"{data.name}, {data.split} split, content {data.content[:12]}, seed {data.seed}"),
        ("Stored", f"{stored}, {age(facts.entry.stored_at)}" + (f" ({made['made']})" if "made" in made else "")),
        ("Key", facts.entry.key),
        ("Versions", ", ".join(f"{name} {version}" for name, version in made.get("versions", {}).items())),
        ("Machine", ", ".join(str(part) for part in (made.get("device"), made.get("machine"), threads) if part)),
    )
    items = "".join(f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in rows if text)
    return f'<dl class="repdiss-facts">{items}</dl>'


def _estimators(card_id: str, facts: CellFacts) -> None:
    """The cell by every estimator and reduction; what is missing can be computed."""
    import pandas as pd

    try:
        stored = by_estimator(facts, result_store())
    except UserError as error:
        st.caption(as_text(error))
        return
    missing = [name for name, (_, cells) in stored.items() if not any(cells.values())]
    requests = {name: request_for([stored[name][0].comparison], len(facts.sample)) for name in missing}
    running = {name: job for name, request in requests.items() if (job := jobs.status(request.key)) is not None}
    for job in running.values():
        wait_for(card_id, job)
    rows = [
        (
            options.ESTIMATOR.label_of(name),
            _short(cells["mean_of_ratios"], running.get(name)),
            _short(cells["ratio_of_means"]),
        )
        for name, (_, cells) in stored.items()
    ]
    with st.container(key=f"estimators-{card_id}"):
        frame = pd.DataFrame(rows, columns=["", "mean of ratios", "ratio of means"])
        st.markdown(markdown_table(frame, "lrr"))
    if readonly():
        return
    with st.container(horizontal=True, gap="small"):
        for name, request in requests.items():
            if name not in running or not running[name].alive:
                _recompute(card_id, name, stored[name][0], request)
    show_refusal(f"estimator-{card_id}")


def _recompute(card_id: str, estimator: str, panel: MatrixPanel, request: Request) -> None:
    key = f"recompute-{estimator}-{card_id}"
    title = f"CKA ({options.ESTIMATOR.label_of(estimator)}): {panel.row_name}, {panel.column_name}"
    arguments = (f"estimator-{card_id}", jobs.start, request, title)
    st.button(
        f"Recompute with {options.ESTIMATOR.label_of(estimator)}",
        key=key,
        type="tertiary",
        icon=":material/refresh:",
        on_click=attempt,
        args=arguments,
    )


def _short(facts: CellFacts | None, job: jobs.JobStatus | None = None) -> str:
    """Value and interval, or where the job that computes them stands."""
    if job is not None and job.alive:
        return f"computing, {job.fraction * 100:.0f} %"
    if job is not None and job.state == "failed":
        return as_text(job.error)
    if facts is None:
        return "not computed"
    value, _, low, high = facts.statistics
    return f"{value:.3f} [{low:.3f}, {high:.3f}]".replace("-0.", "\u22120.") if value == value else "no value"

"""Which tokens two layers place differently: the text of a batch, each token shaded by its cosine,
and the extremes as lists."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from repdiss_core.base.comparison import Request
from repdiss_core.base.paths import readonly
from repdiss_core.runs import jobs
from repdiss_core.studies import options
from repdiss_core.studies.cell import CellFacts
from repdiss_core.studies.tokens import (
    SHADES,
    TokenTable,
    legend_html,
    list_html,
    text_html,
    token_request_of,
    token_table,
)
from repdiss_core.ui.parts.attempts import attempt, show_refusal
from repdiss_core.ui.parts.pickers import number
from repdiss_core.ui.parts.shared import result_store
from repdiss_core.ui.parts.text import as_text
from repdiss_core.ui.parts.watched import wait_for

LISTED = 10
# Per cent of the shade's colour behind the least alike tokens: text stays readable on it in light and dark
STRONGEST = 72
SHADE_COLOR = "#D55E00"
HOW_TOKENS_READ = (
    "A token’s cosine compares its row of the two U-centred Gram matrices: "
    "how each layer places it among all other tokens of the batch. "
    "1, unshaded: both layers place it alike. Each row counts by its direction alone, "
    "so that a few massive tokens do not drown the rest. "
    "Row sums of the element-wise product of the two matrices, divided by n(n − 3), add up to HSIC₁: "
    "a token’s share of it tells how much of the "
    "value comes from that token."
)
LINE = "color-mix(in srgb, currentColor 14%, transparent)"
SHADES_CSS = "".join(
    f":is(.repdiss-tokens, .repdiss-legend, .repdiss-ranked) .s{k} "
    f"{{ background: color-mix(in srgb, {SHADE_COLOR} {round(STRONGEST * k / (SHADES - 1))}%, transparent); }}\n"
    for k in range(SHADES)
)
TOKEN_CSS = f"""{SHADES_CSS}
.repdiss-tokens {{ max-height: 26rem; overflow-y: auto; border: 1px solid {LINE};
  border-radius: 6px; padding: .4rem .8rem; }}
.repdiss-tokens {{ font: 400 .875rem/1.75 "Source Code Pro", monospace; margin-top: .6rem; }}
.repdiss-tokens p {{ margin: 0 0 .7rem; overflow-wrap: anywhere; }}
.repdiss-tokens .no {{ opacity: .55; margin-right: .6rem; font-weight: 400; }}
.repdiss-tokens .none {{ opacity: .5; text-decoration: line-through; }}
:is(.repdiss-tokens, .repdiss-ranked) .t {{ border-radius: 2px; padding: .1em 0; }}
:is(.repdiss-tokens, .repdiss-ranked) .ws {{ font-style: normal; opacity: .4; }}
.repdiss-legend {{ display: flex; align-items: center; font-size: .875rem; }}
.repdiss-legend span[class] {{ width: 1.6rem; height: .9rem; border: 1px solid {LINE}; margin-left: -1px; }}
.repdiss-legend span:first-child {{ margin-right: .5rem; }}
.repdiss-legend span:last-child {{ margin-left: .5rem; }}
.repdiss-ranked {{ width: 100%; font-size: .875rem; border-collapse: collapse; }}
.repdiss-ranked :is(th, td) {{ text-align: right; padding: .25rem .4rem; border-bottom: 1px solid {LINE};
  font-weight: 400; vertical-align: top; }}
.repdiss-ranked :is(th, td):first-child {{ text-align: left; }}
.repdiss-ranked td:first-child {{ font-family: "Source Code Pro", monospace; overflow-wrap: anywhere; }}
.repdiss-ranked small {{ opacity: .6; }}
"""


def token_panel(card_id: str, facts: CellFacts) -> None:
    """The tokens of a chosen batch, or a button that computes their alignment; opening it starts nothing."""
    if 0 in (facts.layer_f, facts.layer_g):
        st.caption("Single tokens are compared from layer 1 on: choose a cell of other layers.")
        return
    batch = number(replace(options.TOKEN_BATCH.named(card_id), high=len(facts.sample)))
    comparison = token_request_of(facts, batch - 1)
    request = Request((comparison,), 1)
    table = token_table(result_store(), comparison)
    if table is None:
        _compute(card_id, facts, request, batch)
    else:
        show_tokens(table)


def show_tokens(table: TokenTable) -> None:
    """Legend, text, and the most and least alike tokens."""
    st.html(f"<style>{TOKEN_CSS}</style>{legend_html(table)}{text_html(table)}")
    if table.untold:
        st.caption(as_text(table.untold))
    st.caption(HOW_TOKENS_READ)
    left, right = st.columns(2, gap="medium")
    for column, title, least in ((left, "Placed most differently", True), (right, "Placed most alike", False)):
        with column:
            st.markdown(f"**{title}**")
            st.html(list_html(table, LISTED, least))
    st.caption(
        f"Contributions of all {table.ids.size} tokens add up to HSIC₁ = {table.hsic1:.4g} on this batch. "
        "Point at a token for its numbers."
    )


def _compute(card_id: str, facts: CellFacts, request: Request, batch: int) -> None:
    job = jobs.status(request.key)
    if job is not None and job.alive:
        wait_for(card_id, job)
        st.progress(min(1.0, max(0.0, job.fraction)), text=as_text(job.message or "starting"))
        return
    st.markdown(f"The tokens of batch {batch} have not been compared at these two layers yet.")
    if job is not None and job.state == "failed" and job.error:
        st.caption(f":material/error: {as_text(job.error)}")
    if not readonly():
        key = f"tokens-{card_id}"
        title = f"Tokens of batch {batch}: {facts.f} layer {facts.layer_f}, {facts.g} layer {facts.layer_g}"
        st.button(
            "Compare the tokens here",
            key=key,
            icon=":material/refresh:",
            on_click=attempt,
            args=(f"tokens-{card_id}", jobs.start, request, title),
        )
    show_refusal(f"tokens-{card_id}")

"""The paper's claims with the verdict that the stored results give, and the rule that gave it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import streamlit as st

from repdiss_core.studies import options
from repdiss_core.studies.asymmetry.claims import asymmetry_claims
from repdiss_core.studies.asymmetry.question import AsymmetryParams
from repdiss_core.studies.claims import Claim
from repdiss_core.studies.phrases import SCOPES, by_layer, interval, signed
from repdiss_core.studies.rules import FAILS, HOLDS, MISSING, UNDECIDED
from repdiss_core.studies.words import rests_on, rule_sentence, summary
from repdiss_core.ui.parts.pickers import tabs
from repdiss_core.ui.parts.shared import result_store, stored_version
from repdiss_core.ui.parts.tables import markdown_table
from repdiss_core.ui.parts.text import as_text

VERDICTS = {
    HOLDS: ("green", ":material/check:"),
    FAILS: ("orange", ":material/close:"),
    UNDECIDED: ("gray", ":material/question_mark:"),
    MISSING: ("gray", ":material/circle:"),
}


def stored_claims(params: AsymmetryParams) -> tuple[Claim, ...]:
    """The claims of section 3 as judged by what is stored now."""
    return _judged(params, stored_version())


@lru_cache(maxsize=32)
def _judged(params: AsymmetryParams, _at: tuple[int, ...]) -> tuple[Claim, ...]:
    return asymmetry_claims(result_store(), params)


def headline(by_depth: Mapping[int, Sequence[Claim]]) -> None:
    """The leading claim, its verdict in both scopes at each depth, and the numbers of the first."""
    leading = [(depth, claim) for depth, claims in by_depth.items() for claim in claims if claim.lead]
    first_depth, first = leading[0]
    st.markdown(f"Claim: *{as_text(first.statement)}*")
    if all(claim.obstacle for _, claim in leading):
        st.caption("Not computed at this setting yet. “Compute here” under the first figure does it.")
        return
    st.markdown(" ".join(_badge(claim, f"{depth} layers, {SCOPES[claim.scope].badge}: ") for depth, claim in leading))
    numbers = "; ".join(f"{e.where}: {signed(e.value)} {interval(e)}" for e in by_layer(first))
    unit = f" SoLU → GeLU minus GeLU → SoLU, {by_layer(first)[0].unit}: {numbers}." if numbers else ""
    st.caption(as_text(f"{first_depth} layers: {summary(first)}{unit}"))


@st.fragment
def claims_by_depth(by_depth: Mapping[int, Sequence[Claim]]) -> None:
    """A tab for each depth; the open one alone is drawn, and the address remembers it."""
    shown = options.CLAIMS.offering(list(by_depth), labels=options.CLAIMS.labels)
    for depth, tab in tabs(shown):
        if tab.open:
            with tab:
                claims_list(by_depth[depth])


def claims_list(claims: Sequence[Claim]) -> None:
    """One frame per claim: its verdict in each scope, numbers by layer where it has them, its basis and rule."""
    for claim_id in dict.fromkeys(claim.id for claim in claims):
        group = [claim for claim in claims if claim.id == claim_id]
        with st.container(border=True, gap="small", key=f"claim-{claim_id}"):
            ours = " :blue-badge[our control]" if group[0].ours else ""
            st.markdown(f"**{as_text(group[0].statement)}**{ours}\n\n{_table(group)}")
            lines = [f"{summary(claim)} {rests_on(claim)}" for claim in group]
            rules = dict.fromkeys(rule_sentence(claim) for claim in group)
            st.caption("  \n".join(as_text(line) for line in (*lines, *rules)))


def _table(group: Sequence[Claim]) -> str:
    """Verdicts and differences with their intervals as a table, one column for each layer."""
    import pandas as pd

    n_layers = max(len(by_layer(claim)) for claim in group)
    scopes = [f"for {as_text(SCOPES[claim.scope].label)}" for claim in group]
    if n_layers == 0:
        return "  \n".join(f"{scope} {_badge(claim)}" for scope, claim in zip(scopes, group, strict=True))
    effects = next(by_layer(claim) for claim in group if by_layer(claim))
    rows = []
    for scope, claim in zip(scopes, group, strict=True):
        cells = [f"**{as_text(signed(e.value))}** {as_text(interval(e))}" for e in by_layer(claim)]
        rows.append([scope, _badge(claim), *(cells or [""] * n_layers)])
    columns = [f"difference in {effects[0].unit}", "", *(effect.where for effect in effects)]
    return markdown_table(pd.DataFrame(rows, columns=columns), "ll" + "r" * n_layers)


def _badge(claim: Claim, before: str = "") -> str:
    color, icon = VERDICTS[claim.verdict]
    return f":{color}-badge[{icon} {before}{claim.verdict}]"

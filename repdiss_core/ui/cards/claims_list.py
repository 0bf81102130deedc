"""The paper's claims with the verdict that the stored results give."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from zlib import crc32

import streamlit as st

from repdiss_core.studies.asymmetry.claims import asymmetry_claims
from repdiss_core.studies.asymmetry.question import Params
from repdiss_core.studies.claims import Claim
from repdiss_core.ui.parts.shared import result_store, stored_version
from repdiss_core.ui.parts.text import as_text

SCOPES = {"these models": "these two models", "the activation function": "over seeds"}
VERDICTS = {
    "holds": ("green", ":material/check:"),
    "does not hold": ("orange", ":material/close:"),
    "undecided": ("gray", ":material/question_mark:"),
    "not computed": ("gray", ":material/circle:"),
}
NUMBERS = re.compile(r"layer \d+: (\S+) (\[[^\]]*\])")


def stored_claims(params: Params) -> list[Claim]:
    """The claims of section 3 as judged by what is stored now."""
    return _judged(params, stored_version())


@lru_cache(maxsize=32)
def _judged(params: Params, _at: tuple[int, ...]) -> list[Claim]:
    return asymmetry_claims(result_store(), params)


def headline(by_depth: dict[int, list[Claim]]) -> None:
    """The first claim, its verdict in both scopes at each depth, and what was found."""
    first = next(iter(by_depth.values()))[0]
    st.markdown(f"Claim: *{as_text(first.sentence)}*")
    if all(
        claim.verdict in ("not computed", "undecided") and not claim.rests_on
        for claims in by_depth.values()
        for claim in claims[:2]
    ):
        st.caption("Not computed at this setting yet. “Compute here” under the first figure does it.")
        return
    judged = [
        (depth, claim) for depth, claims in by_depth.items() for claim in claims if claim.sentence == first.sentence
    ]
    st.markdown(" ".join(_badge(claim, f"{depth} layers, {SCOPES[claim.scope]}: ") for depth, claim in judged))
    sentence, numbers = split_found(first.found)
    told = "; ".join(f"layer {i}: {value} {interval}" for i, (value, interval) in enumerate(numbers, start=1))
    st.caption(
        as_text(
            f"{next(iter(by_depth))} layers: {sentence}"
            + (f" SoLU → GeLU minus GeLU → SoLU, nats a token: {told}." if told else "")
        )
    )


@st.fragment
def claims_by_depth(by_depth: dict[int, list[Claim]]) -> None:
    """A tab for each depth; the open one alone is drawn, and the address remembers it."""
    names = [f"{depth}-layer models" for depth in by_depth]
    for tab, claims in zip(st.tabs(names, key="claims", bind="query-params"), by_depth.values(), strict=True):
        if tab.open:
            with tab:
                claims_list(claims)


def claims_list(claims: Sequence[Claim]) -> None:
    """One frame a sentence: a row of numbers by layer for these models, one for the activation function, and what they rest on."""
    for sentence in dict.fromkeys(c.sentence for c in claims):
        group = [c for c in claims if c.sentence == sentence]
        with st.container(border=True, gap="small", key=f"claim-{crc32(sentence.encode())}"):
            ours = " :blue-badge[our control]" if group[0].ours else ""
            st.markdown(f"**{as_text(sentence)}**{ours}\n\n{_table(group)}")
            st.caption("  \n".join(as_text(f"{split_found(c.found)[0]} {c.rests_on}") for c in group))


def split_found(found: str) -> tuple[str, list[tuple[str, str]]]:
    """The sentence without its numbers, and by layer the difference and its interval as they are shown."""
    head, _, numbers = found.partition(": difference in nats a token, ")
    if not numbers:
        return found, []
    shown = numbers.replace("-", "\u2212")
    return f"{head}.", [(value, interval) for value, interval in NUMBERS.findall(shown)]


def _table(group: list[Claim]) -> str:
    """Verdicts and differences with their intervals as a table, one column a layer."""
    by_claim = [split_found(claim.found)[1] for claim in group]
    n_layers = max(map(len, by_claim))
    if n_layers == 0:
        return "  \n".join(f"for {as_text(claim.scope)} {_badge(claim)}" for claim in group)
    head = ["difference in nats a token", "", *(f"layer {i}" for i in range(1, n_layers + 1))]
    rows = [head, ["---"] * 2 + ["--:"] * n_layers]
    for claim, numbers in zip(group, by_claim, strict=True):
        cells = [f"**{as_text(value)}** {as_text(interval)}" for value, interval in numbers] or [""] * n_layers
        rows.append([f"for {as_text(claim.scope)}", _badge(claim), *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _badge(claim: Claim, before: str = "") -> str:
    color, icon = VERDICTS[claim.verdict]
    return f":{color}-badge[{icon} {before}{claim.verdict}]"

"""The tables of the page Scaling families: Table 1, and what massive tokens do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from repdiss_core.base.errors import UserError
from repdiss_core.data.token_text import token_texts
from repdiss_core.measures.massive import MULTIPLE
from repdiss_core.models import model_spec
from repdiss_core.studies.scaling.claims import odd_shapes
from repdiss_core.studies.scaling.question import FamilyParams, short_name
from repdiss_core.studies.scaling.stored import FamilyResults, MassiveRow, massive_rows, with_massive
from repdiss_core.studies.scaling.table1 import PUBLISHED, UNREADABLE, HeadRow, family_rows, pythia_rows
from repdiss_core.studies.words import departure_sentence
from repdiss_core.ui.cards.scaling_cards import loaded as load_choice
from repdiss_core.ui.parts.tables import markdown_table
from repdiss_core.ui.parts.text import as_text, count

if TYPE_CHECKING:
    import pandas as pd

MOST_TOKENS = 4  # tokens of a model that are named
HEAD = ("model", "layers", "d_model", "heads", "d_head", "rotary_dim")


def table1(family: FamilyResults) -> None:
    """Table 1 for the eight Pythia models, and the same for the family on the page;
    the odd row is marked by the analysis."""
    with st.container(border=True, key="card-table1", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge("Table 1", color="gray")
            st.subheader("Head dimensions", anchor="table1", width="content")
        left, right = st.columns([1.2, 1], gap="large")
        with left:
            st.markdown(f"**{as_text(family.params.family)}**")
            st.markdown(_head_table(family_rows(family.params.family), lambda shape: _judged(family, shape)))
        with right:
            st.markdown("**The paper’s Pythia models**")
            pythia = pythia_rows()
            st.markdown(_head_table(pythia))
        st.caption(
            "d\\_head is d\\_model over heads; rotary\\_dim is a quarter of it. From the models’ configurations. "
            "A row is marked where the analysis of the maps above names its "
            "shape odd. " + _sources(pythia) + " Choose the paper’s family above to have its maps computed and judged."
        )


def _sources(rows: tuple[HeadRow, ...]) -> str:
    """Which rows come from a model's own file on this machine."""
    unread = [row.source for row in rows if row.source.startswith(UNREADABLE)]
    here = [row for row in rows if row.source != PUBLISHED and row.source not in unread]
    unread_note = f" {as_text('; '.join(unread).capitalize())}: fetch it again." if unread else ""
    if not here:
        return (
            "The Pythia rows are the published figures; "
            f"a model that is fetched here has its row read from its own config.json.{unread_note}"
        )
    others = "" if len(here) == len(rows) else "; the other Pythia rows are the published figures"
    return f"Read from files on this machine: {as_text(', '.join(row.source for row in here))}{others}.{unread_note}"


def _head_table(rows: tuple[HeadRow, ...], judged: Callable[[str], str] | None = None) -> str:
    """The rows, with a last column of what the analysis says of a shape where it was asked."""
    import pandas as pd

    numbers = [(row.n_layers, row.d_model, row.n_heads, row.d_head, row.rotary_dim) for row in rows]
    names = [as_text(row.name) for row in rows]
    cells = [(name, *of_row) for name, of_row in zip(names, numbers, strict=True)]
    frame = pd.DataFrame(cells, columns=[as_text(word) for word in HEAD])
    if judged:
        frame["analysis"] = [judged(row.shape) for row in rows]
    return markdown_table(frame, "l" + "r" * len(numbers[0]) + ("l" if judged else ""))


def _judged(family: FamilyResults, shape: str) -> str:
    odd = odd_shapes(family)
    if shape in odd:
        return f":orange-badge[:material/flag: odd]  {as_text(departure_sentence(odd[shape]))}"
    return "regular" if family.maps.complete else "not computed"


def massive_table(family: FamilyResults) -> None:
    """How many tokens are massive in each member, which, and how much its map and blocks change without them."""
    rows = rows_of_massive(family.params)
    st.header("Massive tokens", anchor="massive")
    if not rows:
        st.markdown(
            "The maps without massive tokens are not computed at this setting. "
            "Choose “without massive tokens” under Settings, then *Compute here*."
        )
        return
    st.markdown(_massive_sentence(rows))
    with st.container(key="massive-tokens"):
        st.markdown(markdown_table(_massive_frame(rows), "lrrrlrrl"))
    st.caption(
        "Within-model maps. "
        f"A row is left out where its length exceeds {MULTIPLE:g} times the median row of any layer. "
        "Changes are the largest of any cell, in CKA. "
        "Blocks: whether the segmentation is the same with all tokens, without massive ones, and with rows of length 1."
    )


def rows_of_massive(params: FamilyParams) -> list[MassiveRow]:
    """One a member, from the maps with all tokens, without massive ones, and with rows of length 1."""
    return massive_rows(*(load_choice(with_massive(params, way)) for way in ("kept", "dropped", "normalised")))


def _massive_sentence(rows: list[MassiveRow]) -> str:
    massive = [row for row in rows if row.dropped]
    longest = max(rows, key=lambda row: row.peak)
    if not massive:
        return (
            "No member has a massive token: "
            f"the longest row of {count(longest.rows)} is {longest.peak:.1f} times the median "
            f"({as_text(short_name(longest.name))}, layer {longest.layer}). The maps above owe nothing to such tokens."
        )
    return (
        f"{len(massive)} of {len(rows)} members have massive tokens, up to {longest.peak:.0f} times the median "
        f"({as_text(short_name(longest.name))}, layer {longest.layer})."
    )


def _massive_frame(rows: list[MassiveRow]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([_massive_cells(row) for row in rows])


def _massive_cells(row: MassiveRow) -> dict[str, str]:
    """{column: cell} of one member."""
    tokens = ", ".join(f"{token} ({n})" for token, n in _named_tokens(row)) or "none"
    if any(starts is None for starts in row.blocks):
        blocks = "too shallow"
    else:
        blocks = "the same" if len(set(row.blocks)) == 1 else "differ"
    return {
        "model": as_text(short_name(row.name)),
        "rows left out": f"{count(row.dropped)} of {count(row.rows)}",
        "longest row, × median": f"{row.peak:.1f}",
        "in layer": str(row.layer),
        "tokens left out": tokens,
        "largest change without them": _change(row.change),
        "with rows of length 1": _change(row.change_normalised),
        "blocks": blocks,
    }


def _change(value: float) -> str:
    return "not computed" if value != value else f"{value:.3f}"


def _named_tokens(row: MassiveRow) -> list[tuple[str, int]]:
    """(text, times) of the tokens left out most; their numbers where the model's tokenizer is not on this machine."""
    most = list(row.tokens.items())[:MOST_TOKENS]
    try:
        texts = (
            [f"“{text}”" for text in token_texts(model_spec(row.name).tokenizer_repo, [i for i, _ in most])]
            if most
            else []
        )
    except UserError:
        texts = [f"token {i}" for i, _ in most]
    return [(as_text(text), n) for text, (_, n) in zip(texts, most, strict=True)]

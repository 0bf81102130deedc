"""How well automatic clustering finds the split into generalizing and heuristic models: one row a method and set."""

from __future__ import annotations

import streamlit as st

from repdiss_core.analysis.intervals import p_words
from repdiss_core.studies.generalization.fig8_distances import clusterings
from repdiss_core.studies.generalization.stored import Loaded
from repdiss_core.studies.generalization.words import SHORT_SETS


def cluster_table(loaded: Loaded) -> None:
    """A small table under Figure 8; nothing while a distance is missing."""
    rows = [(name, c) for name in loaded.params.sets for c in clusterings(loaded, name)]
    if not rows:
        return
    lines = [
        "| measured on | method | sizes | silhouette | agreement with the split | p |",
        "|---|---|---|--:|--:|--:|",
    ]
    for name, c in rows:
        sizes = " + ".join(map(str, c.sizes))
        lines.append(
            f"| {SHORT_SETS[name]} | {c.method.replace('_', '-')} | {sizes} | {c.silhouette:.2f} | "
            f"{c.agreement:.2f} | {p_words(c.p, in_table=True)} |"
        )
    with st.container(border=True, key="card-clusters", gap="small"):
        st.subheader("Two clusters, found without being told", anchor="clusters")
        st.markdown("\n".join(lines))
        st.caption(
            f"The {len(loaded.groups.models)} models of both groups, put into two clusters by their distances "
            "alone. Agreement is the adjusted Rand index with the ranking "
            "split: 1 is the same split, 0 is chance. p: how often a random relabelling agrees as well. "
            "The paper left this step open."
        )

"""How well automatic clustering finds the split into generalizing and heuristic models: one row a method and set."""

from __future__ import annotations

import streamlit as st

from repdiss_core.analysis.intervals import p_words
from repdiss_core.studies.generalization.fig8_distances import clusterings
from repdiss_core.studies.generalization.stored import PopulationResults
from repdiss_core.studies.generalization.words import SHORT_SETS
from repdiss_core.ui.parts.tables import markdown_table


def cluster_table(loaded: PopulationResults) -> None:
    """A small table under Figure 8; nothing while a distance is missing."""
    import pandas as pd

    rows = [(name, c) for name in loaded.params.sets for c in clusterings(loaded, name)]
    if not rows:
        return
    frame = pd.DataFrame(
        {
            "measured on": SHORT_SETS[name],
            "method": c.method.replace("_", "-"),
            "sizes": " + ".join(map(str, c.sizes)),
            "silhouette": f"{c.silhouette:.2f}",
            "agreement with the split": f"{c.agreement:.2f}",
            "p": p_words(c.p, in_table=True),
        }
        for name, c in rows
    )
    with st.container(border=True, key="card-clusters", gap="small"):
        st.subheader("Two clusters, found without being told", anchor="clusters")
        st.markdown(markdown_table(frame, "lllrrr"))
        st.caption(
            f"The {len(loaded.groups.models)} models of both groups, put into two clusters by their distances "
            "alone. Agreement is the adjusted Rand index with the ranking "
            "split: 1 is the same split, 0 is chance. p: how often a random relabelling agrees as well. "
            "The paper left this step open."
        )

"""Home: the paper's map. Every figure and table of the paper, where it stands here, and a way to it."""

import streamlit as st

from repdiss_core.studies.paper import CITATION, paper_studies
from repdiss_core.ui.page import begin_page, end_page
from repdiss_core.ui.paper_map import real_section, study_section
from repdiss_core.ui.parts.shared import result_store
from repdiss_core.ui.warm_up import warm_up

begin_page(
    "app.py",
    "How do language models differ inside?",
    "Every figure and table of *Understanding the Inner Workings of Language Models Through Representation "
    "Dissimilarity*, "
    "recomputed on models that run here.",
)
store = result_store()
for study in paper_studies():
    study_section(store, study)
real_section(store)
st.caption(CITATION)
end_page()
warm_up()

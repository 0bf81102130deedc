"""Section 4 of the paper: Figures 2, 7 and 8, the clusters that it left open, and what is left of its claims."""

import streamlit as st

from repdiss_core.studies.figure import FigureChoice
from repdiss_core.studies.generalization.claims import generalization_claims, headline
from repdiss_core.studies.paper import STUDIES
from repdiss_core.ui.cards import generalization_cards as cards
from repdiss_core.ui.cards.claims_list import claims_list
from repdiss_core.ui.cards.cluster_table import cluster_table
from repdiss_core.ui.cards.model_strip import model_strip
from repdiss_core.ui.cards.study_cards import show_figures, study_cards
from repdiss_core.ui.page import begin_page, end_page
from repdiss_core.ui.parts.hub_notes import tell_what_it_takes
from repdiss_core.ui.parts.shared import errors_as_sentences
from repdiss_core.ui.parts.text import as_text

STUDY = STUDIES["generalization"]

begin_page(STUDY.page, STUDY.question, figures=True)
found = st.container()
with errors_as_sentences():
    params, quantity = cards.pick()
    data = cards.loaded(params)
    found.markdown(as_text(headline(data)))
    cards.say_what_is_compared(params)

    def clusters(choice: FigureChoice) -> FigureChoice:
        cluster_table(data)
        return choice

    def two_models(_choice: FigureChoice) -> FigureChoice:
        choice = cards.chosen(params, quantity, *model_strip(data))
        if not choice.view.models:
            st.info(
                "Choose two different models to compare them layer by layer: click them above, or use the two lists.",
                icon=":material/info:",
            )
        return choice

    choice = cards.chosen(params, quantity)
    tell_what_it_takes(card.request for card in study_cards(STUDY.name, choice))
    show_figures(STUDY.name, choice, after={"fig8": clusters, "distance-points": two_models})
    st.header("What becomes of the paper’s claims", anchor="claims")
    claims_list(generalization_claims(data))
end_page()

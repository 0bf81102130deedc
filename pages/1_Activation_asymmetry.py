"""Section 3 of the paper: Figures 1, 4, 5 and 6, their controls, and what becomes of the claims."""

import streamlit as st

from repdiss_core.studies.paper import STUDIES
from repdiss_core.ui.cards import asymmetry_cards as cards
from repdiss_core.ui.cards.claims_list import claims_by_depth, headline, stored_claims
from repdiss_core.ui.cards.study_cards import show_figures, study_cards
from repdiss_core.ui.page import begin_page, end_page
from repdiss_core.ui.parts.hub_notes import tell_what_it_takes
from repdiss_core.ui.parts.shared import errors_as_sentences

STUDY = STUDIES["asymmetry"]

begin_page(STUDY.page, STUDY.question, figures=True)
found = st.container(gap="small", key="headline")
with errors_as_sentences():
    choice = cards.pick()
    tell_what_it_takes(card.request for card in study_cards(STUDY.name, choice)[:1])
    show_figures(STUDY.name, choice)
    claims = {params.depth: stored_claims(params) for params in choice.params}
    with found:
        headline(claims)
    st.header("What becomes of the paper’s claims", anchor="claims")
    claims_by_depth(claims)
end_page()

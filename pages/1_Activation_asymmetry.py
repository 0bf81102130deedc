"""Section 3 of the paper: Figures 1, 4, 5 and 6, their controls, and what becomes of the claims."""

import streamlit as st

from repdiss_core.ui.cards import asymmetry_cards as cards
from repdiss_core.ui.cards.claims_list import claims_by_depth, headline, stored_claims
from repdiss_core.ui.cards.figure_card import figure_card
from repdiss_core.ui.page import begin_page, end_page
from repdiss_core.ui.parts.hub_notes import tell_what_it_takes
from repdiss_core.ui.parts.shared import told_in_a_sentence

begin_page("pages/1_Activation_asymmetry.py", cards.QUESTION, figures=True)
found = st.container(gap="small", key="headline")
with told_in_a_sentence():
    choice = cards.pick()
    stitching = cards.stitching_card(choice)
    tell_what_it_takes([stitching.request])
    figure_card(stitching)
    for params in choice.params:
        figure_card(cards.cka_card(params, choice.style, choice.relative))
    for params in choice.params:
        figure_card(cards.learning_card(params, choice.log_steps))
    claims = {params.depth: stored_claims(params) for params in choice.params}
    with found:
        headline(claims)
    st.header("What becomes of the paper’s claims", anchor="claims")
    claims_by_depth(claims)
end_page()

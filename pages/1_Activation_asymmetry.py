"""Section 3 of the paper: Figures 1, 4, 5 and 6, their controls, and what is left of the claims."""

import streamlit as st

from repdiss_core.claims import asymmetry_claims, headline
from repdiss_core.ui import asymmetry_cards as cards
from repdiss_core.ui.claims_list import claims_list
from repdiss_core.ui.figure_card import figure_card
from repdiss_core.ui.page import begin_page, result_store, show_problems, told_in_a_sentence
from repdiss_core.ui.text import as_text

begin_page("pages/1_Activation_asymmetry.py", cards.QUESTION)
store = result_store()
found = st.container()
with told_in_a_sentence():
    choice = cards.pick()
    found.markdown(as_text(headline(store, choice.params[0])))
    figure_card(cards.stitching_card(choice))
    for params in choice.params:
        figure_card(cards.cka_card(choice, params))
    for params in choice.params:
        figure_card(cards.learning_card(choice, params))
    st.header("What becomes of the paper’s claims", anchor="claims")
    for params in choice.params:
        st.subheader(f"{params.depth}-layer models", anchor=False)
        claims_list(asymmetry_claims(store, params))
show_problems(store)

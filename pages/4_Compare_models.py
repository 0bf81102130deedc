"""Any two models: the maps within each and between them, or stitches from one into the other."""

import streamlit as st

from repdiss_core.ui import pair_cards as cards
from repdiss_core.ui.figure_card import figure_card
from repdiss_core.ui.page import begin_page, end_page, result_store, told_in_a_sentence
from repdiss_core.ui.text import as_text

begin_page("pages/4_Compare_models.py", "How alike are these two models?", figures=True)
found = st.container()
with told_in_a_sentence():
    choice = cards.pick()
    found.markdown(as_text(cards.sentence(result_store(), choice)))
    figure_card(cards.card(choice))
    cards.facts(choice)
end_page()

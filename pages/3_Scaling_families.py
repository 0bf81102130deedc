"""Section 5 of the paper: Figures 3, 9, 10 and Table 1, the blocks, the odd member, and what becomes of the claims."""

import streamlit as st

from repdiss_core.studies.scaling.claims import headline, scaling_claims
from repdiss_core.ui.cards import scaling_cards as cards
from repdiss_core.ui.cards.claims_list import claims_list
from repdiss_core.ui.cards.figure_card import figure_card
from repdiss_core.ui.cards.scaling_tables import massive_table, table1
from repdiss_core.ui.page import begin_page, end_page
from repdiss_core.ui.parts.hub_notes import tell_what_it_takes
from repdiss_core.ui.parts.pickers import switch
from repdiss_core.ui.parts.shared import told_in_a_sentence
from repdiss_core.ui.parts.text import as_text

begin_page("pages/3_Scaling_families.py", cards.QUESTION, figures=True)
found = st.container()
with told_in_a_sentence():
    choice = cards.pick()
    data = cards.loaded(choice.params)
    found.markdown(as_text(headline(data)))
    tell_what_it_takes([cards.figure_card_of("fig3", choice.params, choice.relative).request])
    figure_card(cards.overview_card(choice.params, switch("Show", cards.VIEWS, "whole")))
    figure_card(cards.pair_card(choice))
    for figure_id in ("fig3", "fig9", "fig10"):
        figure_card(cards.figure_card_of(figure_id, choice.params, choice.relative, choice.style))
    for card in cards.analysis_cards(choice.params):
        figure_card(card)
    table1(data)
    for card in cards.training_cards(choice.params):
        figure_card(card)
    massive_table(data)
    st.header("What becomes of the paper’s claims", anchor="claims")
    claims_list(scaling_claims(data))
end_page()

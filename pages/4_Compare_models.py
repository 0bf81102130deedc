"""Any two models: the maps within each and between them, or stitches from one into the other."""

import streamlit as st

from repdiss_core.ui.cards import difference_cards as differences
from repdiss_core.ui.cards import pair_cards as cards
from repdiss_core.ui.cards.figure_card import figure_card
from repdiss_core.ui.page import begin_page, end_page
from repdiss_core.ui.parts.hub_notes import tell_what_it_takes
from repdiss_core.ui.parts.pickers import switch
from repdiss_core.ui.parts.shared import result_store, told_in_a_sentence
from repdiss_core.ui.parts.text import as_text

begin_page("pages/4_Compare_models.py", "How alike are these two models?", figures=True)
found = st.container()
with told_in_a_sentence():
    choice = cards.pick()
    found.markdown(as_text(cards.sentence(result_store(), choice)))
    if switch("Show", differences.MODES, "mode") == differences.MODES[0]:
        card = cards.card(choice)
    else:
        a, b = differences.pick_both(choice)
        differences.say_what_differs(a, b)
        card = differences.difference_card(a, b, choice.style, choice.relative)
    tell_what_it_takes([card.request])
    figure_card(card)
    cards.facts(choice)
end_page()

"""Any two models: the maps within each and between them, or stitches from one into the other."""

import streamlit as st

from repdiss_core.studies.paper import PAIR
from repdiss_core.ui.cards import difference_cards as differences
from repdiss_core.ui.cards import pair_cards as cards
from repdiss_core.ui.cards.study_cards import show_figures, study_cards
from repdiss_core.ui.page import begin_page, end_page
from repdiss_core.ui.parts.hub_notes import offer_packages, tell_what_it_takes
from repdiss_core.ui.parts.shared import errors_as_sentences, result_store
from repdiss_core.ui.parts.text import as_text

begin_page(PAIR.page, PAIR.question, figures=True)
found = st.container()
with errors_as_sentences():
    pair = cards.pick()
    offer_packages((pair.f, pair.g))
    found.markdown(as_text(cards.sentence(result_store(), pair)))
    choice = differences.one_or_both(pair)
    differences.say_what_differs(*choice.params[1:])
    cards.twin_links(pair)
    tell_what_it_takes(card.request for card in study_cards(PAIR.name, choice))
    show_figures(PAIR.name, choice)
    cards.facts(pair)
end_page()

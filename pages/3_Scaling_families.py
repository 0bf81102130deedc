"""Section 5 of the paper: Figures 3, 9, 10 and Table 1, the blocks, the odd member, and what becomes of the claims."""

import streamlit as st

from repdiss_core.studies.figure import FigureChoice
from repdiss_core.studies.paper import STUDIES, figures_request
from repdiss_core.studies.scaling import real_models
from repdiss_core.studies.scaling.claims import headline
from repdiss_core.ui.cards import scaling_cards as cards
from repdiss_core.ui.cards.claims_list import claims_list
from repdiss_core.ui.cards.scaling_tables import massive_table, table1
from repdiss_core.ui.cards.study_cards import show_figures
from repdiss_core.ui.page import begin_page, end_page
from repdiss_core.ui.parts.hub_notes import offer_packages, tell_what_it_takes
from repdiss_core.ui.parts.shared import errors_as_sentences
from repdiss_core.ui.parts.text import as_text

STUDY = STUDIES["scaling"]


def heads(choice: FigureChoice) -> FigureChoice:
    table1(cards.loaded(choice.only))
    return choice


begin_page(STUDY.page, STUDY.question, figures=True)
found = st.container()
with errors_as_sentences():
    choice = cards.pick()
    data = cards.loaded(choice.only)
    found.markdown(as_text(headline(data)))
    tell_what_it_takes([figures_request(["fig3"], choice.only)])
    show_figures(STUDY.name, cards.with_whole(choice), after={"table1": heads})
    offer_packages(real_models.names())
    massive_table(data)
    st.header("What becomes of the paper’s claims", anchor="claims")
    claims_list([claim for _, claim in cards.claims(choice)])
end_page()

"""A guided tour through the paper's three studies, and one's own."""

from repdiss_core.ui.page import begin_page, end_page
from repdiss_core.ui.parts.shared import errors_as_sentences
from repdiss_core.ui.tour_page import QUESTION, tour_page

begin_page("pages/6_Tour.py", QUESTION, figures=True, turn=False)
with errors_as_sentences():
    tour_page()
end_page()

"""The recipe "to add a study": a folder, a page, and a line in each of three registries."""

from __future__ import annotations

import json

from copied import add_line, copy_of_application, run_in

QUESTION = '''"""How alike is a model to itself?"""

from __future__ import annotations

from dataclasses import dataclass

from repdiss_core.studies.common import CkaView, bundled_preset, cka_panel, data_id
from repdiss_core.studies.panels import MatrixPanel


@dataclass(frozen=True)
class Params:
    """One model, read with the usual settings."""

    model: str = "mini-gelu-3l-s0"
    n_batches: int = 100

    @property
    def panel(self) -> MatrixPanel:
        """Its map."""
        return cka_panel(self.model, self.model, CkaView(), data_id(bundled_preset(), "eval"))


def one_or_first(params: Params | None) -> tuple[Params, ...]:
    """What the figures take."""
    return (params or Params(),)
'''
FIGURE = '''"""The map of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.common import bundled_preset
from repdiss_core.studies.drawn import Drawn, compose_heatmaps
from repdiss_core.studies.figure import Figure, FigureChoice
from repdiss_core.studies.panels import FigurePart
from repdiss_core.studies.toy.question import Params

if TYPE_CHECKING:
    from repdiss_core.plots.theme import Look


def parts(params: Params) -> tuple[FigurePart, ...]:
    """One map."""
    return (FigurePart("", panels=(params.panel,)),)


def draw(store: ResultStore, choice: FigureChoice, look: Look, state: str) -> Drawn:
    """The map."""
    params = choice.only
    part = parts(params)[0]
    return compose_heatmaps(store, part, look, bundled_preset(), "mean_of_ratios", params.n_batches, state)


SELF = Figure("toyself", "toy", "A model and itself", parts, draw, "Every cell compares two layers.")
'''
PAGE = '''"""A toy of a study."""

from repdiss_core.studies.figure import FigureChoice
from repdiss_core.studies.paper import STUDIES
from repdiss_core.studies.toy.question import Params
from repdiss_core.ui.cards.study_cards import show_figures
from repdiss_core.ui.page import begin_page, end_page

begin_page(STUDIES["toy"].page, STUDIES["toy"].question, figures=True)
show_figures("toy", FigureChoice((Params(),)))
end_page()
'''
STUDY = (
    '        StudySpec("toy", "", "Is a model like itself?", "pages/8_Toy.py", "Toy", "toy.question:one_or_first"),\n'
)
STUDY_PAGE = '        StudyPage(STUDIES["toy"], lambda: FigureChoice(study_params("toy")), lambda choice: "It is."),\n'
SCRIPT = """
import json
from streamlit.testing.v1 import AppTest
from repdiss_core.__main__ import main
from repdiss_core.ui import page
page.prepare = lambda look: None
from repdiss_core.ui.views import View, content, page_sections

def opened(path):
    test = AppTest.from_file("app.py", default_timeout=60)
    if path != "app.py":
        test.switch_page(path)
    test.run()
    assert not test.exception, [e.message for e in test.exception]
    return " ".join(e.value for kind in ("title", "markdown", "subheader") for e in test.get(kind))

view = View.of("pages/8_Toy.py", {})
shown = content(view)
found = {
    "page": [text in opened("pages/8_Toy.py") for text in ("Is a model like itself?", "A model and itself")],
    "export": [section.title for section in page_sections(view, shown, "") if section.figures],
    "said": shown.said(),
    "other pages": ["Toy" in opened(path) for path in ("app.py", "pages/5_Findings.py")],
    "run": main(["run", "toyself", "--dry-run"]),
}
main(["list", "studies"])
print(json.dumps(found))
"""


def test_a_study_is_a_folder_a_page_and_a_line_in_three_registries(tmp_path, own_cache) -> None:
    copy = copy_of_application(tmp_path / "copy")
    folder = copy / "repdiss_core/studies/toy"
    folder.mkdir()
    for name, text in (("__init__", '"""A toy."""\n'), ("question", QUESTION), ("figures", FIGURE)):
        (folder / f"{name}.py").write_text(text, "utf-8")
    (copy / "pages/8_Toy.py").write_text(PAGE, "utf-8")
    registry = copy / "repdiss_core/studies/paper.py"
    after = '            "scaling.question:one_or_first",\n        ),\n'
    add_line(registry, after, STUDY)
    add_line(registry, '    "pair.difference:DIFFERENCE",\n', '    "toy.figures:SELF",\n')
    pages = copy / "repdiss_core/ui/study_pages.py"
    add_line(pages, "        StudyPage(PAIR, difference_cards.whole_choice, difference_cards.said),\n", STUDY_PAGE)
    add_line(pages, "from repdiss_core.studies.paper import PAIR, STUDIES, StudySpec", ", study_params")
    *listed, last = run_in(copy, SCRIPT, own_cache).splitlines()
    assert json.loads(last) == {
        "page": [True, True],
        "export": ["A model and itself"],
        "said": "It is.",
        "other pages": [False, False],
        "run": 0,
    }
    assert any(line.startswith("toy") and "Is a model like itself?" in line for line in listed)

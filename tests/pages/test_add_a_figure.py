"""The recipe "to add a figure": one file and one line, and it is on page, tour, export, warm-up, command line and map.

The package is copied, the file and the line are added to the copy, and each of the six is asked in a process of its
own.
"""

from __future__ import annotations

import json

from copied import add_line, copy_of_application, run_in

from repdiss_core.studies.figure import View
from repdiss_core.studies.paper import FIGURES, STUDIES, paper_figures, study_figures

FILE = "repdiss_core/studies/asymmetry/fig99_toy.py"
LINE = '    "asymmetry.fig99_toy:FIG99",\n'
TOY = '''"""Figure 99: the map of one model against itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.asymmetry.question import AsymmetryParams, cka_panels
from repdiss_core.studies.drawn import Drawn, compose_heatmaps
from repdiss_core.studies.figure import Figure, FigureChoice
from repdiss_core.studies.panels import FigurePart

if TYPE_CHECKING:
    from repdiss_core.plots.theme import Look


def parts(params: AsymmetryParams) -> tuple[FigurePart, ...]:
    """One map a depth."""
    return (FigurePart("", panels=cka_panels(params)[:1]),)


def draw(store: ResultStore, choice: FigureChoice, look: Look, state: str) -> Drawn:
    """The map of the first depth."""
    params = choice.params[0]
    return compose_heatmaps(store, parts(params)[0], look, params.preset, params.cka.reduction, params.n_batches, state)


FIG99 = Figure(
    "fig99", "asymmetry", "A toy of one map", parts, draw, "A toy is read as any map.", label="Fig 99",
    shows="One map.", thumbnail=lambda store: "<svg>toy</svg>",
)
'''
SCRIPT = """
import json, sys
from pathlib import Path
from streamlit.testing.v1 import AppTest
from repdiss_core.__main__ import main
from repdiss_core.plots.theme import LOOKS
from repdiss_core.studies.paper import STUDIES
from repdiss_core.ui import page, paper_map
page.prepare = lambda look: None
from repdiss_core.ui.cards import figure_card
from repdiss_core.ui.parts.own_tour import Stop, packed
from repdiss_core.ui.parts.shared import result_store
from repdiss_core.ui.views import View, content, page_sections
from repdiss_core.ui.warm_up import steps

PAGE, TITLE = STUDIES["asymmetry"].page, "A toy of one map"

def opened(path, **query):
    test = AppTest.from_file("app.py", default_timeout=60)
    if path != "app.py":
        test.switch_page(path)
    for name, value in query.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception, [e.message for e in test.exception]
    return " ".join(e.value for kind in ("markdown", "subheader") for e in test.get(kind))

found = {}
view = View.of(PAGE, {}, "fig99")
found["page"] = opened(PAGE).count(TITLE)
found["tour"] = opened("pages/6_Tour.py", tour="my tour", mine=packed([Stop(PAGE, (), "fig99")])).count(TITLE)
sections = page_sections(view, content(view), "")
found["export"] = [len(s.figures) for s in sections if s.title == "Fig 99: " + TITLE]
figure_card._DRAWN.clear()
list(steps(LOOKS["page"]))
found["warm-up"] = [key[0] for key in figure_card._DRAWN].count("fig99")
out = Path(sys.argv[1]) / "toy.json"
assert main(["figure", "99", "--out", str(out)]) == 0
found["command line"] = [len(json.loads(out.read_text())["panels"]), main(["run", "fig99", "--dry-run"])]
tile = next(row for s in paper_map.map_sections(result_store()) for row in s.table.to_numpy() if row[0] == "Fig 99")
found["map"] = [tile[2], opened("app.py").count("Fig 99")]
main(["list", "figures"])
print(json.dumps(found))
"""


def test_a_figure_added_by_one_file_and_one_line_is_in_all_six(tmp_path, own_cache) -> None:
    copy = copy_of_application(tmp_path / "copy")
    (copy / FILE).write_text(TOY, "utf-8")
    add_line(copy / "repdiss_core/studies/paper.py", '    "asymmetry.fig6_learning:FIG6",\n', LINE)
    *listed, last = run_in(copy, SCRIPT, own_cache, str(tmp_path)).splitlines()
    assert json.loads(last) == {
        "page": 1,
        "tour": 1,
        "export": [1],
        "warm-up": 1,
        "command line": [1, 0],
        "map": ["shown", 1],
    }
    assert any(line.startswith("fig99") and line.endswith("A toy of one map") for line in listed)


def test_every_entry_is_whole() -> None:
    """A name that the command line takes, a text on how to read it, settings of the view that exist."""
    from repdiss_core.studies.paper import _ENTRIES

    assert len(FIGURES) == len(_ENTRIES), "two figures have one id"
    for figure in FIGURES.values():
        assert set(figure.uses) <= set(View.__dataclass_fields__)
        assert figure.table is not None or figure.explain
        assert figure.draw is not None or figure.split is not None or figure.table is not None
        assert not figure.label or figure.shows


def test_the_map_shows_the_papers_figures_alone() -> None:
    labels = [figure.label for figure in paper_figures()]
    assert labels == [*(f"Fig {number}" for number in range(1, 11)), "Table 1"]
    assert sum(len(study_figures(study)) for study in (*STUDIES, "pair")) == len(FIGURES)


def test_a_figure_of_chosen_models_is_refused_on_the_command_line(capsys, tmp_path) -> None:
    from repdiss_core.__main__ import main

    for name in ("pair-maps", "difference", "family-pair", "classifier-cka"):
        assert main(["figure", name, "--out", str(tmp_path / "x.json")]) == 2
        assert "shows two models of your choice" in capsys.readouterr().err
        assert main(["run", name]) == 2


def test_a_figure_of_ours_is_written_by_the_command_line(tmp_path) -> None:
    from repdiss_core.__main__ import main

    for name in ("odd", "distance-map"):
        assert main(["figure", name, "--out", str(tmp_path / f"{name}.json")]) == 0
        assert json.loads((tmp_path / f"{name}.json").read_text("utf-8"))["title"] == FIGURES[name].title

"""The theme: text stays text, file names are safe, ticks fit, every look draws the whole gallery."""

import re

import pytest
from gallery import cases, matrix

from repdiss_core.plots import theme
from repdiss_core.plots.html_file import figure_file
from repdiss_core.plots.layer_heatmap import HeatmapPanel, heatmap_row
from repdiss_core.plots.thumbnail import cell_color, heatmaps_svg, lines_svg
from repdiss_core.studies.caption import Caption


@pytest.mark.parametrize("name", list(theme.LOOKS))
def test_every_look_draws_the_gallery_in_its_own_colours(name):
    look = theme.LOOKS[name]
    for title, figure in cases(look):
        assert figure.layout.font.size == look.font_size, title
        assert figure.layout.paper_bgcolor == look.background
        assert figure.layout.font.color == look.text


def test_activation_functions_are_written_as_in_the_paper_but_model_names_stay():
    assert theme.model_text("solu → gelu, other seed") == "SoLU → GeLU, other seed"
    assert theme.model_text("mini-solu-3l-s0") == "mini-solu-3l-s0"
    assert theme.model_text("<gelu>") == "&lt;GeLU&gt;"


@pytest.mark.parametrize(
    ("n", "unit", "words"),
    [(1, "batch", "1 batch"), (100, "batch", "100 batches"), (25600, "token", "25\u2009600 tokens")],
)
def test_counts_have_thin_separators_and_a_plural(n, unit, words):
    assert theme.count(n, unit) == words


@pytest.mark.parametrize("n_layers", [1, 2, 3, 4, 12, 16, 24, 36, 182])
def test_ticks_are_few_and_include_the_last_layer(n_layers):
    ticks = theme.layer_ticks(n_layers)
    assert len(ticks) <= 15
    assert ticks == sorted(set(ticks))
    assert ticks[-1] <= n_layers
    assert n_layers - ticks[-1] < max(2, n_layers / 12)


def test_a_saved_picture_gets_a_safe_name():
    options = theme.chart_config("../fig 4/<x>")["toImageButtonOptions"]
    assert re.fullmatch(r"[A-Za-z0-9._-]+", options["filename"])
    assert options["format"] == "svg"


def test_domains_leave_gaps_and_room_for_the_bar():
    domains = theme.panel_domains(3, gap=0.05, right=0.1)
    assert domains[0][0] == 0
    assert domains[-1][1] == pytest.approx(0.9)
    assert domains[1][0] - domains[0][1] == pytest.approx(0.05)


def test_a_caption_leaves_out_what_is_empty():
    caption = Caption(models="a, b", estimator="unbiased CKA", departures=("Small batches.",))
    assert caption.phrases == ("a, b", "unbiased CKA")
    assert caption.text == "a, b · unbiased CKA. Small batches."


def test_thumbnails_show_every_cell_and_an_empty_frame():
    assert heatmaps_svg([matrix(3, 3), None]).count("<rect") == 10
    assert "<polyline" not in lines_svg([[]])
    assert cell_color(-0.1) == theme.NEGATIVE_COLOR
    assert cell_color(0.0) == "#440154"
    assert cell_color(1.0) == "#fde725"


def test_no_figure_offers_to_upload_itself():
    config = theme.chart_config("fig4")
    assert (config["showSendToCloud"], config["plotlyServerURL"]) == (False, "")
    page = figure_file("a page", [(heatmap_row([HeatmapPanel("a", "f", "g", 1, 1)], theme.LOOKS["print"]), "")])
    assert '"showSendToCloud": false' in page

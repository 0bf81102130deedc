"""Stitching curves and learning curves: what colour and dash say, intervals, references, missing layers."""

import numpy as np
import pytest
from gallery import curve, curve_panel, learning_panels

from repdiss_core.plots.layer_curve import CurvePanel, layer_curves, stroke
from repdiss_core.plots.learning_curve import LearningPanel, TrainingTrace, learning_curves
from repdiss_core.plots.theme import CONTROL_COLOR, LOOKS, MODEL_COLORS

LOOK = LOOKS["page"]


def named(figure, name):
    return [t for t in figure.data if t.name == name]


@pytest.mark.parametrize(
    ("role", "f", "g", "color", "dash", "symbol"),
    [
        ("stitch", "solu", "gelu", MODEL_COLORS["solu"], "dash", "square"),
        ("stitch", "gelu", "solu", MODEL_COLORS["gelu"], "dash", "circle"),
        ("identical", "gelu", "gelu", MODEL_COLORS["gelu"], "solid", "circle"),
        ("control", "solu", "solu", CONTROL_COLOR, "solid", "square-open"),
    ],
)
def test_colour_is_the_bottom_model_and_dash_the_top(role, f, g, color, dash, symbol):
    drawn = stroke({"role": role, "kind_f": f, "kind_g": g}, LOOK)
    assert (drawn.color, drawn.dash, drawn.symbol) == (color, dash, symbol)


def test_controls_are_thinner_than_the_papers_curves():
    widths = [stroke({"role": r, "kind_f": "gelu", "kind_g": "gelu"}, LOOK).width for r in ("control", "identical")]
    assert widths[0] < widths[1]


def test_every_point_carries_its_interval():
    c = curve("solu → gelu", "solu", "gelu", "stitch", 3, 3.7)
    figure = layer_curves([CurvePanel("3-layer models", 3, (c,))], LOOK)
    (line,) = named(figure, "SoLU → GeLU")
    np.testing.assert_allclose(line.y, c.values)
    np.testing.assert_allclose(np.array(line.y) + line.error_y.array, c.interval[1])
    np.testing.assert_allclose(np.array(line.y) - line.error_y.arrayminus, c.interval[0])


def test_deep_models_get_a_band_instead_of_bars():
    c = curve("gelu → gelu", "gelu", "gelu", "identical", 24, 3.7)
    figure = layer_curves([CurvePanel("deep", 24, (c,))], LOOK)
    band = next(t for t in figure.data if t.fill == "toself")
    assert band.opacity == 0.2
    assert named(figure, "GeLU → GeLU")[0].error_y.array is None


def test_panels_share_one_scale_and_one_legend_entry_a_curve():
    figure = layer_curves([curve_panel(3), curve_panel(4)], LOOK)
    assert figure.layout.yaxis2.matches == "y"
    assert [t.showlegend for t in named(figure, "SoLU → GeLU")] == [True, False]


def test_the_models_own_losses_are_lines_and_labels_that_do_not_meet():
    figure = layer_curves([curve_panel(3)], LOOK)
    heights = sorted(s.y0 for s in figure.layout.shapes)
    assert heights == [3.322, 3.335]
    labels = {a.text: a.yanchor for a in figure.layout.annotations if "alone" in a.text}
    assert labels == {"GeLU alone 3.322": "top", "SoLU alone 3.335": "bottom"}


def test_missing_layers_leave_room_for_themselves():
    figure = layer_curves([curve_panel(4, missing=2)], LOOK)
    assert figure.layout.xaxis.range[1] > 4
    assert len(named(figure, "SoLU → GeLU")[0].x) == 2


def test_a_panel_without_curves_says_so_at_the_same_size():
    figure = layer_curves([CurvePanel("3-layer models", 3, state="computing"), curve_panel(4)], LOOK)
    assert "computing" in [a.text for a in figure.layout.annotations]
    assert figure.layout.xaxis.domain == layer_curves([curve_panel(3), curve_panel(4)], LOOK).layout.xaxis.domain
    assert layer_curves([CurvePanel("3-layer models", 3)], LOOK).layout.yaxis.showticklabels is False


def test_the_penalty_has_a_line_at_zero():
    assert layer_curves([curve_panel(3)], LOOK, "penalty").layout.yaxis.zeroline is True
    assert layer_curves([curve_panel(3)], LOOK, "penalty").layout.yaxis.title.text == "penalty, nats a token"


def test_cka_by_layer_is_drawn_from_0_to_1():
    c = curve("a and b", "gelu", "solu", "stitch", 3, 0.8)
    assert layer_curves([CurvePanel("", 3, (c,))], LOOK, "CKA", bounded=True).layout.yaxis.range == (0.0, 1.02)


def test_learning_curves_keep_every_point_on_a_linear_axis_and_drop_step_zero_on_a_logarithmic_one():
    panels = learning_panels(3)
    first = panels[0].traces[0]
    for log_steps, n in ((False, first.step.size), (True, first.step.size - 1)):
        figure = learning_curves(panels, LOOK, log_steps)
        assert len(named(figure, "SoLU → GeLU")[0].x) == n
        assert figure.layout.xaxis.type == ("log" if log_steps else "linear")


def test_a_layer_without_learning_curve_says_so():
    figure = learning_curves([LearningPanel("layer 1", state="computing")], LOOK)
    assert "computing" in [a.text for a in figure.layout.annotations]


def test_a_diverged_training_does_not_break_the_scale():
    loss = np.array([4.0, 3.9, np.nan, 3.8])
    figure = learning_curves([LearningPanel("layer 1", (TrainingTrace("a", np.arange(4), loss, {}),))], LOOK)
    assert list(figure.data[0].y) == [4.0, 3.9, 3.8]
    assert figure.layout.yaxis.range[1] < 4.1


def test_a_long_learning_curve_has_its_running_mean_over_every_step_drawn_faint():
    loss = np.random.default_rng(0).normal(3.0, 0.2, 300)
    figure = learning_curves([LearningPanel("layer 1", (TrainingTrace("a", np.arange(300), loss, {}),))], LOOK)
    faint, mean = figure.data
    assert list(faint.y) == list(loss) and faint.opacity < 0.3 and faint.showlegend is False
    assert mean.y[150] == pytest.approx(loss[143:158].mean()) and mean.y[0] == pytest.approx(loss[:8].mean())
    assert np.std(mean.y) < 0.5 * np.std(loss)
    assert "mean of 15 steps" in mean.hovertemplate

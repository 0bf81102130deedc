"""Heatmap rows: values, colours, empty, negative, missing and pending cells; never pixels."""

import numpy as np
import pytest
from gallery import changed, matrix

from repdiss_core.plots.layer_heatmap import (
    CKA_SCALE,
    DIFFERENCE_SCALE,
    PENALTY_SCALE,
    HeatmapPanel,
    MapStyle,
    heatmap_grid,
    heatmap_row,
)
from repdiss_core.plots.theme import INK, LOOKS, NEGATIVE_COLOR

LOOK = LOOKS["page"]


def panel(m=None, rows=3, columns=3, **fields):
    return HeatmapPanel("within GeLU", "model-f", "model-g", rows, columns, m, **fields)


def traces(figure, name):
    return [t for t in figure.data if t.name == name]


def test_values_stand_where_the_layers_say():
    m = matrix(3, 4)
    (trace,) = traces(heatmap_row([panel(m)], LOOK), "values")
    np.testing.assert_allclose(np.array(trace.z, float), m.values)
    assert list(trace.x) == [1, 2, 3, 4]
    assert list(trace.y) == [1, 2, 3]


def test_rows_go_upward_and_axes_name_the_models():
    figure = heatmap_row([panel(matrix(3, 4))], LOOK)
    assert figure.layout.yaxis.range == (0.5, 3.5)
    assert figure.layout.xaxis.range == (0.5, 4.5)
    assert figure.layout.yaxis.title.text == "model-f"
    assert figure.layout.xaxis.title.text == "model-g"
    assert figure.layout.yaxis.scaleanchor == "x"


def test_three_maps_share_one_fixed_scale_and_one_bar():
    figure = heatmap_row([panel(matrix(3, 3, s)) for s in range(3)], LOOK)
    assert {t.coloraxis for t in traces(figure, "values")} == {"coloraxis"}
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)
    assert figure.layout.yaxis3.scaleanchor == "x3"


def test_values_below_zero_are_one_grey_with_their_number():
    m = changed(matrix(3, 3), {(0, 0): -0.031})
    figure = heatmap_row([panel(m)], LOOK)
    (grey,) = traces(figure, "below scale")
    assert grey.z[0][0] == pytest.approx(-0.031)
    assert {color for _, color in grey.colorscale} == {NEGATIVE_COLOR}
    assert traces(figure, "values")[0].z[0][0] is None
    numbers = next(t for t in figure.data if t.type == "scatter" and t.mode == "text")
    assert numbers.text[0] == "\u22120.03"
    assert numbers.textfont.color[0] == INK


def test_a_penalty_that_rounds_to_zero_has_no_sign():
    figure = heatmap_row([panel(changed(matrix(2, 2), {(0, 0): -0.0001}))], LOOK, PENALTY_SCALE)
    assert next(t for t in figure.data if t.type == "scatter" and t.mode == "text").text[0] == "0.000"


def test_a_cell_without_value_is_hatched_and_tells_why():
    m = changed(matrix(3, 3), {(2, 1): np.nan}, notes=("Layer 3 of f is constant.",))
    figure = heatmap_row([panel(m)], LOOK)
    (missing,) = traces(figure, "no value")
    assert missing.z[2][1] == 0
    assert "Layer 3 of f is constant." in missing.hovertemplate
    assert any(t.type == "scatter" and t.mode == "lines" for t in figure.data)


def test_cells_still_to_come_are_told_apart_from_cells_without_value():
    values = changed(matrix(2, 2), {(1, 1): np.nan})
    waiting = np.array([[False, False], [False, True]])
    figure = heatmap_row([panel(values, pending=waiting)], LOOK)
    assert traces(figure, "pending")[0].z[1][1] == 0
    assert not traces(figure, "no value")


@pytest.mark.parametrize("m", [None, changed(matrix(2, 3), {(i, j): np.nan for i in range(2) for j in range(3)})])
def test_an_empty_map_keeps_its_size_and_says_its_state(m):
    empty = heatmap_row([panel(m, 2, 3, state="computing")], LOOK)
    full = heatmap_row([panel(matrix(2, 3))], LOOK)
    assert "computing" in [a.text for a in empty.layout.annotations]
    for axis in ("xaxis", "yaxis"):
        assert empty.layout[axis].range == full.layout[axis].range
        assert empty.layout[axis].domain == full.layout[axis].domain
    assert empty.layout.height == full.layout.height
    assert any(t.type == "heatmap" and t.coloraxis == "coloraxis" for t in empty.data), "the colour bar stays"


def test_hover_tells_both_layers_then_value_and_interval_then_batches():
    (trace,) = traces(heatmap_row([panel(matrix(2, 2))], LOOK), "values")
    order = [
        trace.hovertemplate.index(word)
        for word in ("model-f", "model-g", "CKA %{z", "standard error", "95 %", "100 batches")
    ]
    assert order == sorted(order)
    row, column, low, high, error = trace.customdata[1][0]
    assert (row, column) == ("2", "1")
    assert float(low) < trace.z[1][0] < float(high)
    assert 0 < float(error) < float(high) - float(low)


def test_names_are_shown_as_text():
    figure = heatmap_row([HeatmapPanel("<b>x</b>", "<i>f</i>", "<a href='u'>g</a>", 2, 2, matrix(2, 2))], LOOK)
    assert figure.layout.annotations[0].text == "&lt;b&gt;x&lt;/b&gt;"
    assert figure.layout.xaxis.title.text.startswith("&lt;a")
    assert "<i>" not in traces(figure, "values")[0].hovertemplate


def test_numbers_are_left_out_where_cells_are_small():
    assert any(t.type == "scatter" and t.mode == "text" for t in heatmap_row([panel(matrix(4, 4), 4, 4)], LOOK).data)
    assert not any(
        t.type == "scatter" and t.mode == "text" for t in heatmap_row([panel(matrix(30, 30), 30, 30)], LOOK).data
    )


def test_a_penalty_scale_spans_the_values_of_the_whole_row():
    figure = heatmap_row(
        [panel(changed(matrix(2, 2), {(0, 0): 2.5})), panel(changed(matrix(2, 2), {(0, 0): -0.2}))], LOOK, PENALTY_SCALE
    )
    assert figure.layout.coloraxis.cmax == 2.5
    assert figure.layout.coloraxis.cmin == -0.2
    assert not traces(figure, "below scale")


def test_the_scale_of_cka_is_zero_to_one():
    assert (CKA_SCALE.lower, CKA_SCALE.upper, CKA_SCALE.grey_below) == (0, 1, 0)


def test_the_range_of_the_values_leaves_out_what_is_grey():
    m = changed(matrix(2, 2), {(0, 0): -0.03, (0, 1): 0.41, (1, 0): 0.5, (1, 1): 0.62})
    shown = heatmap_grid([[panel(m)]], LOOK, style=MapStyle(data_range=True)).layout.coloraxis
    assert (shown.cmin, shown.cmax) == (0.41, 0.62)
    assert shown.colorbar.ticktext is None
    assert heatmap_grid([[panel(m)]], LOOK).layout.coloraxis.cmax == 1


def test_numbers_can_be_left_out():
    figure = heatmap_grid([[panel(matrix(3, 3))]], LOOK, style=MapStyle(numbers=False))
    assert not any(t.mode == "text" for t in figure.data if t.type == "scatter")


@pytest.mark.parametrize(("layers", "fixed"), [(24, True), (25, False)])
def test_large_maps_can_be_zoomed(layers, fixed):
    layout = heatmap_row([panel(matrix(layers, layers), layers, layers)], LOOK).layout
    assert layout.xaxis.fixedrange is layout.yaxis.fixedrange is fixed
    assert (layout.dragmode == "zoom") is not fixed


def test_a_difference_has_a_scale_of_its_own_centred_on_zero():
    m = changed(matrix(2, 2), {(0, 0): -0.2, (0, 1): 0.01, (1, 0): 0.0, (1, 1): 0.05})
    figure = heatmap_grid([[panel(matrix(2, 2)), panel(m, scale=DIFFERENCE_SCALE)]], LOOK)
    assert (figure.layout.coloraxis2.cmin, figure.layout.coloraxis2.cmax) == (-0.2, 0.2)
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)
    numbers = [t for t in figure.data if t.type == "scatter" and t.mode == "text"][1]
    assert list(numbers.text) == ["\u22120.200", "0.010", "0.000", "0.050"]
    assert list(numbers.textfont.color) == ["#FFFFFF", INK, INK, INK]


def test_differences_of_nothing_stay_pale():
    nothing = changed(matrix(2, 2), {(i, j): 0.0 for i in (0, 1) for j in (0, 1)})
    figure = heatmap_grid([[panel(matrix(2, 2)), panel(nothing, scale=DIFFERENCE_SCALE)]], LOOK)
    assert (figure.layout.coloraxis2.cmin, figure.layout.coloraxis2.cmax) == (-0.01, 0.01)

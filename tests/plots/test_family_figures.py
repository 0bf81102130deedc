"""The figures of a family: grids of maps with outlined blocks, series in panels, and the family as one matrix;
never pixels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from gallery import PYTHIA_DEPTHS, block_map, departure_panel, family, matrix, trend_panels

from repdiss_core.plots.family_matrix import all_layers, overview
from repdiss_core.plots.layer_heatmap import HeatmapPanel, heatmap_grid
from repdiss_core.plots.series import Series, SeriesPanel, ramp, series_panels
from repdiss_core.plots.theme import INK, LOOKS, QUIET_FILL

LOOK = LOOKS["page"]
SMALL = (2, 3, 6)


def traces(figure, name):
    return [t for t in figure.data if t.name == name]


def ground(figure):
    """The quiet frames that lie below maps."""
    return [s for s in figure.layout.shapes if s.fillcolor == QUIET_FILL]


def test_rows_of_maps_share_columns_and_one_bar_and_stand_one_below_the_other() -> None:
    rows = [[HeatmapPanel(f"{r}{c}", "f", "g", 3, 3, matrix(3, 3, c)) for c in range(n)] for r, n in enumerate((3, 2))]
    figure = heatmap_grid(rows, LOOK, height=300)
    layout = figure.layout
    assert layout.height == 600
    assert layout.xaxis.domain == layout.xaxis4.domain and layout.xaxis2.domain == layout.xaxis5.domain
    assert layout.yaxis.domain == layout.yaxis3.domain
    assert layout.yaxis.domain[1] == pytest.approx(1) and layout.yaxis4.domain[0] == pytest.approx(0)
    assert layout.yaxis4.domain[1] < layout.yaxis.domain[0]
    heights = [axis.domain[1] - axis.domain[0] for axis in (layout.yaxis, layout.yaxis4)]
    assert heights[0] == pytest.approx(heights[1])
    assert [t.xaxis for t in traces(figure, "values")] == ["x", "x2", "x3", "x4", "x5"]
    assert {t.coloraxis for t in traces(figure, "values")} == {"coloraxis"}


def test_a_row_of_four_is_narrower_and_keeps_clear_of_the_bar() -> None:
    figure = heatmap_grid([[block_map(4, ()) for _ in range(4)]], LOOK)
    domains = [figure.layout[name].domain for name in ("xaxis", "xaxis2", "xaxis3", "xaxis4")]
    assert all(a[1] < b[0] for a, b in itertools.pairwise(domains))
    assert domains[-1][1] < figure.layout.coloraxis.colorbar.x


@pytest.mark.parametrize(("relative", "corners"), [(False, [(0.5, 3.5), (3.5, 8.5)]), (True, [(0, 3 / 8), (3 / 8, 1)])])
def test_blocks_are_outlined_where_their_layers_are(relative, corners) -> None:
    """A layer's cell reaches half a layer to both sides; of the depth, from (l - 1) / L to l / L."""
    figure = heatmap_grid([[block_map(4, ()), block_map(8, ((0, 3), (3, 8)), relative)]], LOOK)
    frames = [s for s in figure.layout.shapes if s.type == "rect" and s.line.width]
    assert {s.xref for s in frames} == {"x2"} and {s.yref for s in frames} == {"y2"}
    assert (
        [(s.x0, s.x1) for s in frames] == [(s.y0, s.y1) for s in frames] == [pair for pair in corners for _ in range(2)]
    )
    assert {s.line.color for s in frames} == {INK, "#FFFFFF"}


def test_over_the_fraction_of_the_depth_maps_of_different_depth_span_the_same_axes() -> None:
    figure = heatmap_grid([[HeatmapPanel("between", "f", "g", 4, 8, matrix(4, 8), relative=True)]], LOOK)
    assert figure.layout.xaxis.range == figure.layout.yaxis.range == (0, 1)
    assert figure.layout.xaxis.ticktext == figure.layout.yaxis.ticktext == ("0", ".25", ".5", ".75", "1")
    (values,) = traces(figure, "values")
    assert list(values.y) == pytest.approx([0.125, 0.375, 0.625, 0.875])
    assert list(values.x) == pytest.approx(np.arange(1, 16, 2) / 16)
    assert list(values.customdata[3][7][:2]) == ["4", "8"]


def test_a_series_tells_its_points_interval_and_hover_and_the_legend_once() -> None:
    panels = trend_panels(LOOK)
    figure = series_panels(panels, LOOK)
    odd = traces(figure, "4l128-h8")
    assert [t.xaxis for t in odd] == ["x", "x2"] and [t.showlegend for t in odd] == [True, False]
    given = panels[0].series[3]
    assert list(odd[0].x) == given.x.tolist() and list(odd[0].y) == given.y.tolist()
    assert odd[0].error_y.array[0] == pytest.approx(0.14) and odd[0].error_y.arrayminus[0] == pytest.approx(0.02)
    assert odd[0].marker.symbol == "diamond" and odd[0].customdata[0] == given.hover[0]
    (line,) = [t for t in figure.data if t.mode == "lines" and not t.name]
    assert line.line.dash == "dot" and not line.showlegend and line.hoverinfo == "skip"


def test_panels_share_one_scale_that_holds_every_interval() -> None:
    figure = series_panels(trend_panels(LOOK), LOOK)
    assert figure.layout.yaxis.range == figure.layout.yaxis2.range
    low, high = figure.layout.yaxis.range
    ends = np.concatenate([s.interval.ravel() for p in trend_panels(LOOK) for s in p.series if s.interval is not None])
    assert low < ends.min() and high > ends.max()
    assert figure.layout.yaxis.title.text == "CKA within a model" and not figure.layout.yaxis2.title.text
    assert list(figure.layout.xaxis.ticktext) == ["320k", "1M", "3.2M"]
    assert figure.layout.xaxis2.range == (6.8, 5.3), "the loss falls to the right"
    apart = series_panels(trend_panels(LOOK), LOOK, shared_y=False)
    assert apart.layout.yaxis2.range is None and apart.layout.yaxis2.title.text == "CKA within a model"


def test_departures_stand_around_a_line_at_zero() -> None:
    figure = series_panels([departure_panel(LOOK)], LOOK)
    assert figure.layout.yaxis.zeroline
    assert list(traces(figure, "odd")[0].x) == [3.0] and figure.layout.xaxis.ticktext[3] == "4l128-h8"


def test_a_missing_point_and_markup_are_harmless() -> None:
    one = Series("<b>x</b>", np.array([1.0, 2.0]), np.array([0.5, np.nan]), np.array([[0.4, np.nan], [0.6, np.nan]]))
    (trace,) = series_panels([SeriesPanel("<i>t</i>", "x", "y", (one,))], LOOK).data
    assert list(trace.y) == [0.5, None] and list(trace.error_y.array) == pytest.approx([0.1, 0])
    assert trace.name == "&lt;b&gt;x&lt;/b&gt;"


def test_panels_without_values_say_so_and_have_no_numbers_on_their_axes() -> None:
    figure = series_panels([SeriesPanel("", "x", "y", state="computing"), SeriesPanel("", "x", "y")], LOOK)
    assert [a.text for a in figure.layout.annotations if a.text] == ["computing", "not computed yet"]
    assert not any(figure.layout[axis].showticklabels for axis in ("xaxis", "xaxis2", "yaxis", "yaxis2"))
    assert len(ground(figure)) == 2 and not figure.layout.showlegend


@pytest.mark.parametrize("name", ["page", "page_dark"])
def test_the_largest_model_stands_out_most(name) -> None:
    def light(fraction: float) -> int:
        color = ramp(fraction, LOOKS[name])
        return sum(int(color[i : i + 2], 16) for i in (1, 3, 5))

    steps = [light(f) for f in (-1, 0, 0.5, 1, 2)]
    assert steps[0] == steps[1] and steps[3] == steps[4]
    assert steps[1] < steps[2] < steps[3] if LOOKS[name].dark else steps[1] > steps[2] > steps[3]


def test_the_overview_is_the_means_with_a_number_in_each_cell() -> None:
    names, _, means = family(SMALL)
    means[0, 2] = -0.04
    figure = overview(names, means, LOOK)
    (trace,) = traces(figure, "family")
    np.testing.assert_array_equal(trace.z, means.astype(np.float32))
    assert figure.layout.yaxis.range == (2.5, -0.5) and figure.layout.xaxis.range == (-0.5, 2.5), (
        "the first is at the top left"
    )
    assert list(figure.layout.xaxis.ticktext) == list(figure.layout.yaxis.ticktext) == list(names)
    (numbers,) = traces(figure, "numbers")
    told = {
        (y, x): (text, color)
        for y, x, text, color in zip(numbers.y, numbers.x, numbers.text, numbers.textfont.color, strict=True)
    }
    assert told[0, 2] == ("\u22120.04", "#FFFFFF") and told[0, 0] == (f"{means[0, 0]:.2f}", INK)
    assert list(trace.customdata[0][2]) == [names[0], names[2]] and "mean CKA" in trace.hovertemplate
    assert not ground(figure)


def test_numbers_are_left_out_where_there_are_too_many_models() -> None:
    names, _, means = family((1,) * 17)
    assert not traces(overview(names, means, LOOK), "numbers")


def test_a_member_without_maps_leaves_quiet_cells() -> None:
    names, _, means = family(SMALL, missing=1)
    figure = overview(names, means, LOOK)
    assert len(traces(figure, "numbers")[0].text) == 4
    assert len(ground(figure)) == 1 and not figure.layout.annotations


def test_all_layers_of_eight_deep_members_are_182_by_182_small_numbers() -> None:
    names, values, _ = family(PYTHIA_DEPTHS)
    figure = all_layers(names, PYTHIA_DEPTHS, values, np.full_like(values, 0.01), LOOK)
    (trace,) = traces(figure, "layers")
    assert trace.z.shape == trace.customdata.shape == (182, 182)
    assert trace.z.dtype == trace.customdata.dtype == np.float32
    np.testing.assert_allclose(trace.z, values, atol=1e-6)
    assert (
        len(set(trace.x)) == 182
        and trace.x[0] == "6l-s0, layer 1"
        and trace.x[6] == "12l-s1, layer 1"
        and trace.y[181] == "36l-s7, layer 36"
    )
    assert list(figure.layout.xaxis.ticktext) == list(names) and figure.layout.xaxis.tickvals[0] == 2.5
    assert figure.layout.yaxis.range == (181.5, -0.5)
    lines = [s.x0 for s in figure.layout.shapes if s.x0 == s.x1]
    assert lines == [end - 0.5 for end in np.cumsum(PYTHIA_DEPTHS)[:-1]]
    order = [trace.hovertemplate.index(word) for word in ("%{y}", "%{x}", "CKA %{z", "%{customdata")]
    assert order == sorted(order)


@pytest.mark.parametrize("draw", ["overview", "all layers"])
def test_a_family_without_maps_keeps_axes_and_bar_and_says_its_state(draw) -> None:
    names, values, means = family(SMALL)
    full, empty = (
        overview(names, m, LOOK, state="computing")
        if draw == "overview"
        else all_layers(names, SMALL, v, v, LOOK, state="computing")
        for m, v in ((means, values), (np.full_like(means, np.nan), np.full_like(values, np.nan)))
    )
    assert [a.text for a in empty.layout.annotations] == ["computing"] and not full.layout.annotations
    assert empty.layout.xaxis.range == full.layout.xaxis.range and empty.layout.xaxis.domain == full.layout.xaxis.domain
    assert len(ground(empty)) == 1
    (holder,) = traces(empty, "scale")
    assert holder.coloraxis == "coloraxis"
    assert not any(isinstance(x, str) for t in empty.data for x in (*(t.x or ()), *(t.y or ()))), (
        "on an axis of names the bar's cell would get a place"
    )

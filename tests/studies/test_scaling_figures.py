"""The analysis figures of section 5: what they draw and export is what the analysis found,
and what they say where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from neox_family import SUSPECT, TWIN, planted, pretend

from repdiss_core.models import model_spec
from repdiss_core.models.family import family_checkpoints
from repdiss_core.plots.theme import LOOKS
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.scaling import fig3_fig9_fig10_maps, training, trends
from repdiss_core.studies.scaling.question import FamilyParams, shape_of
from repdiss_core.studies.scaling.stored import early_late, load_family_results, odd_report, twins, within

LOOK = LOOKS["page"]
COMPOSED = (
    trends.compose_trends,
    trends.compose_early_late,
    trends.compose_odd,
    training.compose_twins,
    training.compose_training,
)


@pytest.fixture(autouse=True)
def family(monkeypatch, tmp_path) -> None:
    pretend(monkeypatch, tmp_path / "family")


def named(drawn, name: str) -> list:
    return [t for t in drawn.figure.data if t.name == name]


def test_trends_draw_every_member_and_fit_the_regular_shapes_alone() -> None:
    loaded = planted(within_slope=0.1)
    drawn = trends.compose_trends(loaded, LOOK, "not computed yet")
    found = within(loaded)
    for panel, x in ((0, loaded.size), (1, loaded.loss)):
        rows = loaded.of(SUSPECT)
        trace = named(drawn, SUSPECT)[panel]
        assert trace.marker.symbol == "diamond"
        assert list(trace.x) == pytest.approx(x[rows]) and list(trace.y) == pytest.approx(found[0, rows])
        assert list(trace.error_y.array) == pytest.approx(found[3, rows] - found[0, rows])
    assert drawn.tables[0].values == pytest.approx(found[0])
    assert list(drawn.tables[0].row_labels) == [name.removeprefix("mini-neox-") for name in loaded.maps.members]
    size, loss = (a.text for a in drawn.figure.layout.annotations)
    assert size.startswith("By size: rises, rank correlation +1.00, p .0") and loss.startswith(
        "By loss: falls, rank correlation −"
    )
    assert drawn.complete and drawn.origin == "local"


def test_early_and_late_are_drawn_for_the_regular_shapes_and_exported_for_each_pair() -> None:
    loaded = planted(tilt=0.2)
    drawn = trends.compose_early_late(loaded, LOOK, "")
    early, late = early_late(loaded)
    (first,), (last,) = named(drawn, "first third of the layers"), named(drawn, "last third")
    assert list(first.y) == pytest.approx(np.nanmean(early, axis=1)) and list(last.y) == pytest.approx(
        np.nanmean(late, axis=1)
    )
    assert SUSPECT not in drawn.figure.layout.xaxis.ticktext and len(drawn.figure.layout.xaxis.ticktext) == 5
    assert len(drawn.tables[0].values) == 10 and drawn.tables[0].values[0] == pytest.approx(early[0, 1])
    assert drawn.figure.layout.annotations[0].text.startswith("Early minus late: 0.")


def test_the_odd_member_is_marked_and_the_others_are_shown_as_predicted() -> None:
    loaded = planted(odd={SUSPECT: -0.1})
    drawn = trends.compose_odd(loaded, LOOK, "")
    (odd,) = named(drawn, "odd")
    (departure,) = odd_report(loaded).odd
    at = list(drawn.figure.layout.xaxis.ticktext).index(SUSPECT)
    assert (list(odd.x), list(odd.y)) == ([at], [departure.effect])
    assert len(named(drawn, "as the family predicts")[0].x) == 5
    assert "Odd: 4l128-h8 (−0.1" in drawn.figure.layout.annotations[0].text
    lower, upper = drawn.tables[0].interval[:, at]
    assert (lower, upper) == pytest.approx((departure.effect - departure.reach, departure.effect + departure.reach))


def test_the_twins_stand_by_loss_layer_by_layer_with_the_other_seeds_at_their_ends() -> None:
    loaded = planted(layers={(SUSPECT, 2): -0.15})
    drawn, found = training.compose_twins(loaded, LOOK, ""), twins(loaded)
    assert [a.text for a in drawn.figure.layout.annotations] == [f"layer {l}" for l in range(1, 5)]
    line = named(drawn, TWIN)[1]
    assert list(line.x) == [loss for loss, _ in found.twin_path.values()] and list(line.y) == [
        values[1] for _, values in found.twin_path.values()
    ]
    assert drawn.figure.layout.xaxis.range[0] > drawn.figure.layout.xaxis.range[1], "the loss falls to the right"
    seeds = [t for t in drawn.figure.data if not t.name and t.xaxis == "x2" and t.marker.symbol == "diamond"]
    assert [list(t.y) for t in seeds] == [found.odd[1:, 1].tolist()]
    assert [table.values.tolist() for table in drawn.tables] == [
        [d.mean for d in differences] for differences in (found.equal_tokens, found.equal_loss)
    ]


def test_training_is_a_panel_a_training_that_ends_at_one() -> None:
    loaded = planted()
    drawn = training.compose_training(loaded, LOOK, "")
    assert [a.text for a in drawn.figure.layout.annotations] == ["4l128-h32-s0", "4l128-h8-s0"]
    first = named(drawn, "layer 3")[0]
    steps = list(family_checkpoints(f"mini-neox-{TWIN}-s0"))
    assert list(first.x) == [model_spec(name).tokens_seen / 1e6 for name in (*steps, f"mini-neox-{TWIN}-s0")]
    assert list(first.y) == pytest.approx(
        [*(loaded.maps.map(step, f"mini-neox-{TWIN}-s0").mean[2, 2] for step in steps), 1.0]
    )


def test_blocks_are_outlined_on_a_members_own_map_alone(tmp_path) -> None:
    loaded = planted(blocks={"8l192-h32": (0, 3, 7)})
    deep, shallow = loaded.maps.members[-1], loaded.maps.members[0]
    assert (
        fig3_fig9_fig10_maps.outlined(loaded, deep) == ((0, 3), (3, 7), (7, 8))
        and fig3_fig9_fig10_maps.outlined(loaded, shallow) == ()
    )
    store = ResultStore(tmp_path / "local", tmp_path / "packs")
    assert not any(
        s.line.width
        for s in fig3_fig9_fig10_maps.compose_pair(store, loaded, deep, shallow, LOOK, False, "").figure.layout.shapes
    ), "nothing on an empty map"


@pytest.mark.parametrize(
    "compose", [*COMPOSED, fig3_fig9_fig10_maps.compose_overview, fig3_fig9_fig10_maps.compose_all_layers]
)
def test_without_results_a_figure_says_its_state_and_exports_no_number(compose, tmp_path) -> None:
    loaded = load_family_results(ResultStore(tmp_path / "local", tmp_path / "packs"), FamilyParams())
    drawn = compose(loaded, LOOK, "computing")
    assert "computing" in [a.text for a in drawn.figure.layout.annotations]
    assert not drawn.complete and drawn.origin is None
    assert not any(np.isfinite(table.values).any() for table in drawn.tables)


def test_an_open_question_of_a_complete_family_is_told_in_its_panel(monkeypatch, tmp_path) -> None:
    pretend(
        monkeypatch,
        tmp_path / "small",
        tuple(f"mini-neox-{shape}-s0" for shape in ("2l64-h32", "3l96-h32", "4l128-h32")),
    )
    loaded = planted()
    assert {shape_of(name) for name in loaded.maps.members} == {"2l64-h32", "3l96-h32", TWIN}
    said = [
        " ".join(a.text for a in compose(loaded, LOOK, "not computed yet").figure.layout.annotations)
        for compose in COMPOSED
    ]
    assert "at least 5 different shapes; this family has 3" in said[2]
    assert "no trained member of shape 4l128-h8" in said[3]

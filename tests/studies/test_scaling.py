"""The study of section 5: which maps its figures are made of, what is refused, and Table 1 as printed."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from neox_family import LARGEST, SUSPECT, TWIN, pretend

from repdiss_core.base.errors import UserError
from repdiss_core.bundled.family.recipe import FAMILY_MEMBERS
from repdiss_core.models import model_spec
from repdiss_core.models.pythia_table import PYTHIA_CONFIGS
from repdiss_core.studies.common import CkaView
from repdiss_core.studies.panels import request_for
from repdiss_core.studies.paper import figure_parts, figures_request
from repdiss_core.studies.scaling import question
from repdiss_core.studies.scaling.question import FamilyParams
from repdiss_core.studies.scaling.table1 import family_rows, pythia_rows, row_of_config, shape_table

# The print's Table 1: layers, d_model, heads, d_head, rotary_dim.
PRINTED = {
    "pythia-70m": (6, 512, 8, 64, 16),
    "pythia-160m": (12, 768, 12, 64, 16),
    "pythia-410m": (24, 1024, 16, 64, 16),
    "pythia-1b": (16, 2048, 8, 256, 64),
    "pythia-1.4b": (24, 2048, 16, 128, 32),
    "pythia-2.8b": (32, 2560, 32, 80, 20),
    "pythia-6.9b": (32, 4096, 32, 128, 32),
    "pythia-12b": (36, 5120, 40, 128, 32),
}


@pytest.fixture(autouse=True)
def family(monkeypatch, tmp_path) -> None:
    pretend(monkeypatch, tmp_path / "family")


def shapes(figure_id: str) -> list[list[tuple[str, str]]]:
    return [
        [(question.shape_of(p.row_name), question.shape_of(p.column_name)) for p in row]
        for row in question.figure_panels(FamilyParams(), figure_id)
    ]


def test_figures_are_the_papers_maps_with_our_shapes_in_their_places() -> None:
    spec = FamilyParams().spec
    assert shapes("fig3") == [[(shape, LARGEST) for shape in (TWIN, SUSPECT, "6l160-h32", LARGEST)]]
    assert shapes("fig10") == [[(shape, shape) for shape in ("2l64-h32", "3l96-h32", TWIN, "6l160-h32")]]
    assert shapes("fig9") == [
        [(shape, shape) for shape in spec.all_pairs],
        list(itertools.combinations(spec.all_pairs, 2)),
    ]
    assert len(spec.all_pairs) == 3
    for figure_id in ("fig3", "fig9", "fig10"):
        assert [part.panels for part in figure_parts(figure_id)] == list(
            question.figure_panels(FamilyParams(), figure_id)
        )


def test_members_go_from_small_to_large_and_seeds_of_a_shape_stand_together() -> None:
    names = question.members(question.MINI)
    assert set(names) == set(FAMILY_MEMBERS) and len(names) == 12
    sizes = [model_spec(name).n_parameters for name in names]
    assert sizes == sorted(sizes) and question.shape_of(names[-1]) == LARGEST
    assert [shape for shape, _ in itertools.groupby(map(question.shape_of, names))] == [
        "2l64-h32",
        "3l96-h32",
        TWIN,
        SUSPECT,
        "6l160-h32",
        LARGEST,
    ]
    assert question.seeds_of(question.MINI, SUSPECT) == tuple(f"mini-neox-{SUSPECT}-s{seed}" for seed in range(3))
    assert question.first_of(question.MINI, TWIN) == f"mini-neox-{TWIN}-s0"


def test_the_whole_family_is_every_pair_once_and_the_checkpoints_beside() -> None:
    panels = question.all_panels(FamilyParams())
    names, largest = question.members(question.MINI), question.members(question.MINI)[-1]
    assert len(question.family_pairs(names)) == 12 * 13 // 2
    checkpoints = question.checkpoint_pairs(question.MINI)
    steps = [f"mini-neox-{TWIN}-s0-step{n}" for n in (1000, 2000, 3000)] + [f"mini-neox-{SUSPECT}-s0-step2000"]
    assert set(checkpoints) == {(step, other) for step in steps for other in (step, step.rpartition("-")[0], largest)}
    keys = {p.comparison.key for p in panels}
    assert len(keys) == len(panels) == 78 + 12
    assert {
        p.comparison.key
        for f in ("fig3", "fig9", "fig10")
        for row in question.figure_panels(FamilyParams(), f)
        for p in row
    } <= keys


def test_rows_are_the_first_model_whichever_way_the_pair_is_stored() -> None:
    f, g = question.members(question.MINI)[0], question.members(question.MINI)[-1]
    one, other = question.pair_panel(FamilyParams(), f, g), question.pair_panel(FamilyParams(), g, f)
    assert one.comparison == other.comparison and one.swapped != other.swapped
    assert (one.row_name, one.column_name, one.title) == (f, g, "2l64-h32-s0 × 8l192-h32-s0")
    assert question.pair_panel(FamilyParams(), f, f).title == "Within 2l64-h32-s0"


def test_every_treatment_of_massive_tokens_is_another_comparison_and_the_reduction_is_not() -> None:
    name = question.members(question.MINI)[0]
    key = lambda **view: question.pair_panel(FamilyParams(cka=CkaView(**view)), name, name).comparison.key  # noqa: E731
    assert len({key(massive=way) for way in ("kept", "dropped", "normalised")}) == 3
    assert key() == key(reduction="ratio_of_means") == key(n_batches=3)


def test_the_command_line_asks_for_what_the_cards_ask_for() -> None:
    page = request_for(
        (c for f in ("fig3", "fig10") for part in figure_parts(f, FamilyParams()) for c in part.comparisons), 100
    )
    assert figures_request(("fig3", "fig10", "table1"), FamilyParams()).key == page.key
    assert figures_request(("table1",), FamilyParams()) is None


def test_families_that_cannot_be_compared_are_refused(monkeypatch, tmp_path) -> None:
    with pytest.raises(UserError, match=r"There is no family named 'mini-neo'\. Did you mean mini-neox"):
        FamilyParams("mini-neo")
    with pytest.raises(
        UserError, match=r"The family mini-neox has no trained member of shape 4l128-h16\. Train it: `python -m"
    ):
        question.seeds_of(question.MINI, "4l128-h16")
    spec = model_spec(question.members(question.MINI)[0])
    other = dataclasses.replace(spec, name="a-stranger", tokenizer="u" * 64)
    with pytest.raises(
        UserError,
        match=f"{spec.name} and a-stranger have different tokenizers, so the same text gives them different tokens",
    ):
        question.checked_members(question.MINI, [spec, other])
    for count, told in ((1, "1 model here"), (0, "0 models here")):
        pretend(monkeypatch, tmp_path / f"few{count}", tuple(FAMILY_MEMBERS)[:count])
        with pytest.raises(UserError, match=f"The family mini-neox has {told}; at least 2 are needed"):
            question.members(question.MINI)


def test_a_member_that_was_trained_after_the_start_is_known_at_once(monkeypatch, tmp_path) -> None:
    from repdiss_core.models import MODELS

    name = question.members(question.MINI)[0]
    monkeypatch.delitem(MODELS, name)
    assert name in question.members(question.MINI) and model_spec(name).name == name


def test_table_1_is_the_print() -> None:
    assert {
        row.name: (row.n_layers, row.d_model, row.n_heads, row.d_head, row.rotary_dim) for row in pythia_rows()
    } == PRINTED


def test_a_configuration_is_read_as_the_library_writes_it() -> None:
    from transformers import GPTNeoXConfig

    old = PYTHIA_CONFIGS["pythia-2.8b"]
    config = GPTNeoXConfig(hidden_size=2560, num_hidden_layers=32, num_attention_heads=32, rotary_pct=0.25).to_dict()
    assert "rotary_pct" not in config
    assert row_of_config("pythia-2.8b", config) == row_of_config("pythia-2.8b", old)


def test_the_bundled_family_has_a_row_a_shape_and_one_odd_head_dimension() -> None:
    rows = {row.shape: row for row in family_rows(question.MINI)}
    assert len(rows) == 6
    assert {shape for shape, row in rows.items() if row.d_head != 32} == {SUSPECT}
    twin, odd = rows[TWIN], rows[SUSPECT]
    assert (twin.n_layers, twin.d_model) == (odd.n_layers, odd.d_model) == (4, 128)
    assert (odd.n_heads, odd.d_head, odd.rotary_dim) == (16, 8, 2) and (twin.n_heads, twin.rotary_dim) == (4, 8)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_size": None}, r"The configuration of pythia-x lacks hidden_size\. Fetch its config.json anew"),
        ({"rotary_pct": None}, r"lacks rotary_pct \(or rope_parameters\.partial_rotary_factor\)"),
        ({"hidden_size": None, "num_hidden_layers": None}, r"lacks num_hidden_layers, hidden_size"),
        ({"num_attention_heads": 12}, "divides a width of 512 among 12 heads, which leaves a remainder"),
    ],
)
def test_bad_configurations_are_told_in_a_sentence(change, said) -> None:
    config = {k: v for k, v in (PYTHIA_CONFIGS["pythia-70m"] | change).items() if v is not None}
    with pytest.raises(UserError, match=said):
        row_of_config("pythia-x", config)


def test_the_table_carries_what_the_analysis_says_of_a_shape() -> None:
    table = shape_table("mini", family_rows(question.MINI), {SUSPECT: "departs"}).to_dict()
    assert table["columns"] == ["n_layers", "d_model", "n_heads", "d_head", "rotary_dim"]
    marked = {row["name"]: row["analysis"] for row in table["rows"]}
    assert marked[SUSPECT] == "departs" and set(marked.values()) == {"departs", None}

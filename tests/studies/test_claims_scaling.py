"""Claims of section 5: each verdict is reached by a family in which it was planted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from neox_family import DEEP, LARGEST, SUSPECT, TWIN, planted, pretend

from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.claims import Claim
from repdiss_core.studies.rules import FAILS, HOLDS, MISSING, UNDECIDED
from repdiss_core.studies.scaling.claims import headline, odd_shapes, scaling_claims
from repdiss_core.studies.scaling.question import FAMILIES, MINI, FamilyParams
from repdiss_core.studies.scaling.stored import blocks, load_family_results, odd_report, twins
from repdiss_core.studies.words import departure_sentence, finding, rests_on

EARLY, EARLY_OVER_LATE, BLOCKS, ODD, SHORT_BLOCK, BY_SIZE, BY_LOSS, AT_TOKENS, AT_LOSS = range(9)
THREE = {DEEP[0]: (0, 2, 5), DEEP[1]: (0, 3, 7)}  # an early block, a middle block, the last layer
WORSE = {(SUSPECT, 2): -0.15}
SEEDS = tuple(f"mini-neox-{SUSPECT}-s{i}" for i in range(3))


@pytest.fixture(autouse=True)
def family(monkeypatch, tmp_path) -> None:
    pretend(monkeypatch, tmp_path / "family")


def claim(which: int, **shown) -> Claim:
    return scaling_claims(planted(**shown))[which]


def expect(monkeypatch, odd: str, twin: str) -> None:
    """Makes another pair of shapes the suspect and its twin."""
    monkeypatch.setitem(FAMILIES, MINI, replace(FAMILIES[MINI], suspect=(odd, twin)))


@pytest.mark.parametrize(
    ("which", "shown", "wanted"),
    [
        (EARLY, {"level": 0.75}, HOLDS),
        (EARLY, {"level": 0.3}, FAILS),
        (EARLY, {"level": 0.43, "wild": 0.4}, UNDECIDED),
        (EARLY_OVER_LATE, {"tilt": 0.2}, HOLDS),
        (EARLY_OVER_LATE, {"tilt": -0.2}, FAILS),
        (EARLY_OVER_LATE, {"tilt": 0.0, "wild": 0.3}, UNDECIDED),
        (BLOCKS, {"blocks": THREE}, HOLDS),
        (BLOCKS, {"blocks": {}}, FAILS),
        (BLOCKS, {"blocks": {DEEP[0]: (0, 3)}}, UNDECIDED),
        (ODD, {"odd": {SUSPECT: -0.1}}, HOLDS),
        (ODD, {"odd": {SUSPECT: 0.1}}, HOLDS),
        (ODD, {"odd": {"6l160-h32": -0.1}}, FAILS),
        (ODD, {"noise": 0.0005}, FAILS),
        (ODD, {"noise": 0.05}, UNDECIDED),
        (SHORT_BLOCK, {}, UNDECIDED),
        (BY_SIZE, {"within_slope": 0.1}, HOLDS),
        (BY_SIZE, {"within_slope": -0.1}, FAILS),
        (BY_SIZE, {"within_slope": 0.0, "within_noise": 0.1}, UNDECIDED),
        (BY_LOSS, {"within_slope": 0.1}, HOLDS),
        (BY_LOSS, {"within_slope": -0.1}, FAILS),
        (BY_LOSS, {"within_slope": 0.0, "within_noise": 0.1}, UNDECIDED),
        (AT_TOKENS, {"layers": WORSE}, HOLDS),
        (AT_TOKENS, {"layers": {(SUSPECT, 2): 0.15}}, FAILS),
        (AT_TOKENS, {"noise": 0.0005}, FAILS),
        (AT_TOKENS, {"noise": 0.1}, UNDECIDED),
        (AT_LOSS, {"layers": WORSE}, HOLDS),
        (AT_LOSS, {"layers": {(SUSPECT, 2): 0.15}}, FAILS),
        (AT_LOSS, {"noise": 0.1}, UNDECIDED),
    ],
)  # fmt: skip
def test_every_verdict_is_reached(which, shown, wanted) -> None:
    found = claim(which, **shown)
    assert found.verdict == wanted, finding(found)


@pytest.mark.parametrize(
    ("starts", "wanted"),
    [
        ({DEEP[1]: (0, 2, 7), DEEP[0]: (0, 4)}, HOLDS),
        ({DEEP[1]: (0, 5), DEEP[0]: (0, 3)}, FAILS),
        ({DEEP[0]: (0, 3)}, FAILS),
    ],
)
def test_a_first_block_is_compared_with_the_twins_where_both_are_deep_enough(monkeypatch, starts, wanted) -> None:
    expect(monkeypatch, DEEP[1], DEEP[0])
    assert claim(SHORT_BLOCK, blocks=starts).verdict == wanted


def test_an_empty_cache_gives_no_verdict(tmp_path) -> None:
    loaded = load_family_results(ResultStore(tmp_path / "local", tmp_path / "packs"), FamilyParams())
    assert [one.verdict for one in scaling_claims(loaded)] == [MISSING] * 9
    assert headline(loaded) == "Not every pair of this family is computed at this setting yet."
    assert odd_shapes(loaded) == {}


def test_a_member_that_is_not_computed_leaves_its_claims_open() -> None:
    name = f"mini-neox-{LARGEST}-s0"
    partly = scaling_claims(planted(missing=((name, name),), blocks=THREE))
    assert [partly[which].verdict for which in (BLOCKS, BY_SIZE, BY_LOSS)] == [MISSING] * 3
    assert [partly[which].verdict for which in (EARLY, ODD, AT_TOKENS)] == [HOLDS, FAILS, FAILS]
    without = scaling_claims(planted(missing=((SEEDS[1], name),)))
    assert [without[which].verdict for which in (ODD, AT_TOKENS, AT_LOSS)] == [MISSING] * 3
    assert "-s1 against mini-neox-8l192-h32-s0 is not computed yet" in finding(without[AT_TOKENS])


def test_a_twin_that_is_as_bad_at_that_loss_takes_the_finding_back() -> None:
    """At equal tokens the suspect is worse; at equal loss the twin's checkpoints are so too."""
    early = {(f"mini-neox-{TWIN}-s0-step{step}", 2): -0.15 for step in (2000, 3000)}
    found = scaling_claims(planted(layers=WORSE | early, noise=0.002))
    assert (found[AT_TOKENS].verdict, found[AT_LOSS].verdict) == (HOLDS, FAILS)


def test_equal_loss_lies_between_the_two_checkpoints_around_it() -> None:
    found = twins(planted(layers=WORSE | {(f"mini-neox-{TWIN}-s0-step2000", 2): -0.15}, noise=0.001))
    losses = {name.rpartition("-")[2]: loss for name, (loss, _) in found.twin_path.items()}
    assert list(losses) == ["step1000", "step2000", "step3000", "s0"]
    assert losses["step3000"] < found.odd_losses.min() < found.odd_losses.max() < losses["step2000"]
    share = (found.odd_losses.mean() - losses["step3000"]) / (losses["step2000"] - losses["step3000"])
    assert [d.mean for d in found.equal_tokens] == pytest.approx([0, -0.15, 0, 0], abs=0.01)
    assert [d.mean for d in found.equal_loss] == pytest.approx([0, -0.15 * (1 - share), 0, 0], abs=0.01)
    assert found.joint[1].interval[0] < found.equal_tokens[1].interval[0]
    assert [found.tokens[name] for name in found.twin_path] == [1024 * step for step in (1000, 2000, 3000, 4000)]


def test_a_loss_outside_the_twins_path_is_told_and_not_extrapolated(monkeypatch) -> None:
    expect(monkeypatch, TWIN, SUSPECT)
    found = claim(AT_LOSS, layers=WORSE)
    assert found.verdict == UNDECIDED
    assert "lies outside, and nothing is extrapolated" in finding(found)


def test_planted_blocks_are_recovered_and_a_smooth_map_has_none() -> None:
    loaded = planted(blocks={DEEP[1]: (0, 3, 7)})
    found = blocks(loaded, f"mini-neox-{DEEP[1]}-s0")
    assert found.segmentation.blocks == ((0, 3), (3, 7), (7, 8))
    assert found.support == (1.0, 1.0) and found.contrast[0] > 0.1
    smooth = blocks(loaded, f"mini-neox-{DEEP[0]}-s0")
    assert smooth.segmentation.blocks == () and not smooth.segmentation.found
    assert "too shallow for blocks; at least 6" in blocks(loaded, f"mini-neox-{TWIN}-s0")
    told = finding(scaling_claims(loaded)[BLOCKS])
    assert "6l160-h32-s0: no blocks" in told and "8l192-h32-s0: layers 1–3, 4–7, 8, contrast 0." in told


def test_the_planted_odd_member_is_named_with_its_size_in_claim_headline_and_table() -> None:
    loaded = planted(odd={SUSPECT: -0.1})
    assert [d.shape for d in odd_report(loaded).odd] == [SUSPECT]
    lead = "The member with the odd head dimension is the odd one out of the family"
    assert headline(loaded).startswith(f"{lead}: this holds. Odd: {SUSPECT}, whose mean CKA with the others is −0.1")
    odd = odd_shapes(loaded)
    assert list(odd) == [SUSPECT] and departure_sentence(odd[SUSPECT]).startswith("departs by −0.1")
    basis = rests_on(scaling_claims(loaded)[ODD])
    assert "12 members" in basis and "corrected for 6 shapes" in basis
    assert f". No shape is odd: {SUSPECT}, whose mean CKA" in headline(planted())

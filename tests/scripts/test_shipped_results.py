"""What ships is what this code computes: samples are computed anew and compared."""

from __future__ import annotations

import numpy as np
import pytest

from repdiss_core.base.comparison import Comparison, Request
from repdiss_core.base.paths import bundled_root
from repdiss_core.data import versions_differ
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.run import Engine
from repdiss_core.scripts.ship.results import KINDS, comparisons
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.asymmetry.claims import asymmetry_claims
from repdiss_core.studies.asymmetry.question import DEPTHS, AsymmetryParams, paper_curves
from repdiss_core.studies.panels import load_curve, load_hsic, load_stitch
from repdiss_core.studies.paper import FIGURES, figure_parts
from repdiss_core.studies.presets import preset
from repdiss_core.studies.rules import MISSING

ASYMMETRY = [spec.figure_id for spec in FIGURES.values() if spec.study == "asymmetry"]


def compute(comparison: Comparison, n_batches: int) -> ResultStore:
    store = ResultStore.open()
    Engine(store, ActivationCache(budget_bytes=0)).run(Request((comparison,), n_batches), lambda *progress: None)
    return store


def pinned_versions() -> None:
    """Where other package versions are installed the text differs, and so do all numbers: the page says so too."""
    if differ := versions_differ("docstrings"):
        pytest.skip(f"the shipped numbers belong to the pinned versions; {differ[0]}")


@pytest.mark.parametrize("figure_id", ASYMMETRY)
def test_every_figure_of_the_study_ships(figure_id) -> None:
    store = ResultStore.open()
    for part in figure_parts(figure_id, AsymmetryParams(stitch="reference" if figure_id == "fig6" else "quick")):
        missing = [c.key for c in part.comparisons if store.get_shipped(c.key) is None]
        assert not missing, (
            f"{figure_id}: {len(missing)} of {len(part.comparisons)} results do not ship; run `make results`."
        )


@pytest.mark.parametrize("kind", KINDS)
def test_packs_hold_what_the_code_asks_for_and_nothing_else(kind) -> None:
    store = ResultStore.open()
    wanted = {c.key for c in comparisons(kind)}
    assert wanted <= set(store.keys("shipped"))
    every = {c.key for k in KINDS for c in comparisons(k)}
    assert set(store.keys("shipped")) == every, (
        "a shipped result belongs to no figure: weights, data or settings changed; run `make results`."
    )
    assert not store.problems


def test_packs_are_small() -> None:
    assert sum(path.stat().st_size for path in bundled_root().glob("*")) < 28 * 2**20


@pytest.mark.parametrize("index", [0, 37, 120])
def test_cka_computed_anew_is_the_same(index) -> None:
    pinned_versions()
    comparison = comparisons("cka")[index]
    shipped, _ = load_hsic(ResultStore.open(), comparison)
    fresh, entry = load_hsic(compute(comparison, 3), comparison, 3)
    assert entry.origin == "local"
    for name in ("cross", "self_f", "self_g"):
        scale = np.abs(getattr(shipped, name)[:3]).max()
        np.testing.assert_allclose(getattr(fresh, name), getattr(shipped, name)[:3], atol=2e-6 * scale)


def test_own_losses_are_those_of_the_facts() -> None:
    pinned_versions()
    from repdiss_core.models import model_spec

    for depth in DEPTHS:
        for spec in paper_curves(AsymmetryParams(depth=depth)):
            for name, loss in load_curve(ResultStore.open(), spec).own_losses.items():
                assert loss == pytest.approx(model_spec(name).validation_loss, abs=0.1), name


@pytest.mark.slow
def test_a_quick_stitch_trained_anew_is_the_same() -> None:
    pinned_versions()
    comparison = paper_curves(AsymmetryParams())[0].comparisons[1]
    shipped, _ = load_stitch(ResultStore.open(), comparison)
    fresh, entry = load_stitch(compute(comparison, 1), comparison)
    assert entry.origin == "local" and fresh.complete
    np.testing.assert_allclose(fresh.loss, shipped.loss, atol=2e-3)
    np.testing.assert_allclose(fresh.loss_closed_form, shipped.loss_closed_form, atol=2e-4)


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_claim_has_a_verdict_from_what_ships(depth) -> None:
    verdicts = {claim.verdict for claim in asymmetry_claims(ResultStore.open(), AsymmetryParams(depth=depth))}
    assert MISSING not in verdicts


def test_the_default_figure_rests_on_the_default_batches() -> None:
    batches, entry = load_hsic(ResultStore.open(), comparisons("cka")[0])
    assert entry.origin == "shipped"
    assert batches.n_batches == preset("bundled").cka_batches

"""The facts file agrees with the files that ship, and the models are what they are said to be."""

from __future__ import annotations

import pytest
from safetensors import safe_open

from repdiss_core import bundled
from repdiss_core.bundled.recipe import BUNDLED_MODELS

MODELS = bundled.facts()["models"]


def test_all_ten_models_ship_and_are_final():
    assert set(MODELS) == set(BUNDLED_MODELS) == {p.stem for p in bundled.WEIGHTS_FOLDER.glob("*.safetensors")}
    assert {entry["state"] for entry in MODELS.values()} == {"final"}


def test_weights_are_small_and_hash_to_the_facts():
    paths = sorted(bundled.WEIGHTS_FOLDER.glob("*.safetensors"))
    assert sum(path.stat().st_size for path in paths) <= 35e6
    for path in paths:
        assert bundled.file_hash(path) == MODELS[path.stem]["weights"]
        with safe_open(path, "np") as file:
            shapes = [file.get_slice(key) for key in file.keys()]
            assert {piece.get_dtype() for piece in shapes} == {"F16"}
            assert sum(_size(piece.get_shape()) for piece in shapes) == MODELS[path.stem]["n_parameters"]


def _size(shape: list[int]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product


@pytest.mark.parametrize("depth", [3, 4])
def test_losses_of_one_depth_are_equal(depth: int):
    entries = [entry for entry in MODELS.values() if entry["architecture"]["n_layers"] == depth]
    losses = [entry["validation_loss"] for entry in entries]
    gap = max(losses) - min(losses)
    assert gap <= 0.04
    assert all(entry["loss_gap_of_depth"] == pytest.approx(gap, abs=2e-4) for entry in entries)


def test_models_learnt_more_than_pairs_of_tokens():
    baselines = bundled.facts()["data"]["docstrings"]["baselines"]
    assert baselines["bigram"] < baselines["unigram"]
    for name, entry in MODELS.items():
        assert entry["validation_loss"] < baselines["bigram"] - 0.5, name
        assert entry["tokens_seen"] >= 3_800_000
        assert abs(entry["validation_loss"] - entry["validation_loss_before_rounding"]) < 0.002
        assert entry["loss_curve"][0]["eval"] > entry["loss_curve"][-1]["eval"]
        assert entry["seed"] == BUNDLED_MODELS[name].seed and "repdiss_core.bundled.train" in entry["command"]


def test_versions_and_splits_are_recorded():
    facts = bundled.facts()
    assert set(facts["versions"]) >= {"torch", "transformer-lens", "tokenizers", "numpy", "python"}
    splits = facts["data"]["docstrings"]["splits"]
    assert len({entry["content"] for entry in splits.values()}) == 3
    assert all(len(entry["content"]) == 64 for entry in splits.values())

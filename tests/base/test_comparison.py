"""Keys: everything that changes numbers is in them, and nothing else."""

from __future__ import annotations

import dataclasses
import json

import pytest

from repdiss_core.base.comparison import Comparison, DataId, ModelId, Request, cka_comparison

DATA = DataId("docstrings", "eval", "c" * 64, 8, 128, 0)
F, G = ModelId("a", "1" * 64), ModelId("b", "2" * 64)


def cka(**changes) -> Comparison:
    return dataclasses.replace(
        Comparison("cka", F, G, DATA, settings=(("estimator", "unbiased"), ("flatten", "token"))), **changes
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"f": ModelId("a", "3" * 64)},
        {"data": dataclasses.replace(DATA, content="d" * 64)},
        {"data": dataclasses.replace(DATA, seed=1)},
        {"data": dataclasses.replace(DATA, tokens_per_sequence=64)},
        {"hook": "mlp_out"},
        {"resid_mean": "kept"},
        {"dtype": "bfloat16"},
        {"measure_version": 2},
        {"settings": (("estimator", "biased"), ("flatten", "token"))},
    ],
)
def test_what_changes_numbers_changes_the_key(changes) -> None:
    assert cka().key != cka(**changes).key


def test_order_of_settings_does_not_matter() -> None:
    assert cka().key == cka(settings=(("flatten", "token"), ("estimator", "unbiased"))).key


def test_a_pair_has_one_canonical_order() -> None:
    forward, backward = cka_comparison(F, G, DATA), cka_comparison(G, F, DATA)
    assert forward[0] == backward[0]
    assert (forward[1], backward[1]) == (False, True)


def test_round_trip_through_json() -> None:
    request = Request((cka(), cka(resid_mean="kept")), 7)
    again = Request.from_dict(json.loads(json.dumps(request.to_dict())))
    assert again == request and again.key == request.key


def test_request_key_ignores_order_but_not_batches() -> None:
    one, two = cka(), cka(resid_mean="kept")
    assert Request((one, two), 5).key == Request((two, one), 5).key
    assert Request((one, two), 5).key != Request((one, two), 6).key

"""Claims as rows of numbers: what is shown is what was found."""

import numpy as np

from repdiss_core.analysis.intervals import over_samples
from repdiss_core.studies.asymmetry.claims import _sentence
from repdiss_core.studies.claims import Claim
from repdiss_core.ui.cards.claims_list import _table, split_found


def test_every_layer_of_a_found_sentence_becomes_a_number_with_its_interval():
    differences = over_samples(np.random.default_rng(0).normal([[0.3], [0.0], [-0.2]], 0.1, (3, 50)))
    sentence, numbers = split_found(_sentence(differences, "for these two models"))
    assert sentence == "Reversed at layer 3 for these two models."
    assert [value for value, _ in numbers] == [f"{mean:+.3f}".replace("-", "\u2212") for mean in differences.mean]
    assert numbers[0][1] == f"[{differences.lower[0]:+.3f}, {differences.upper[0]:+.3f}]"


def test_a_claim_without_numbers_leaves_its_cells_empty():
    found = Claim(
        "s",
        "these models",
        "holds",
        "True at every layer: difference in nats a token, layer 1: +0.100 [+0.050, +0.150].",
        "",
        "fig1",
    )
    absent = Claim("s", "the activation function", "undecided", "Too few seeds.", "", "fig1")
    head, _, first, second = _table([found, absent]).splitlines()
    assert head.endswith("| layer 1 |")
    assert ":green-badge[:material/check: holds]" in first and "**\\+0\\.100**" in first
    assert second.endswith("|  |")

"""Claims as rows of numbers: what is shown is what was measured."""

from dataclasses import replace

import numpy as np

from repdiss_core.analysis.intervals import over_samples
from repdiss_core.studies.asymmetry.claims import effects_by_layer
from repdiss_core.studies.claims import Claim
from repdiss_core.studies.evidence import Basis, Evidence, Obstacle
from repdiss_core.studies.phrases import by_layer
from repdiss_core.studies.words import finding, summary
from repdiss_core.ui.cards.claims_list import _table


def claim(*means: float) -> Claim:
    differences = over_samples(np.random.default_rng(0).normal(np.array(means)[:, None], 0.1, (len(means), 50)))
    facts = {"gelu": "a", "solu": "b", "sequences": 50, "layers": len(means)}
    evidence = Evidence(effects_by_layer(differences), Basis("sequences", facts))
    return Claim("s", "asymmetry", "S.", "models", "every-layer", "fig1", evidence, phrase="layers")


def test_every_layer_of_a_claim_is_a_number_with_its_interval_and_in_its_sentence() -> None:
    made = claim(0.3, 0.0, -0.2)
    assert summary(made) == "Reversed at layer 3 for these two models."
    assert [effect.where for effect in by_layer(made)] == ["layer 1", "layer 2", "layer 3"]
    last = by_layer(made)[-1]
    written = f"layer 3: {last.value:+.3f} [{last.low:+.3f}, {last.high:+.3f}].".replace("-", "\u2212")
    assert finding(made).startswith(
        "Reversed at layer 3 for these two models: difference in nats a token, layer 1: +0."
    )
    assert finding(made).endswith(written)


def test_a_claim_without_numbers_leaves_its_cells_empty() -> None:
    obstacle = Obstacle("cannot-be-asked", "few seeds", {"gelu": 2, "solu": 2, "needed": 3})
    holds = claim(0.3)
    absent = replace(holds, scope="activation", evidence=Evidence(()), obstacle=obstacle)
    head, _, first, second = _table([holds, absent]).splitlines()
    assert head.startswith("| difference in nats a token |") and head.endswith("| layer 1 |")
    assert ":green-badge[:material/check: holds]" in first and "**\\+0\\." in first
    assert ":gray-badge[:material/question_mark: undecided]" in second and second.endswith("|  |")

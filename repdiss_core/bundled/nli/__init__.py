"""The bundled NLI classifiers: facts and places. Imports nothing heavy.

One tiny BERT is pre-trained once; every classifier is fine-tuned from it and differs from its group only in the first
values of the classifier's weights and in the order of the batches (the design of McCoy et al. 2020).
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repdiss_core.base.errors import UserError, unknown_name

FOLDER = Path(__file__).resolve().parent
WEIGHTS_FOLDER = FOLDER / "weights"
FACTS_FILE = FOLDER / "facts.json"


@dataclass(frozen=True)
class PopulationSpec:
    """A population of classifiers.

    Args:
        groups: (prefix of the models' names, number of models, counter-examples among the training pairs, data seed).
        constructed: True where the groups were made to differ by their training data, so that a gap is no finding.
    """

    name: str
    label: str
    groups: tuple[tuple[str, int, float, int], ...]
    constructed: bool
    note: str


POPULATIONS = {
    spec.name: spec
    for spec in (
        PopulationSpec(
            "natural",
            "24 fine-tunings, natural variability",
            (("nli-natural-", 24, 0.035, 101),),
            False,
            "24 fine-tunings of one pre-trained model that differ only in classifier initialisation and batch order.",
        ),
        PopulationSpec(
            "constructed",
            "8 + 8, constructed control",
            (("nli-0pct-", 8, 0.0, 102), ("nli-15pct-", 8, 0.15, 103)),
            True,
            "Constructed: 8 models saw no counter-example and 8 saw 15 % of them, so that the groups differ by design.",
        ),
    )
}


@dataclass(frozen=True)
class Member:
    """One classifier to train: its name and what it is trained with."""

    name: str
    population: str
    counter_examples: float
    data_seed: int
    classifier_seed: int
    order_seed: int


def members(population: str) -> tuple[Member, ...]:
    """The classifiers of a population, in the order of their names."""
    if population not in POPULATIONS:
        raise unknown_name("population", population, list(POPULATIONS), "python -m repdiss_core list models")
    found = []
    for prefix, n_models, counter_examples, data_seed in POPULATIONS[population].groups:
        for i in range(n_models):
            found.append(
                Member(
                    f"{prefix}{i:02d}",
                    population,
                    counter_examples,
                    data_seed,
                    1000 + data_seed * 100 + i,
                    2000 + data_seed * 100 + i,
                )
            )
    return tuple(found)


def facts() -> dict[str, Any]:
    """Accuracies, hashes and recipe of the trained classifiers; read again when the file has changed."""
    if not FACTS_FILE.exists():
        raise UserError(
            f"The facts about the NLI classifiers are missing ({FACTS_FILE}); "
            "restore the file or train them (`python -m repdiss_core.scripts.train.nli`)."
        )
    return _read(FACTS_FILE.stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _read(_modified: int) -> dict[str, Any]:
    return json.loads(FACTS_FILE.read_text("utf-8"))


def weights_file(name: str) -> Path:
    """Where a classifier's weights stand."""
    return WEIGHTS_FOLDER / f"{name}.safetensors"

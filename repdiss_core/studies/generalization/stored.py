"""What the figures of section 4 rest on, read from the cache once for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from repdiss_core.analysis.groups import Groups, PermutationTest, permutation_test, split_groups
from repdiss_core.measures import cka_distance
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.generalization import question
from repdiss_core.studies.generalization.question import PopulationParams
from repdiss_core.studies.population import PopulationAccuracy, PopulationCka, load_accuracy, load_cka

KEPT_CHOICES = 24
KEPT = 64  # tests remembered: several figures and claims of one choice rest on each


@dataclass(frozen=True, eq=False)
class PopulationResults:
    """Everything that the figures of one choice rest on; `cka` and `accuracy` by set.

    Args:
        groups: the best and worst k by the ranking set.
        overlap_accuracy: each model's accuracy on the measured overlap set, for colours.
    """

    params: PopulationParams
    groups: Groups
    overlap_accuracy: dict[str, float]
    cka: dict[str, PopulationCka]
    accuracy: dict[str, PopulationAccuracy]

    def group_cka(self, set_name: str) -> np.ndarray | None:
        """(2k, 2k, L) CKA of the groups' models, None where a pair is missing."""
        found = self.cka[set_name].of(self.groups.models)
        return found if found.shape[-1] and np.isfinite(found).all() else None

    def group_penalty(self, set_name: str) -> np.ndarray | None:
        """(2k, 2k, L+1) what a stitch costs against the top model's own accuracy, None where a pair is missing."""
        found = self.accuracy[set_name].penalty
        return found if found.shape[-1] and np.isfinite(found).all() else None

    def distance(self, set_name: str) -> np.ndarray | None:
        """(M, M) equation (2) between all models of the population, None where a pair is missing."""
        values = self.cka[set_name].values
        if not values.shape[-1] or not np.isfinite(values).all():
            return None
        distance = np.asarray(cka_distance(values), dtype=float)
        np.fill_diagonal(distance, 0.0)
        return distance


def load_population_results(store: ResultStore, params: PopulationParams) -> PopulationResults:
    """Read what is stored of a choice: CKA of the whole population, stitched accuracies of the two groups."""
    groups = split_groups(question.accuracies(params.population, params.rank_by), params.k)
    accuracy = question.accuracies(params.population, params.overlap)
    return PopulationResults(
        params,
        groups,
        {name: accuracy[name] for name in groups.models} if params.population == question.FEATHER else accuracy,
        {name: load_cka(store, question.cka_pairs(params, name), params.chunks) for name in params.sets},
        {name: load_accuracy(store, question.stitched_pairs(params, name, groups.models)) for name in params.sets},
    )


def loaded(store: ResultStore, params: PopulationParams) -> PopulationResults:
    """`load`, from memory until something is stored anew."""
    return _loaded(store, params, store.version)


@lru_cache(maxsize=KEPT_CHOICES)
def _loaded(store: ResultStore, params: PopulationParams, _version: tuple[int, ...]) -> PopulationResults:
    return load_population_results(store, params)


@lru_cache(maxsize=KEPT)
def cka_test(loaded: PopulationResults, set_name: str) -> PermutationTest | None:
    """Whether CKA is higher within groups than between, layer by layer."""
    values = loaded.group_cka(set_name)
    return None if values is None else permutation_test(values, loaded.groups.is_top)


@lru_cache(maxsize=KEPT)
def penalty_test(loaded: PopulationResults, set_name: str, statistic: str = "gap") -> PermutationTest | None:
    """Whether a stitch between groups costs more than one within (the gap then is negative), cut by cut."""
    values = loaded.group_penalty(set_name)
    return None if values is None else permutation_test(values, loaded.groups.is_top, statistic)

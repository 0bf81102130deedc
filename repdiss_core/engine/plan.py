"""Which comparisons share forward passes."""

from __future__ import annotations

from dataclasses import dataclass

from repdiss_core.base.comparison import Comparison, DataId, ModelId, Request
from repdiss_core.base.errors import UserError
from repdiss_core.measures import MEASURES


@dataclass(frozen=True)
class FeatureGroup:
    """Comparisons of features that read the same batches: M models cost M forward passes a batch, never M²."""

    data: DataId
    comparisons: tuple[Comparison, ...]

    @property
    def models(self) -> tuple[ModelId, ...]:
        """The distinct models, in order of name."""
        return tuple(sorted({m for c in self.comparisons for m in (c.f, c.g)}))


@dataclass(frozen=True)
class StitchGroup:
    """Stitches of one f into one g at one setting: f's lower part runs once for all of them."""

    comparisons: tuple[Comparison, ...]

    @property
    def measure(self) -> str:
        """ "stitching" or "identity_stitching"."""
        return self.comparisons[0].measure


@dataclass(frozen=True)
class PopulationGroup:
    """Many pairs of one population at equal layers ("same") or at every cut ("cuts"): M models run once, whatever the pairs."""

    data: DataId
    comparisons: tuple[Comparison, ...]

    @property
    def models(self) -> tuple[ModelId, ...]:
        """The distinct models, in order of name."""
        return tuple(sorted({m for c in self.comparisons for m in (c.f, c.g)}))

    @property
    def measure(self) -> str:
        """ "cka" or "stitched_accuracy"."""
        return self.comparisons[0].measure


@dataclass(frozen=True)
class TokenGroup:
    """Alignments of single tokens, a batch and a pair of layers each, that read one stream."""

    data: DataId
    comparisons: tuple[Comparison, ...]


Group = FeatureGroup | StitchGroup | PopulationGroup | TokenGroup
TOKENS = "token_alignment"
POPULATION_PAIRS = ("same", "cuts")


def plan(request: Request) -> tuple[Group, ...]:
    """The request cut into groups, feature groups first (they are quick), in a reproducible order."""
    features: dict[tuple, list[Comparison]] = {}
    stitches: dict[tuple, list[Comparison]] = {}
    populations: dict[tuple, list[Comparison]] = {}
    tokens: dict[DataId, list[Comparison]] = {}
    for comparison in sorted(request.comparisons, key=lambda c: c.key):
        if comparison.measure not in MEASURES:
            raise UserError(f"There is no measure {comparison.measure!r}; known: {', '.join(MEASURES)}.")
        if comparison.measure == TOKENS:
            tokens.setdefault(comparison.data, []).append(comparison)
        elif comparison.layer_pairs in POPULATION_PAIRS:
            alike = (
                comparison.measure,
                comparison.data,
                comparison.hook,
                comparison.resid_mean,
                comparison.dtype,
                comparison.settings,
            )
            populations.setdefault(alike, []).append(comparison)
        elif MEASURES[comparison.measure].needs == "features":
            features.setdefault((comparison.data, comparison.hook, comparison.dtype), []).append(comparison)
        else:
            c = comparison
            stitches.setdefault((c.measure, c.f, c.g, c.data, c.settings), []).append(comparison)
    groups: list[Group] = [TokenGroup(data, tuple(members)) for data, members in sorted(tokens.items())]
    groups += [FeatureGroup(members[0].data, tuple(members)) for _, members in sorted(features.items())]
    groups += [PopulationGroup(members[0].data, tuple(members)) for _, members in sorted(populations.items())]
    groups += [
        StitchGroup(tuple(sorted(members, key=lambda c: c.layer_pair))) for _, members in sorted(stitches.items())
    ]
    return tuple(groups)

"""Which comparisons share forward passes. What each measure needs, its spec says."""

from __future__ import annotations

from collections.abc import Hashable

from repdiss_core.base.comparison import Comparison, Request
from repdiss_core.base.layer_pairs import SameLayers
from repdiss_core.engine.groups import (
    AccuracyGroup,
    FeatureGroup,
    Group,
    PooledGroup,
    SameLayerGroup,
    StitchGroup,
    TokenGroup,
)
from repdiss_core.measures import Pass, spec_of

# In the order in which groups run: quick ones first.
KINDS: tuple[type[Group], ...] = (TokenGroup, FeatureGroup, PooledGroup, SameLayerGroup, AccuracyGroup, StitchGroup)
OF_PASS: dict[Pass, type[Group]] = {
    Pass.BATCH: FeatureGroup,
    Pass.POOLED: PooledGroup,
    Pass.STITCH: StitchGroup,
    Pass.ACCURACY: AccuracyGroup,
    Pass.TOKENS: TokenGroup,
}


def plan(request: Request) -> tuple[Group, ...]:
    """The request cut into groups, in a reproducible order.

    Raises:
        UserError: a measure that there is not, or that has no such layer pairs or settings.
    """
    members: dict[tuple[int, Hashable], list[Comparison]] = {}
    for comparison in sorted(request.comparisons, key=lambda c: c.key):
        spec_of(comparison).check(comparison)
        kind = kind_of(comparison)
        members.setdefault((KINDS.index(kind), _shared(kind, comparison)), []).append(comparison)
    groups = []
    for place, shared in sorted(members, key=lambda key: (key[0], repr(key[1]))):
        found = members[place, shared]
        if KINDS[place] is StitchGroup:
            found = sorted(found, key=lambda c: c.layer_pair)
        groups.append(KINDS[place](tuple(found)))
    return tuple(groups)


def kind_of(comparison: Comparison) -> type[Group]:
    """The group that computes a comparison."""
    kind = OF_PASS[spec_of(comparison).runs]
    return SameLayerGroup if kind is FeatureGroup and isinstance(comparison.layer_pairs, SameLayers) else kind


def _shared(kind: type[Group], c: Comparison) -> Hashable:
    """What comparisons of one group have in common."""
    if kind is TokenGroup:
        return c.data, c.dtype
    if kind is FeatureGroup:
        return c.data, c.hook, c.dtype
    if kind is PooledGroup:
        return c.data, c.hook, c.dtype, spec_of(c).chosen(c)["fit_batches"]
    if kind is StitchGroup:
        return c.measure, c.f, c.g, c.data, c.settings
    return c.measure, c.data, c.hook, c.resid_mean, c.dtype, c.settings

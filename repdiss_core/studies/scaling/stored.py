"""What the figures of section 5 rest on, read from the cache once for all of them,
and what the analysis finds in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from repdiss_core.analysis.blocks import SegmentationInterval, segment_batches
from repdiss_core.analysis.family import OddReport, Trend, early_and_late, odd_members, over_shapes, trend
from repdiss_core.analysis.twins import SeedDifference, difference_at_loss, seed_difference
from repdiss_core.base.errors import UserError
from repdiss_core.measures.reduction import mean_interval
from repdiss_core.models import ModelSpec, model_spec
from repdiss_core.models.family import family_checkpoints
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.scaling import question
from repdiss_core.studies.scaling.family_maps import FamilyMaps, load_family
from repdiss_core.studies.scaling.question import FamilyParams

KEPT_CHOICES = 8
KEPT = 16  # choices whose analysis is remembered


@dataclass(frozen=True, eq=False)
class FamilyResults:
    """Everything that the figures of one choice rest on."""

    params: FamilyParams
    maps: FamilyMaps
    specs: tuple[ModelSpec, ...]

    @property
    def size(self) -> np.ndarray:
        """(M,) log10 of the parameters."""
        return np.log10([spec.n_parameters for spec in self.specs])

    @property
    def loss(self) -> np.ndarray:
        """(M,) validation loss, nats a token."""
        return np.array([spec.validation_loss for spec in self.specs])

    @property
    def shapes(self) -> tuple[str, ...]:
        """(M,) the shape of each member."""
        return tuple(question.shape_of(spec.name) for spec in self.specs)

    @property
    def regular(self) -> tuple[str, ...]:
        """The shapes but the suspect, small ones first."""
        suspect = self.params.spec.suspect
        return tuple(shape for shape in dict.fromkeys(self.shapes) if suspect is None or shape != suspect[0])

    def of(self, shape: str) -> list[int]:
        """Where the members of a shape stand."""
        return [i for i, own in enumerate(self.shapes) if own == shape]

    @property
    def reference(self) -> str:
        """The largest member."""
        return self.maps.members[-1]


def load_family_results(store: ResultStore, params: FamilyParams) -> FamilyResults:
    """Read what is stored of a family at the chosen settings."""
    names = question.members(params.family)
    specs = tuple(model_spec(name) for name in names)
    view = params.cka
    maps = load_family(
        store, names, tuple(s.n_layers for s in specs), question.all_panels(params), view.n_batches, view.reduction
    )
    return FamilyResults(params, maps, specs)


def loaded(store: ResultStore, params: FamilyParams) -> FamilyResults:
    """`load`, from memory until something is stored anew."""
    return _loaded(store, params, store.version)


@lru_cache(maxsize=KEPT_CHOICES)
def _loaded(store: ResultStore, params: FamilyParams, _version: tuple[int, ...]) -> FamilyResults:
    return load_family_results(store, params)


@lru_cache(maxsize=256)
def blocks(loaded: FamilyResults, name: str) -> SegmentationInterval | str:
    """The blocks of a member's own map, or a sentence on why there is no answer."""
    found = loaded.maps.map(name, name)
    if found is None:
        return "not computed yet"
    try:
        return segment_batches(found.values)
    except UserError as error:
        return str(error)


@lru_cache(maxsize=KEPT)
def within(loaded: FamilyResults) -> np.ndarray:
    """(4, M) mean CKA of different layers of each member: value, standard error,
    lower and upper end of the interval over batches."""
    rows = []
    for name in loaded.maps.members:
        found = loaded.maps.map(name, name)
        if found is None or found.values.shape[1] < 2:
            rows.append((np.nan,) * 4)
            continue
        off = ~np.eye(found.values.shape[1], dtype=bool)
        rows.append(mean_interval(found.values[:, off].mean(axis=1)))
    return np.array(rows).T


@lru_cache(maxsize=KEPT)
def within_trend(loaded: FamilyResults, against: str) -> Trend | str:
    """Within-model similarity of the regular shapes against "size" or "loss", or why there is none."""
    x = loaded.size if against == "size" else loaded.loss
    shapes = loaded.regular
    try:
        return trend(
            [float(np.mean(x[loaded.of(s)])) for s in shapes],
            [float(np.mean(within(loaded)[0][loaded.of(s)])) for s in shapes],
        )
    except UserError as error:
        return str(error)


@lru_cache(maxsize=KEPT)
def early_late(loaded: FamilyResults) -> tuple[np.ndarray, np.ndarray]:
    """((S, S) CKA of the first third of the layers of two regular shapes, the same of the last third):
    means over their members."""
    shapes = loaded.regular
    early, late = (np.full((len(shapes), len(shapes)), np.nan) for _ in range(2))
    for i, p in enumerate(shapes):
        for j, q in enumerate(shapes):
            if p == q:
                continue
            found = [
                loaded.maps.map(loaded.maps.members[a], loaded.maps.members[b])
                for a in loaded.of(p)
                for b in loaded.of(q)
            ]
            if all(one is not None for one in found):
                early[i, j], late[i, j] = np.mean(
                    [early_and_late(one.mean) for one in found if one is not None], axis=0
                )
    return early, late


def early_late_summary(loaded: FamilyResults) -> dict[str, tuple[float, np.ndarray]] | str:
    """Mean and interval over shapes of early CKA, of late CKA and of their difference, or why there is none."""
    early, late = early_late(loaded)
    try:
        return {"early": over_shapes(early), "late": over_shapes(late), "early minus late": over_shapes(early - late)}
    except UserError as error:
        return str(error)


@lru_cache(maxsize=KEPT)
def odd_report(loaded: FamilyResults) -> OddReport | str:
    """Which shapes break the family's trend, or why nothing can be said."""
    try:
        return odd_members(loaded.maps.means(), loaded.size, loaded.shapes)
    except UserError as error:
        return str(error)


@dataclass(frozen=True, eq=False)
class Twins:
    """The suspect and its twin, layer by layer, each compared with the largest member.

    Args:
        odd, twin: (seeds, L) best match of each layer with any layer of the largest member, at the end of training.
        odd_losses, twin_losses: (seeds,).
        odd_path, twin_path: {name of seed 0 or its checkpoint: (loss, (L,) best match)}, in the order of training, the
            end last.
        tokens: {name: tokens seen}.
        equal_tokens, equal_loss: the difference of each layer; `equal_loss` is a sentence where it cannot be told.
        joint: the first of them with intervals that hold for all layers together.
    """

    odd: np.ndarray
    twin: np.ndarray
    odd_losses: np.ndarray
    twin_losses: np.ndarray
    odd_path: dict[str, tuple[float, np.ndarray]]
    twin_path: dict[str, tuple[float, np.ndarray]]
    tokens: dict[str, int]
    equal_tokens: tuple[SeedDifference, ...]
    joint: tuple[SeedDifference, ...]
    equal_loss: tuple[SeedDifference, ...] | str


@lru_cache(maxsize=KEPT)
def twins(loaded: FamilyResults) -> Twins | str:
    """The controlled experiment on the head dimension, or why it cannot be told yet."""
    if loaded.params.spec.suspect is None:
        return "This family has no twin that differs in its head dimension alone."
    try:
        odd_names, twin_names = (question.seeds_of(loaded.params.family, shape) for shape in loaded.params.spec.suspect)
        odd, twin = (np.stack([_best_match(loaded, name) for name in names]) for names in (odd_names, twin_names))
        odd_path, twin_path = _path(loaded, odd_names[0]), _path(loaded, twin_names[0])
        n_layers = odd.shape[1]
        equal_tokens, joint = (
            tuple(seed_difference(odd[:, l], twin[:, l], level) for l in range(n_layers))
            for level in (0.95, 1 - 0.05 / n_layers)
        )
    except UserError as error:
        return str(error)
    odd_losses, twin_losses = (
        np.array([model_spec(name).validation_loss for name in names]) for names in (odd_names, twin_names)
    )
    tokens = {name: model_spec(name).tokens_seen for name in (*odd_path, *twin_path)}
    return Twins(
        odd,
        twin,
        odd_losses,
        twin_losses,
        odd_path,
        twin_path,
        tokens,
        equal_tokens,
        joint,
        _at_loss(odd, odd_losses, twin, twin_path),
    )


def _at_loss(
    odd: np.ndarray, losses: np.ndarray, twin: np.ndarray, path: dict[str, tuple[float, np.ndarray]]
) -> tuple[SeedDifference, ...] | str:
    try:
        return tuple(
            difference_at_loss(
                [(loss, row[l]) for loss, row in zip(losses, odd, strict=True)],
                [(loss, row[l]) for loss, row in path.values()],
                twin[:, l],
            )
            for l in range(odd.shape[1])
        )
    except UserError as error:
        return str(error)


def _best_match(loaded: FamilyResults, name: str) -> np.ndarray:
    """(L,) for each layer, the highest CKA with any layer of the largest member."""
    found = loaded.maps.map(name, loaded.reference)
    if found is None:
        raise UserError(f"The map of {name} against {loaded.reference} is not computed yet.")
    return found.mean.max(axis=1)


def _path(loaded: FamilyResults, name: str) -> dict[str, tuple[float, np.ndarray]]:
    steps = (*family_checkpoints(name), name)
    return {step: (model_spec(step).validation_loss, _best_match(loaded, step)) for step in steps}


@dataclass(frozen=True, eq=False)
class MassiveRow:
    """What massive tokens do to one member's own map.

    Args:
        dropped, rows: rows left out, and rows that there were.
        peak, layer: the longest row over the median row, and in which layer.
        tokens: {id: times} of the dropped tokens.
        change: largest change of a cell without them; `change_normalised` with rows of length 1. NaN where not
            computed.
        blocks: starts of the blocks with all tokens, without massive ones, with normalised rows; None where there is no
            answer.
    """

    name: str
    dropped: int
    rows: int
    peak: float
    layer: int
    tokens: dict[int, int]
    change: float
    change_normalised: float
    blocks: tuple[tuple[int, ...] | None, ...]


def with_massive(params: FamilyParams, massive: str) -> FamilyParams:
    """The same choice with another treatment of massive tokens."""
    return replace(params, cka=replace(params.cka, massive=massive))


def massive_rows(kept: FamilyResults, dropped: FamilyResults, normalised: FamilyResults) -> list[MassiveRow]:
    """A row a member, for those whose map without massive tokens is stored."""
    rows = []
    for name in kept.maps.members:
        whole, without, unit = (loaded.maps.map(name, name) for loaded in (kept, dropped, normalised))
        if without is None or without.peaks is None:
            continue
        peaks = without.peaks[0]
        change, change_normalised = (
            np.nan if whole is None or one is None else float(np.abs(one.mean - whole.mean).max())
            for one in (without, unit)
        )
        found = [blocks(loaded, name) for loaded in (kept, dropped, normalised)]
        starts = tuple(None if isinstance(one, str) else one.segmentation.starts for one in found)
        rows.append(
            MassiveRow(
                name,
                without.dropped,
                without.rows,
                float(peaks.max()),
                int(peaks.argmax()) + 1,
                without.tokens[0],
                change,
                change_normalised,
                starts,
            )
        )
    return rows

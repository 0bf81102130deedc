"""Section 5: how alike are models of one family across scale? Figures 3, 9 and 10, and Table 1."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from repdiss_core import hub
from repdiss_core.base.errors import UserError, unknown_name
from repdiss_core.models import ModelSpec, model_spec
from repdiss_core.models.family import checkpoint_of, family_checkpoints, family_models
from repdiss_core.studies import options
from repdiss_core.studies.common import CkaView, bundled_preset, cka_panel, data_id
from repdiss_core.studies.panels import MatrixPanel
from repdiss_core.studies.presets import Preset, preset


@dataclass(frozen=True)
class FamilySpec:
    """A family of models of growing size, and which of its shapes stand where the paper's stand.

    Args:
        label: for people.
        note: what kind of models these are.
        against: shapes that Figure 3 compares, in the order of the print; the last is the one that all are compared
            with.
        all_pairs: shapes of Figure 9.
        within: shapes of Figure 10.
        suspect: the shape that the paper's reading would expect to be odd, and its twin that differs in nothing else.
        departures: where the family is not the paper's.
    """

    name: str
    label: str
    note: str
    against: tuple[str, ...]
    all_pairs: tuple[str, ...]
    within: tuple[str, ...]
    suspect: tuple[str, str] | None
    departures: tuple[str, ...]


MINI, PYTHIA = "mini-neox", "pythia"
FAMILIES = {
    spec.name: spec
    for spec in (
        FamilySpec(
            MINI,
            options.FAMILY.label_of(MINI),
            (
                "Small GPT-NeoX models, trained by us on docstrings, each with a seed of its own. "
                "The 4-layer shape has a twin with heads of 8 instead of 32 dimensions."
            ),
            ("4l128-h32", "4l128-h8", "6l160-h32", "8l192-h32"),
            ("4l128-h32", "4l128-h8", "6l160-h32"),
            ("2l64-h32", "3l96-h32", "4l128-h32", "6l160-h32"),
            ("4l128-h8", "4l128-h32"),
            ((
                "The models are GPT-NeoX models of 0.4 to 4.3 million parameters, trained by us; "
                "the paper's are Pythia models of 70 million to 6.9 billion."
            ),),
        ),
        FamilySpec(
            PYTHIA,
            options.FAMILY.label_of(PYTHIA),
            (
                "The paper's models, from the hub. By accident of their training, "
                "pythia-6.9b was initialised differently from the smaller ones (Pythia's errata)."
            ),
            tuple(f"pythia-{size}-deduped" for size in ("1b", "1.4b", "2.8b", "6.9b")),
            tuple(f"pythia-{size}-deduped" for size in ("1b", "1.4b", "2.8b")),
            tuple(f"pythia-{size}-deduped" for size in ("70m", "160m", "410m", "1b")),
            None,
            (),
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class FamilyParams:
    """What the page's dropdowns choose.

    Args:
        family: a name in `FAMILIES`.
        cka: how CKA is read.
        preset: data and sizes.
        pins: what the hub's revisions stand for here (`hub.stamp`): choices that name its models differ where that
            does.
    """

    family: str = options.FAMILY.default
    cka: CkaView = CkaView()
    preset: Preset = field(default_factory=bundled_preset)
    pins: int = field(default_factory=hub.stamp)

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise unknown_name("family", self.family, list(FAMILIES), "python -m repdiss_core run fig3 --help")

    @property
    def n_batches(self) -> int:
        """Batches of a map."""
        return self.cka.n_batches

    @property
    def spec(self) -> FamilySpec:
        """The chosen family."""
        return FAMILIES[self.family]


def preset_of(family: str) -> Preset:
    """The setting at which a family is shown at first."""
    return bundled_preset() if family == MINI else preset("paper")


def members(family: str) -> tuple[str, ...]:
    """Names of the family's finished members, small ones first; replicates of one shape stand together.

    Raises:
        UserError: a family of fewer than two models, or members that read different tokens.
    """
    if family == MINI:
        return checked_members(family, family_models().values())
    spec = FAMILIES[family]
    specs = [model_spec(name) for name in dict.fromkeys((*spec.within, *spec.all_pairs, *spec.against))]
    return checked_members(family, specs)


def checked_members(family: str, specs: Iterable[ModelSpec]) -> tuple[str, ...]:
    """The names, once it is sure that they can be compared with each other."""
    specs = list(specs)
    if len(specs) < 2:
        raise UserError(
            f"The family {family} has {len(specs)} model{'' if len(specs) == 1 else 's'} here; "
            "at least 2 are needed to compare any."
        )
    first = specs[0]
    other = next((s for s in specs if s.tokenizer != first.tokenizer), None)
    if other is not None:
        raise UserError(
            f"{first.name} and {other.name} have different tokenizers, so the same text gives them different "
            "tokens. Leave one of them out of the family."
        )
    return tuple(spec.name for spec in specs)


def shape_of(name: str) -> str:
    """What members that differ by their seed alone have in common, such as "4l128-h8"; for other models the name."""
    group = model_spec(name).group
    return group.removeprefix(f"{MINI}-")


def seeds_of(family: str, shape: str) -> tuple[str, ...]:
    """The members of one shape, in the order of their names.

    Raises:
        UserError: no member has that shape.
    """
    found = tuple(name for name in members(family) if shape_of(name) == shape)
    if not found:
        raise UserError(
            f"The family {family} has no trained member of shape {shape}. Train it: "
            "`python -m repdiss_core.scripts.train.family`."
        )
    return found


def first_of(family: str, shape: str) -> str:
    """The member that stands for a shape in figures."""
    return seeds_of(family, shape)[0]


def pair_panel(params: FamilyParams, f: str, g: str, title: str = "") -> MatrixPanel:
    """The map of f (rows) against g (columns)."""
    return cka_panel(
        f, g, params.cka, data_id(params.preset, params.preset.eval_split, model=f, partner=g), title or _title(f, g)
    )


def figure_panels(params: FamilyParams, figure_id: str) -> tuple[tuple[MatrixPanel, ...], ...]:
    """The rows of maps that a figure is made of."""
    spec = params.spec
    if figure_id == "fig10":
        names = [first_of(params.family, shape) for shape in spec.within]
        return (tuple(pair_panel(params, name, name) for name in names),)
    if figure_id == "fig3":
        names = [first_of(params.family, shape) for shape in spec.against]
        return (tuple(pair_panel(params, name, names[-1]) for name in names),)
    names = [first_of(params.family, shape) for shape in spec.all_pairs]
    return (
        tuple(pair_panel(params, name, name) for name in names),
        tuple(pair_panel(params, f, g) for f, g in itertools.combinations(names, 2)),
    )


def family_pairs(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Every unordered pair of members, each with itself too."""
    return tuple(itertools.combinations_with_replacement(names, 2))


def checkpoint_pairs(family: str) -> tuple[tuple[str, str], ...]:
    """(checkpoint, model) pairs: each checkpoint with itself, with the end of its training,
    and with the largest member."""
    if family != MINI:
        return ()
    largest = members(family)[-1]
    return tuple(
        (name, other) for name in family_checkpoints() for other in dict.fromkeys((name, checkpoint_of(name), largest))
    )


def all_panels(params: FamilyParams) -> tuple[MatrixPanel, ...]:
    """Everything that the page shows of a family."""
    pairs = family_pairs(members(params.family)) + checkpoint_pairs(params.family)
    return tuple(pair_panel(params, f, g) for f, g in pairs)


def _title(f: str, g: str) -> str:
    return f"Within {short_name(f)}" if f == g else f"{short_name(f)} × {short_name(g)}"


def short_name(name: str) -> str:
    """A member's name without the family's: "4l128-h8-s0"."""
    return name.removeprefix(f"{MINI}-")


def one_or_first(params: FamilyParams | None) -> tuple[FamilyParams, ...]:
    """What the figures take for one choice of parameters; None takes the bundled models."""
    return (params or FamilyParams(),)

"""Every claim of the paper with what each available set of models says of it; computed by rules, never typed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from repdiss_core.base.errors import UserError
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies import options
from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.studies.asymmetry.claims import asymmetry_claims
from repdiss_core.studies.claims import Claim
from repdiss_core.studies.generalization import question as generalization
from repdiss_core.studies.paper import STUDIES, StudySpec
from repdiss_core.studies.presets import Preset, preset
from repdiss_core.studies.rules import Verdict
from repdiss_core.studies.scaling import question as scaling


@dataclass(frozen=True)
class ModelSet:
    """Models that a study's claims can be judged on.

    Args:
        study: name in `repdiss_core.studies.paper.STUDIES`.
        label: for people.
        choices: what the address of the study's page says to show them.
        judge: reads the results and judges every claim of the study.
        note: a warning that belongs to every verdict on these models; "" for none.
        fetched: whether these are the paper's own models, which are listed once something of them is computed.
    """

    study: str
    label: str
    choices: dict[str, str] = field(hash=False)
    judge: Callable[[ResultStore], Iterable[Claim]] = field(hash=False, compare=False)
    note: str = ""
    fetched: bool = False

    @property
    def page(self) -> str:
        """The page that shows them."""
        return STUDIES[self.study].page


@dataclass(frozen=True)
class Row:
    """One verdict on a claim: by whom, and for what it speaks."""

    models: ModelSet
    claim: Claim

    @property
    def card(self) -> str:
        """The figure card that shows what the verdict rests on."""
        return self.claim.card


@dataclass(frozen=True)
class Finding:
    """A claim of the paper, or a question of ours, and every verdict on it."""

    claim_id: str
    statement: str
    ours: bool
    rows: tuple[Row, ...]


class Judged(NamedTuple):
    """What becomes of a study's claims.

    Args:
        findings: every claim, once.
        problems: sentences on sets of models that could not be judged.
        waiting: labels of the paper's own models that nothing has been computed of on this machine.
    """

    findings: tuple[Finding, ...]
    problems: tuple[str, ...]
    waiting: tuple[str, ...]


def model_sets(study: str) -> tuple[ModelSet, ...]:
    """The sets of models of a study, at the settings that ship."""
    return _SETS[study]() if study in _SETS else ()


def findings(store: ResultStore, study: str) -> Judged:
    """Every claim of a study with the verdicts of all sets of models."""
    rows: dict[tuple[str, str, bool], list[Row]] = {}
    problems, waiting = [], []
    for models in model_sets(study):
        try:
            claims = tuple(models.judge(store))
        except UserError as error:
            if models.fetched:
                waiting.append(models.label)
            else:
                problems.append(f"{models.label}: {error}")
            continue
        if models.fetched and not any(claim.evidence.effects for claim in claims):
            waiting.append(models.label)
            continue
        for claim in claims:
            rows.setdefault((claim.id, claim.statement, claim.ours), []).append(Row(models, claim))
    judged = [Finding(*key, tuple(group)) for key, group in rows.items()]
    return Judged(tuple(sorted(judged, key=lambda finding: finding.ours)), tuple(problems), tuple(waiting))


def judged_studies() -> tuple[StudySpec, ...]:
    """The studies that judge claims, in their order."""
    return tuple(study for study in STUDIES.values() if study.name in _SETS)


def tally(judged: Iterable[Finding]) -> dict[Verdict, int]:
    """How many verdicts of each kind the paper's own claims got."""
    verdicts = [row.claim.verdict for finding in judged if not finding.ours for row in finding.rows]
    return {verdict: verdicts.count(verdict) for verdict in Verdict}


def _asymmetry_sets() -> tuple[ModelSet, ...]:
    def judge(depth: int, setting: Preset) -> Callable[[ResultStore], Iterable[Claim]]:
        return lambda store: asymmetry_claims(
            store, asymmetry.AsymmetryParams(depth, stitch=setting.stitch, preset=setting)
        )

    sets = []
    for name, label in options.SETTING.labels.items():
        setting = preset(name)
        fetched = setting.models == "paper"
        for depth in asymmetry.DEPTHS:
            models = f"{depth}-layer models" + (f" ({label})" if fetched else "")
            choices = {options.DEPTH.id: options.DEPTH.format((depth,))}
            choices |= {options.SETTING.id: name} if fetched else {}
            sets.append(ModelSet("asymmetry", models, choices, judge(depth, setting), fetched=fetched))
    return tuple(sets)


def _generalization_sets() -> tuple[ModelSet, ...]:
    from repdiss_core.studies.generalization.claims import generalization_claims
    from repdiss_core.studies.generalization.stored import load_population_results

    def judge(name: str) -> Callable[[ResultStore], Iterable[Claim]]:
        return lambda store: generalization_claims(
            load_population_results(store, generalization.PopulationParams(name))
        )

    made = "made to differ: shows what the instruments can see"
    return tuple(
        ModelSet(
            "generalization",
            spec.label,
            {options.POPULATION.id: name},
            judge(name),
            made if spec.constructed else "",
            name == generalization.FEATHER,
        )
        for name, spec in generalization.POPULATIONS.items()
    )


def _scaling_sets() -> tuple[ModelSet, ...]:
    from repdiss_core.studies.scaling import real_models
    from repdiss_core.studies.scaling.claims import scaling_claims
    from repdiss_core.studies.scaling.stored import load_family_results

    def judge(name: str) -> Callable[[ResultStore], Iterable[Claim]]:
        return lambda store: scaling_claims(load_family_results(store, scaling.FamilyParams(name)))

    families = (
        ModelSet("scaling", spec.label, {options.FAMILY.id: name}, judge(name), fetched=name == scaling.PYTHIA)
        for name, spec in scaling.FAMILIES.items()
    )
    return (*families, ModelSet("scaling", real_models.LABEL, {}, real_models.real_claims))


# The sets of models whose claims a study judges; a study without claims has no entry.
_SETS = {"asymmetry": _asymmetry_sets, "generalization": _generalization_sets, "scaling": _scaling_sets}

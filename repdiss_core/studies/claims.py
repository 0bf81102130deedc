"""A claim about models: its statement, the evidence for it and the rule that judges it; `studies.words` says it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from repdiss_core.studies.evidence import NOTHING, Effect, Evidence, Obstacle
from repdiss_core.studies.rules import RULES, Rule, Verdict

Models = TypeVar("Models")


@dataclass(frozen=True)
class Claim:
    """One claim and what was measured for it.

    Args:
        id: stable, unique within a study and a scope.
        study: name in `repdiss_core.studies.paper.STUDIES`.
        statement: the claim, in our words.
        scope: what it speaks for; key of `repdiss_core.studies.phrases.SCOPES`.
        rule: key of `repdiss_core.studies.rules.RULES`.
        figure: id of the figure that shows it.
        evidence: what was measured.
        obstacle: why its own rule cannot judge; None where it can.
        card: the card of the study's page that shows it.
        ours: whether the question is ours and not the paper's.
        phrase: how its evidence is said; key of `repdiss_core.studies.phrases.PHRASES`.
        lead: the claim in a few words, where it stands at the top of the page; "" elsewhere.
    """

    id: str
    study: str
    statement: str
    scope: str
    rule: str
    figure: str
    evidence: Evidence = NOTHING
    obstacle: Obstacle | None = None
    card: str = ""
    ours: bool = False
    phrase: str = "plain"
    lead: str = ""

    @property
    def judged_by(self) -> Rule:
        """The rule that gives the verdict: its own, or that of the obstacle."""
        return RULES[self.obstacle.rule if self.obstacle else self.rule]

    @property
    def verdict(self) -> Verdict:
        """What the rule says of the evidence."""
        return self.judged_by.judge(self.evidence)

    @property
    def effect(self) -> Effect | None:
        """The effect that the verdict hangs on; None where no single one does."""
        return None if self.obstacle else self.judged_by.decisive(self.evidence)


@dataclass(frozen=True)
class Question(Generic[Models]):
    """One entry of a study's list of claims: everything about a claim but the models.

    Args:
        id, scope, rule, figure, card, ours, phrase: as in `Claim`; without a card, the figure's own.
        statement, lead: as in `Claim`, or made from the models.
        measure: what the stored results of some models give.
    """

    id: str
    statement: str | Callable[[Models], str]
    scope: str
    rule: str
    figure: str
    measure: Callable[[Models], Evidence | Obstacle]
    card: str = ""
    ours: bool = False
    phrase: str = "plain"
    lead: str | Callable[[Models], str] = ""

    def claim(self, study: str, models: Models) -> Claim:
        """The claim on these models."""
        measured = self.measure(models)
        evidence, obstacle = (NOTHING, measured) if isinstance(measured, Obstacle) else (measured, None)
        statement, lead = (text if isinstance(text, str) else text(models) for text in (self.statement, self.lead))
        return Claim(
            self.id, study, statement, self.scope, self.rule, self.figure, evidence, obstacle,
            self.card or self.figure, self.ours, self.phrase, lead,
        )  # fmt: skip


def claims_on(study: str, questions: Iterable[Question[Models]], models: Models) -> tuple[Claim, ...]:
    """Every question of a study's list, measured on some models."""
    return tuple(question.claim(study, models) for question in questions)

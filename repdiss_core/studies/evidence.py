"""What a claim rests on, as data: effects with their places, intervals and p-values, and how they were measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Place:
    """Where an effect was measured.

    Args:
        kind: "layer", "block" or "cut"; "" where the place has a name alone, such as a member of a family.
        number: counted from 1 for layers and blocks, from 0 for cuts.
        of: the last number of that kind; 0 where it is not said.
        name: what the place is called in place of its number.
    """

    kind: str = ""
    number: int = 0
    of: int = 0
    name: str = ""

    @property
    def label(self) -> str:
        """ "block 6 of 6", "layer 2", or the name."""
        return self.name or f"{self.kind} {self.number}" + (f" of {self.of}" if self.of else "")

    @property
    def depth(self) -> float:
        """The fraction of the network that lies below, in [0, 1]; NaN where `of` is not said."""
        return self.number / self.of if self.of else math.nan


@dataclass(frozen=True)
class Effect:
    """One measured number.

    Args:
        value: in `unit`.
        low, high: its interval; NaN where there is none.
        unit: such as "nats a token".
        place: the layer, cut or member that it belongs to; None where it is about the whole.
        p: of the test against no effect, corrected for the places tested; None where there is no test.
        quantity: tells the effects of one claim apart where they measure different things.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    unit: str = ""
    place: Place | None = None
    p: float | None = None
    quantity: str = ""

    @property
    def where(self) -> str:
        """The label of its place; "" where it is about the whole."""
        return self.place.label if self.place else ""


@dataclass(frozen=True)
class Basis:
    """Models, samples and kind of interval that effects rest on.

    Args:
        kind: key of `repdiss_core.studies.words.BASES`, the sentence that says it.
        facts: the counts and names that the sentence holds.
    """

    kind: str
    facts: Mapping[str, float | str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Obstacle:
    """Why a claim cannot be judged by its own rule.

    Args:
        rule: "not-computed" or "cannot-be-asked", the rule that judges instead.
        reason: key of `repdiss_core.studies.words.REASONS`, the sentence that says it.
        facts: what the sentence holds.
    """

    rule: str
    reason: str
    facts: Mapping[str, float | str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Evidence:
    """Effects, and what a rule compares them with.

    Args:
        effects: by layer, cut or member; those that decide first.
        basis: None where nothing was measured.
        threshold: the value that an effect must exceed, in its unit.
        margin: the smallest difference that would matter, in its unit; None where the claim names none.
        subject: the place that the claim is about, where its effects cover others too.
    """

    effects: tuple[Effect, ...]
    basis: Basis | None = None
    threshold: float = 0.0
    margin: float | None = None
    subject: Place | None = None

    def of(self, quantity: str) -> tuple[Effect, ...]:
        """The effects that measure one quantity."""
        return tuple(effect for effect in self.effects if effect.quantity == quantity)


NOTHING = Evidence(())

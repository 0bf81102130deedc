"""An option, declared once: what it is called, what it offers, and what addresses and the command line hold of it.

An address, an export and a flag hold the *id* of a choice, a page shows its *label*. A better label therefore breaks
nothing, and what addresses held before there were ids is read through `old_labels`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from repdiss_core.base.errors import UserError

MOST_SHOWN = 60  # characters of what was asked for
MOST_LISTED = 8  # choices of a sentence


@dataclass(frozen=True)
class Choice:
    """One of the things that an option offers.

    Args:
        id: in addresses, exports and on the command line; never changed once it was released.
        label: on the page.
        value: what the program works with; the id where nothing else is given.
    """

    id: str
    label: str
    value: Any = None

    def __post_init__(self) -> None:
        if self.value is None:
            object.__setattr__(self, "value", self.id)


@dataclass(frozen=True)
class Option:
    """Something that a page or the command line lets one choose.

    Args:
        id: its name in addresses; never changed once it was released.
        label: above its list.
        choices: what it offers; empty where any text is read.
        default: the value of a fresh page; that of the first choice where nothing else is given.
        help: beside its list.
        flag: its flag without dashes, where that is not `id`.
        flag_help: what `--help` says of it; `help` where nothing else is given.
        old_labels: what earlier addresses held, and the id of the choice that it meant.
        typed: how values begin that may be typed beside the choices.
        source: gives the choices each time that they are asked for, where a registry holds them; in place of `choices`.
    """

    id: str
    label: str
    choices: tuple[Choice, ...] = ()
    default: Any = None
    help: str = ""
    flag: str = ""
    flag_help: str = ""
    old_labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    typed: tuple[str, ...] = ()
    source: Callable[[], tuple[Choice, ...]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.default is None and self.choices:
            object.__setattr__(self, "default", self.choices[0].value)

    @property
    def offers(self) -> tuple[Choice, ...]:
        """The choices as they are now."""
        return self.choices if self.source is None else self.source()

    @property
    def values(self) -> tuple[Any, ...]:
        """The values of the choices, in their order."""
        return tuple(choice.value for choice in self.offers)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the choices, in their order."""
        return tuple(choice.id for choice in self.offers)

    def accepts(self, text: str) -> bool:
        """Whether `parse` reads this."""
        return not self.offers or text.startswith(self.typed) or self._choice(text) is not None

    def parse(self, text: str) -> Any:
        """The value that an address, an export or a flag means: by its id, or by a label that addresses once held.

        Raises:
            UserError: a text that stands for no choice.
        """
        choice = self._choice(text)
        if choice is not None:
            return choice.value
        if not self.accepts(text):
            raise UserError(f"{self.label} “{text[:MOST_SHOWN]}” is not offered. Choose one of {self.offered}.")
        return text

    def format(self, value: Any) -> str:
        """What addresses, exports and flags hold of a value: `parse` reads it again."""
        return next((choice.id for choice in self.offers if choice.value == value), str(value))

    def label_of(self, value: Any) -> str:
        """What the page shows of a value; a value that was typed as it is."""
        return next((choice.label for choice in self.offers if choice.value == value), str(value))

    @property
    def labels(self) -> dict[Any, str]:
        """The label of each value, in the order of the choices."""
        return {choice.value: choice.label for choice in self.offers}

    @property
    def offered(self) -> str:
        """The labels for a sentence, the first of many."""
        labels = [choice.label for choice in self.offers]
        return ", ".join(labels[:MOST_LISTED]) + (" …" if len(labels) > MOST_LISTED else "")

    def offering(
        self, values: Sequence[Hashable], default: Any = None, labels: Mapping[Any, str] | None = None
    ) -> Self:
        """The option where what it offers depends on what else is chosen: models, seeds, data.

        Args:
            values: in the order of the list; ids are `str` of them.
            default: the first value where this one is not offered.
            labels: of values that are not shown as they are.
        """
        names = labels or {}
        choices = tuple(Choice(str(value), names.get(value, str(value)), value) for value in values)
        return replace(self, choices=choices, source=None, default=default if default in values else values[0])

    def named(self, suffix: str) -> Self:
        """The option of one of several like things, such as a card: "about-fig4"."""
        return replace(self, id=f"{self.id}-{suffix}")

    def starting_at(self, default: Any) -> Self:
        """The option with another default, which depends on what else is chosen."""
        return replace(self, default=default if not self.offers or default in self.values else self.values[0])

    def _choice(self, text: str) -> Choice | None:
        wanted = text if text in self.ids else self.old_labels.get(text, text)
        return next((choice for choice in self.offers if choice.id == wanted), None)


@dataclass(frozen=True)
class Number(Option):
    """An option whose value is a number.

    Args:
        low, high: the range, both ends included.
        whole: whether it is an integer.

    A page offers the choices; the command line, and an option without choices, takes every number of the range.
    """

    low: float = 1
    high: float = math.inf
    whole: bool = True

    def accepts(self, text: str) -> bool:
        """Whether `parse` reads this."""
        return self._choice(text) is not None if self.offers else self._number(text) is not None

    def parse(self, text: str) -> Any:
        """The number.

        Raises:
            UserError: no number, one out of range, or one that is not among the choices.
        """
        if self.offers:
            return super().parse(text)
        number = self._number(text)
        if number is None:
            kind = "whole number" if self.whole else "number"
            top = "" if self.high == math.inf else f" and at most {self.high:g}"
            raise UserError(
                f"{self.label} “{text[:MOST_SHOWN]}” is no {kind} of at least {self.low:g}{top}. "
                "Write one in that range."
            )
        return number

    def _number(self, text: str) -> float | None:
        if len(text) > 20:  # longer numerals take long to read, and none is meant
            return None
        try:
            number = int(text) if self.whole else float(text)
        except ValueError:
            return None
        return number if self.low <= number <= self.high else None


def choices_of(labels: Mapping[str, str]) -> tuple[Choice, ...]:
    """Choices from id to label."""
    return tuple(Choice(id, label) for id, label in labels.items())

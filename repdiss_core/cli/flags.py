"""A flag of the command line from the option that it sets."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import click

from repdiss_core.base.option import Number, Option

UNSET: Any = object()
Decorator = Callable[[Any], Any]


def flag(option: Option, default: Any = UNSET, help: str = "", name: str = "", free: bool = False) -> Decorator:
    """`--flag` with the choices, the default and the help of an option.

    Args:
        default: another than the option's; None leaves it to the preset, and the help says so.
        help: another than the option's.
        name: of the command's argument, where that is not the flag's.
        free: whether any text is taken, which the command itself checks.
    """
    long = f"--{option.flag or option.id}"
    value = option.default if default is UNSET else default
    shown = option.format(value) if value is not None else None
    says = help or option.flag_help or option.help
    if default is None and not help and option.default is not None:
        says = f"{says.rstrip('.')} (default: {option.format(option.default)}, or the preset's own)."
    return click.option(
        long,
        *((name,) if name else ()),
        type=click.STRING if free else flag_type(option),
        default=value if isinstance(option, Number) else shown,
        show_default=value is not None,
        help=says or None,
    )


class RegistryChoice(click.Choice):
    """The ids of an option whose choices a registry holds, as they are when the command runs."""

    def __init__(self, option: Option) -> None:
        super().__init__(option.ids)
        self._option = option

    def get_metavar(self, *arguments: Any, **named: Any) -> str | None:
        """What `--help` shows."""
        self.choices = self._option.ids
        return super().get_metavar(*arguments, **named)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The id, or an error that lists those that there are."""
        self.choices = self._option.ids
        return super().convert(value, param, ctx)


class SeveralChoices(RegistryChoice):
    """One or several ids of such an option, with commas between them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The ids, each once, in their order."""
        if isinstance(value, tuple):
            return value
        return tuple(dict.fromkeys(super(SeveralChoices, self).convert(v, param, ctx) for v in str(value).split(",")))


def flag_type(option: Option) -> click.ParamType:
    """What click reads the flag with: the ids of the choices, or a number of the range."""
    if isinstance(option, Number):
        high = None if option.high == math.inf else option.high
        if not option.whole:
            return click.FloatRange(option.low, high)
        return click.IntRange(int(option.low), None if high is None else int(high))
    if option.source is not None:
        return RegistryChoice(option)
    return click.Choice(option.ids) if option.ids else click.STRING


def flags(*decorators: Decorator) -> Decorator:
    """Several flags as one decorator, in the order in which `--help` lists them."""

    def decorate(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate

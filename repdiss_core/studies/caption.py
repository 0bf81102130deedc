"""What a figure rests on, as structured text: models, data, amount, estimator, interval, departures from the paper."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """The parts of a caption, each a short phrase; empty ones are left out.

    Args:
        deciding: sentences where a handful of tokens decides a map.
    """

    models: str = ""
    data: str = ""
    amount: str = ""
    estimator: str = ""
    interval: str = ""
    chance: str = ""
    departures: tuple[str, ...] = ()
    deciding: str = ""

    @property
    def phrases(self) -> tuple[str, ...]:
        """Everything but the departures, in the order of reading."""
        return tuple(p for p in (self.models, self.data, self.amount, self.estimator, self.interval, self.chance) if p)

    @property
    def text(self) -> str:
        """One line, then what decides the map and the departures as sentences."""
        line, sentences = " · ".join(self.phrases), (*filter(None, (self.deciding,)), *self.departures)
        return line if not sentences else f"{line}. {' '.join(sentences)}"

"""What a figure rests on, as structured text: models, data, amount, estimator, interval, departures from the paper."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """The parts of a caption, each a short phrase; empty ones are left out."""

    models: str = ""
    data: str = ""
    amount: str = ""
    estimator: str = ""
    interval: str = ""
    departures: tuple[str, ...] = ()

    @property
    def phrases(self) -> tuple[str, ...]:
        """Everything but the departures, in the order of reading."""
        return tuple(p for p in (self.models, self.data, self.amount, self.estimator, self.interval) if p)

    @property
    def text(self) -> str:
        """One line, then the departures as sentences."""
        line = " · ".join(self.phrases)
        return line if not self.departures else f"{line}. {' '.join(self.departures)}"

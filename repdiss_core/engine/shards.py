"""The unit of work: some comparisons of one group, over some batches. It can be computed here or on another machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from repdiss_core.base.comparison import Comparison

# Fixed, so that a resumed run cuts the work where the interrupted one did. A batch takes a tenth of a second to seconds
# on a processor; a shard on a GPU is a process of its own, which loads its models anew.
BATCHES_PER_SHARD, BATCHES_PER_GPU_SHARD = 5, 50


@dataclass(frozen=True)
class Shard:
    """Some comparisons of one group over the batches first … last - 1; over all that they need where both are 0.

    Args:
        fitted: the batches are counted after those that a fit takes, so that no window of the stream holds them.
    """

    comparisons: tuple[Comparison, ...]
    first: int = 0
    last: int = 0
    fitted: bool = False

    @property
    def in_batches(self) -> bool:
        """Whether its results are rows of batches."""
        return self.last > self.first

    @property
    def key(self) -> str:
        """64 hexadecimal digits that name this piece of work."""
        return hashlib.sha256(
            "\n".join([*sorted(c.key for c in self.comparisons), f"{self.first}:{self.last}"]).encode()
        ).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        comparisons = [c.to_dict() for c in self.comparisons]
        return {"comparisons": comparisons, "first": self.first, "last": self.last, "fitted": self.fitted}

    @classmethod
    def from_dict(cls, form: dict[str, Any]) -> Shard:
        """The shard that `to_dict` was called on."""
        comparisons = tuple(Comparison.from_dict(c) for c in form["comparisons"])
        return cls(comparisons, form["first"], form["last"], form["fitted"])

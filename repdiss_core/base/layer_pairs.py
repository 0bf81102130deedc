"""Which layers of two models a comparison puts beside each other: one of four kinds, and its text in keys and files."""

from __future__ import annotations

import re
from dataclasses import dataclass

from repdiss_core.base.errors import UserError


@dataclass(frozen=True)
class AllLayers:
    """Every layer of f with every layer of g: a map."""

    text = "all"


@dataclass(frozen=True)
class SameLayers:
    """Layer l of f with layer l of g, for models of one depth."""

    text = "same"


@dataclass(frozen=True)
class EveryCut:
    """f up to layer l and g from layer l on, for every l from 0 (f's embedding alone) to L (all of f's blocks)."""

    text = "cuts"


@dataclass(frozen=True, order=True)
class OneCut:
    """One layer of f with one layer of g, both counted from 1 (0 is the embedding)."""

    layer_f: int
    layer_g: int

    @property
    def text(self) -> str:
        """ "l:m" in keys and files."""
        return f"{self.layer_f}:{self.layer_g}"


LayerPairs = AllLayers | SameLayers | EveryCut | OneCut
ALL, SAME, CUTS = AllLayers(), SameLayers(), EveryCut()
_WORDS = {
    AllLayers: "all pairs of layers",
    SameLayers: "equal layers",
    EveryCut: "every cut",
    OneCut: "one pair of layers",
}
_CUT = re.compile(r"(0|[1-9]\d{0,5}):(0|[1-9]\d{0,5})")


def layer_pairs(text: str) -> LayerPairs:
    """The layer pairs that a key or a file writes as "all", "same", "cuts" or "l:m".

    Raises:
        UserError: for any other text.
    """
    for known in (ALL, SAME, CUTS):
        if text == known.text:
            return known
    found = _CUT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise UserError(
            f"The layer pairs of a comparison are {str(text)[:40]!r}; expected all, same, "
            "cuts or two numbers such as 2:3 "
            "(layer of f, layer of g)."
        )
    return OneCut(int(found[1]), int(found[2]))


def kind_words(kind: type) -> str:
    """What a kind of layer pairs is called in sentences."""
    return _WORDS[kind]

"""Which tokenizers cut plain text for two models, where rows are words or texts. Imports no torch."""

from __future__ import annotations

from repdiss_core.base.errors import UserError
from repdiss_core.data import tokenizer
from repdiss_core.models import model_spec

DIGITS = 16  # of a tokenizer's hash, in keys


def tokenizers_setting(*names: str) -> str:
    """What a key says of the tokenizers of models: the same in either order."""
    return "+".join(sorted({model_spec(name).tokenizer[:DIGITS] for name in names}))


def check_cuts_text(name: str) -> None:
    """Raise a `UserError` unless a model's tokenizer is at hand and is the one that it reads plain text with.

    A tokenizer of the hub that was not fetched yet counts: a computation fetches it.
    """
    spec = model_spec(name)
    at_hand = tokenizer.fingerprint(spec.tokenizer_repo or tokenizer.BUNDLED)
    if at_hand not in (spec.tokenizer, tokenizer.UNKNOWN):
        raise UserError(
            f"{name} has no tokenizer here that cuts plain text, so that its words or texts cannot be found. "
            "Choose a language model, or compare at tokens."
        )

"""The text of token ids, for the tokenizers that are on this machine. No torch, no network."""

from __future__ import annotations

from collections.abc import Iterable

from repdiss_core.base.errors import UserError
from repdiss_core.data import tokenizer


def token_texts(source: str, ids: Iterable[int]) -> list[str]:
    """The text of each id by itself; "\ufffd" where an id is a part of a character.

    Args:
        source: where the tokenizer comes from, as `ModelSpec.tokenizer_repo` has it; "" for the bundled one.

    Raises:
        UserError: the tokenizer is not on this machine.
    """
    source = source or tokenizer.BUNDLED
    if not tokenizer.is_ready(source):
        raise UserError(
            f"The text of these tokens cannot be shown: the tokenizer of {source} is not on this machine. "
            "The numbers of the tokens stand in its place; a computation with one of its models fetches it."
        )
    encoder = tokenizer.load_tokenizer(source).encoder
    return [encoder.decode([int(i)], skip_special_tokens=False) for i in ids]

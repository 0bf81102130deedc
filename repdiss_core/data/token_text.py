"""The text of token ids, for the tokenizers that are at hand. No torch."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from repdiss_core import bundled
from repdiss_core.errors import UserError


def token_texts(tokenizer: str, ids: Iterable[int]) -> list[str]:
    """The text of each id by itself; "\ufffd" where an id is a part of a character.

    Args:
        tokenizer: sha256 of the tokenizer file, as models name it.

    Raises:
        UserError: this tokenizer does not ship with RepDiss.
    """
    if tokenizer != bundled.file_hash(bundled.TOKENIZER_FILE):
        raise UserError(
            f"The text of these tokens cannot be shown: their tokenizer ({tokenizer[:12]}) does not ship with RepDiss. "
            "The numbers of the tokens stand in its place."
        )
    opened = _tokenizer()
    return [opened.decode([int(i)], skip_special_tokens=False) for i in ids]


@functools.lru_cache(maxsize=1)
def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(bundled.TOKENIZER_FILE))

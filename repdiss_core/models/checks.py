"""Checks that every model source makes: tokens that the model can read, and weights that are those of the facts file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core import bundled
from repdiss_core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from repdiss_core.models import ModelSpec


def checked_tokens(name: str, tokens: np.ndarray, n_ctx: int, vocab_size: int) -> np.ndarray:
    """(b, t) the tokens in one piece of memory, if a model of that context and vocabulary reads them; else a `UserError`."""
    tokens = np.ascontiguousarray(tokens)
    if tokens.shape[1] > n_ctx:
        raise UserError(f"{name} reads at most {n_ctx} tokens; the sequences have {tokens.shape[1]}. Cut them shorter.")
    if tokens.size and not (0 <= int(tokens.min()) and int(tokens.max()) < vocab_size):
        raise UserError(
            f"{name} knows token ids 0 to {vocab_size - 1}; the batch has {int(tokens.min())} to {int(tokens.max())}. "
            "Its tokens come from another tokenizer: choose data made for this model."
        )
    return tokens


def check_weights(spec: ModelSpec, path: Path, folder: str) -> str:
    """Check that a bundled weights file is there and has the hash that the facts file states.

    Args:
        folder: where the file stands in the repository.

    Returns:
        What to do about a file that turns out to be unreadable, for the caller's own sentence.

    Raises:
        UserError: it is missing or damaged.
    """
    restore = f"Restore it with `git checkout -- {folder}/{path.name}`."
    if not path.exists():
        raise UserError(f"The weights of {spec.name} are missing ({path.name}). {restore}")
    found = bundled.file_hash(path)
    if found != spec.weights:
        raise UserError(
            f"The weights of {spec.name} are damaged: {path.name} has the hash {found[:12]}, the facts file says {spec.weights[:12]}. {restore}"
        )
    return restore


def hidden_states(output: Any) -> Tensor:
    """The hidden states of a transformers block's output, which some versions wrap in a tuple."""
    return output[0] if isinstance(output, tuple) else output

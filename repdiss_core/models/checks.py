"""Checks that every model source makes: tokens that the model can read,
and weights that are those of the facts file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core import bundled
from repdiss_core.base.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from repdiss_core.models import ModelSpec


def checked_tokens(name: str, tokens: np.ndarray, n_ctx: int, vocab_size: int) -> np.ndarray:
    """(b, t) the tokens in one piece of memory, if a model of that context and vocabulary reads them;
    else a `UserError`."""
    tokens = np.ascontiguousarray(tokens)
    if tokens.shape[1] > n_ctx:
        raise UserError(f"{name} reads at most {n_ctx} tokens; the sequences have {tokens.shape[1]}. Cut them shorter.")
    if tokens.size and not (int(tokens.min()) >= 0 and int(tokens.max()) < vocab_size):
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
            f"The weights of {spec.name} are damaged: {path.name} has the hash {found[:12]}, "
            f"the facts file says {spec.weights[:12]}. {restore}"
        )
    return restore


def hidden_states(output: Any) -> Tensor:
    """The hidden states of a transformers block's output, which some versions wrap in a tuple."""
    return output[0] if isinstance(output, tuple) else output


def check_depth(spec: ModelSpec, n_layers: int) -> None:
    """Raise a `UserError` where a checkpoint is not as deep as its facts say: its layers would be drawn wrongly."""
    if n_layers != spec.n_layers:
        raise UserError(
            f"The checkpoint of {spec.name} has {n_layers} layers, its facts say {spec.n_layers}: "
            f"{spec.repo} holds another model at {spec.revision}."
        )


def read_tensors(name: str, folder: Path, files: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of a model's weight files; torch's own (.bin, .pth) with `weights_only=True`,
    so that no code in them runs.

    Raises:
        UserError: a file that cannot be read, or that holds more than tensors.
    """
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found: dict[str, Tensor] = {}
    for file in files:
        try:
            found |= (
                load_file(folder / file)
                if file.endswith(".safetensors")
                else torch.load(folder / file, map_location="cpu", weights_only=True)
            )
        except pickle.UnpicklingError as error:
            raise UserError(
                f"The weights of {name} ({file}) hold more than tensors, which RepDiss never opens. "
                "Look for safetensors."
            ) from error
        except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
            raise UserError(
                f"The files of {name} in {folder} cannot be read ({file}: {error}). Fetch the model anew."
            ) from error
    return found

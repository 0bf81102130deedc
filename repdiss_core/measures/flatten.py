"""From residual streams to the rows of feature matrices (torch)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from repdiss_core.base.errors import UserError


def flatten(activations: Tensor, mode: str = "token", mask: Any = None) -> Tensor:
    """(n, d') features of one layer: a row for each token, or for each sequence (the paper's footnote 6).

    Args:
        activations: (b, t, d).
        mode: "token" gives (b·t, d), without the tokens that the mask leaves out; "sample" gives (b, t·d).
        mask: (b, t) true for real tokens, or None for all.

    Raises:
        UserError: for an unknown mode, fewer than 4 sequences in mode "sample", or padded sequences there.
    """
    b, t, d = activations.shape
    keep = None if mask is None else torch.as_tensor(mask, dtype=torch.bool, device=activations.device)
    if mode == "token":
        rows = activations.reshape(b * t, d)
        return rows if keep is None else rows[keep.reshape(-1)]
    if mode != "sample":
        raise UserError(
            f"There is no way to flatten called {mode!r}; "
            'choose "token" (a row for each token) or "sample" (a row for each sequence).'
        )
    if b < 4:
        raise UserError(
            'Flattening "sample" makes each sequence one row and CKA needs at least 4 rows, but a batch here '
            f"holds {b} sequence(s): "
            'use batches of 4 or more sequences, or flatten "token".'
        )
    if keep is not None and not bool(keep.all()):
        raise UserError(
            'Flattening "sample" needs sequences of one length, but this batch is padded: '
            'use packed sequences, or flatten "token".'
        )
    return activations.reshape(b, t * d)

"""Feature rows at words or at texts: one batch of texts, cut by each model's tokenizer, and the rows that two share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repdiss_core.base.comparison import Comparison, ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.data.row_batches import LEAST_ROWS, AlignedBatch, TextBatch
from repdiss_core.models import model_spec
from repdiss_core.models.text_tokenizers import check_cuts_text, tokenizers_setting

if TYPE_CHECKING:
    from torch import Tensor

POOLED = "text"  # rows that are means over the tokens of a text
TEXT_ROWS = (POOLED, "text_last")


class TextRows:
    """A batch of texts as the models of some comparisons read it.

    Args:
        index: of the batch in its stream, for sentences.
    """

    def __init__(self, batch: TextBatch, index: int) -> None:
        self.batch, self.index = batch, index
        self._aligned: dict[ModelId, AlignedBatch] = {}

    def aligned(self, model: ModelId) -> AlignedBatch:
        """The texts in a model's tokens.

        Raises:
            UserError: no tokenizer is at hand that cuts text for it.
        """
        if model not in self._aligned:
            check_cuts_text(model.name)
            spec = model_spec(model.name)
            self._aligned[model] = self.batch.cut(spec.tokenizer_repo, spec.n_ctx or 2**20, spec.reads_both_ways)
        return self._aligned[model]

    def fingerprint(self, model: ModelId) -> str:
        """What tells a model's tokenizer from another."""
        return model_spec(model.name).tokenizer

    def ids(self, model: ModelId, comparison: Comparison) -> np.ndarray:
        """(n,) the token that each shared row ends with; -1 where a row is a mean over a text."""
        both = self.shared(comparison)
        pooled = comparison.setting("rows") == POOLED
        return np.full(int(both.sum()), -1) if pooled else self.aligned(model).tokens(both)

    def shared(self, comparison: Comparison) -> np.ndarray:
        """(n,) which rows both models of a comparison have.

        Raises:
            UserError: fewer than four.
        """
        f, g = (self.aligned(model).has_row for model in (comparison.f, comparison.g))
        both = f & g
        if both.sum() < LEAST_ROWS:
            raise UserError(
                f"{comparison.f.name} and {comparison.g.name}, batch {self.index + 1}: only {both.sum()} of "
                f"{len(both)} {self.batch.unit} end with a token in both ({f.sum()} and {g.sum()} in each); "
                f"{LEAST_ROWS} common {self.batch.unit} are needed. Choose longer batches, or other rows or text."
            )
        return both

    def features(self, layers: list[Tensor], model: ModelId, comparison: Comparison) -> list[Tensor]:
        """[(n, d)] the rows that a comparison's models share, of each layer (b, t, d) of one of them."""
        import torch

        aligned, both = self.aligned(model), self.shared(comparison)
        if comparison.setting("rows") == POOLED:
            texts = torch.from_numpy(np.flatnonzero(both))
            read = torch.from_numpy(aligned.read[both])
            return [_means(h[texts.to(h.device)], read.to(h.device)) for h in layers]
        places = torch.from_numpy(aligned.places[both])
        return [h.reshape(-1, h.shape[-1])[places.to(h.device)] for h in layers]


def check_rows(comparison: Comparison, are_texts: bool) -> None:
    """Raise a `UserError` unless a comparison's rows are those of its stream, and its tokenizers those of its key."""
    rows = str(comparison.setting("rows", "token"))
    if (rows != "token") != are_texts:
        raise UserError(
            f"The comparison's rows are {rows}s, but {comparison.data.name} holds "
            f"{'texts' if are_texts else 'tokens'}. Open the page anew, or run the command again."
        )
    if are_texts and comparison.setting("flatten", "token") != "token":
        raise UserError(
            "Sequences cannot be rows where rows are words or texts. Leave out flatten, or compare at tokens."
        )
    names = comparison.f.name, comparison.g.name
    if are_texts and comparison.setting("tokenizers") != tokenizers_setting(*names):
        raise UserError(
            f"The tokenizers of {names[0]} and {names[1]} are not those that the comparison names. "
            "Open the page anew, or run the command again."
        )


def _means(h: Tensor, read: Tensor) -> Tensor:
    """(b, d) the mean over the positions (b, t) that are read, of (b, t, d)."""
    weight = (read / read.sum(dim=1, keepdim=True)).to(h.dtype)
    return (h * weight[:, :, None]).sum(dim=1)

"""`cka_matrix`: CKA of all layer pairs from features at hand, with uncertainty over batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from repdiss_core.base.errors import UserError
from repdiss_core.base.results import BatchHsic, LayerMatrix
from repdiss_core.measures.cka import hsic_cross, prepare
from repdiss_core.measures.products import Workspace
from repdiss_core.measures.reduction import reduce_hsic


def cka_matrix(
    features_f: Sequence[Sequence[Any]],
    features_g: Sequence[Sequence[Any]],
    estimator: str = "unbiased",
    reduction: str = "mean_of_ratios",
    sequence_ids: Any = None,
) -> LayerMatrix:
    """CKA of every layer of f with every layer of g, with standard error and 95 % interval over batches.

    CKA = HSIC(K, L) / sqrt(HSIC(K, K) · HSIC(L, L)) with linear kernels; how batches are put together is `reduction`
    (see `repdiss_core.measures.reduction.reduce_hsic`). Unbiased values scatter around 0 for unrelated features and are
    never clipped.

    Args:
        features_f, features_g: for each batch, for each layer, an (n_tokens, d) tensor or array; rows of f and g
            are the same tokens.
        estimator: "unbiased", "biased" or "sequence_aware".
        reduction: "mean_of_ratios" or "ratio_of_means".
        sequence_ids: for "sequence_aware": for each batch (n_tokens,) ids.

    Raises:
        UserError: where batches, layers or tokens do not fit, and as `prepare`.

    Example:
        >>> from repdiss_core.measures import cka_matrix
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(2, 3, 64, 16))  # 2 batches, 3 layers, 64 tokens, d = 16
        >>> cka_matrix(x, x).values.diagonal()
        array([1., 1., 1.])
    """
    if len(features_f) != len(features_g) or len(features_f) == 0:
        raise UserError(
            f"f has {len(features_f)} batches and g has {len(features_g)}; both need the same batches, at least one."
        )
    ids = [None] * len(features_f) if sequence_ids is None else sequence_ids
    if len(ids) != len(features_f):
        raise UserError(
            f"sequence_ids covers {len(ids)} batches, but there are {len(features_f)}: "
            "give one array of ids for each batch."
        )
    batches: list[BatchHsic] = []
    workspace = Workspace()
    for index, (layers_f, layers_g, batch_ids) in enumerate(zip(features_f, features_g, ids)):
        if features_g is features_f:  # arrays hand out a new object for the same batch
            layers_g = layers_f
        try:
            batches.append(batch_hsic(layers_f, layers_g, estimator, batch_ids, workspace))
        except UserError as error:
            raise UserError(f"Batch {index}: {error}") from error
        if batches[-1].cross.shape != batches[0].cross.shape:
            raise UserError(
                f"Batch {index} has {batches[-1].cross.shape[1]} × {batches[-1].cross.shape[2]} layers and batch 0 has "
                f"{batches[0].cross.shape[1]} × {batches[0].cross.shape[2]}: every batch must hold the same layers."
            )
    return reduce_hsic(BatchHsic.joined(batches), reduction)


def batch_hsic(
    layers_f: Sequence[Any],
    layers_g: Sequence[Any],
    estimator: str = "unbiased",
    sequence_ids: Any = None,
    workspace: Workspace | None = None,
) -> BatchHsic:
    """The HSIC values of one batch, in the form that batches are kept in; arguments as in `cka_matrix`."""
    if workspace is not None:
        workspace.reset()
    f = prepare(layers_f, estimator, sequence_ids, workspace)
    g = f if layers_g is layers_f else prepare(layers_g, estimator, sequence_ids, workspace)
    notes = [f"f: {note}" for note in f.notes] + [f"g: {note}" for note in g.notes]
    return BatchHsic(hsic_cross(f, g)[None], f.self_hsic[None], g.self_hsic[None], np.array([f.n_tokens]), tuple(notes))

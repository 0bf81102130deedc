"""CKA as a measure of batches: `prepare` and `cross` as `measures.protocol` asks for them, on the kernels of `cka`."""

from __future__ import annotations

from repdiss_core.measures import cka
from repdiss_core.measures.cka import hsic_cross as cross
from repdiss_core.measures.cka import hsic_same_layers as cross_same
from repdiss_core.measures.shared import BatchContext, LayerPreparations

__all__ = ["cross", "cross_same", "prepare"]


def prepare(layers: LayerPreparations, context: BatchContext) -> cka.Prepared:
    """One model's layers on one batch; the option `estimator` says which HSIC.

    Raises:
        UserError: as `cka.prepare`.
    """
    estimator = str(context.settings.get("estimator", "unbiased"))
    spec = cka.ESTIMATORS.get(estimator)
    ids = context.sequence_ids if spec is not None and spec.needs_sequences else None
    return cka.prepare(layers.features, estimator=estimator, sequence_ids=ids, workspace=context.workspace)

"""Stitching with a trained map, and with none, as the engine's stitch pass asks for them (see `measures.protocol`)."""

from __future__ import annotations

from typing import Any

from repdiss_core.base.comparison import Comparison, DataId
from repdiss_core.measures.stitch_settings import StitchSettings, phi_data_of, settings_of
from repdiss_core.measures.stitching import AffineFit, StitchingLayer, head_gradient, sequence_losses


class TrainedStitch:
    """phi = LayerNorm and affine map, trained on tokens of its own."""

    def settings(self, comparison: Comparison) -> StitchSettings | None:
        """How phi is trained."""
        return settings_of(comparison)

    def training_data(self, comparison: Comparison) -> DataId:
        """The stream that phi is trained on."""
        return phi_data_of(comparison)

    def new_fit(self, d_f: int, d_g: int, device: Any) -> AffineFit:
        """The least-squares phi."""
        return AffineFit(d_f, d_g, device)

    def new_map(self, d_f: int, d_g: int) -> StitchingLayer:
        """phi at the identity start."""
        return StitchingLayer(d_f, d_g)

    def losses(self, model: Any, h: Any, batch: Any) -> Any:
        """(b,) nats per token of each sequence."""
        return sequence_losses(model, h, batch)

    def gradient(self, model: Any, h: Any, batch: Any) -> tuple[float, Any]:
        """The mean loss of a batch and its gradient with respect to h (b, t, d)."""
        return head_gradient(model, h, batch)


class IdentityStitch(TrainedStitch):
    """phi = id: nothing is trained."""

    def settings(self, comparison: Comparison) -> StitchSettings | None:
        """None."""
        return None


TRAINED, IDENTITY = TrainedStitch(), IdentityStitch()

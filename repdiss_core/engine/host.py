"""Models and streams, loaded once for a whole request, and the devices that they stand on."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from repdiss_core import __version__
from repdiss_core.base.comparison import DataId, ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import local_root
from repdiss_core.data.batches import TokenStream
from repdiss_core.data.row_batches import FeatureStream
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.checkpoint import CheckpointDir
from repdiss_core.models.protocol import ResidualModel


class Host:
    """What holds models and streams while groups run.

    Args:
        activations: the disk cache of residual streams.
        report: called with lines for the log, such as one on a damaged checkpoint.
    """

    def __init__(
        self, activations: ActivationCache | None = None, report: Callable[[str], None] = lambda line: None
    ) -> None:
        self.activations = activations or ActivationCache()
        self.report = report
        self.checkpoints = CheckpointDir(local_root() / "checkpoints", report)
        self._models: dict[tuple[str, str, str], ResidualModel] = {}
        self._streams: dict[DataId, FeatureStream] = {}
        self._taken: dict[str, int] = {}  # bytes of weights on each device
        self._devices: tuple[str, ...] | None = None

    def load(self, model: ModelId, resid_mean: str, dtype: str = "float32", alone: bool = False) -> ResidualModel:
        """The model, loaded once; its weights must be those that the comparison names.

        Args:
            alone: put it on the first device, beside the one that it is stitched to; otherwise several GPUs share the
                models.
        """
        from repdiss_core.engine.device import check_room, roomiest
        from repdiss_core.models import load_model, model_spec
        from repdiss_core.models.paper_models import memory_bytes

        if model_spec(model.name).weights != model.weights:
            raise UserError(
                f"{model.name} has other weights here ({model_spec(model.name).weights[:12]}) than the comparison "
                f"names ({model.weights[:12]}). "
                "Open the page anew, or run the command again without the old key."
            )
        key = (model.name, resid_mean, dtype)
        if key not in self._models:
            spec, device = model_spec(model.name), "cpu"
            if spec.takes_a_device:
                device = self.devices[0] if alone else roomiest(self.devices, self._taken)
                check_room(spec.name, memory_bytes(spec, dtype), device)
                self._taken[device] = self._taken.get(device, 0) + memory_bytes(spec, dtype)
            self._models[key] = load_model(model.name, resid_mean, dtype, device)
        return self._models[key]

    @property
    def devices(self) -> tuple[str, ...]:
        """Where models of the hub run; found out once one is needed."""
        if self._devices is None:
            from repdiss_core.engine.device import devices, keep_rate

            self._devices = devices()
            self.activations.home = self._devices[0]
            keep_rate(self._devices[0])
        return self._devices

    def token_stream(self, data: DataId) -> TokenStream:
        """The stream of that identity, for what reads tokens alone.

        Raises:
            UserError: it holds texts, or its content is not what the comparison names.
        """
        from repdiss_core.data import holds_texts

        if holds_texts(data.name):
            raise UserError(
                f"{data.name} holds texts, which models of different tokenizers share. What is asked for reads tokens: "
                "choose two models of one tokenizer."
            )
        return cast(TokenStream, self.stream(data))

    def stream(self, data: DataId) -> FeatureStream:
        """The stream of that identity, of tokens or of texts; its content must be what the comparison names."""
        from repdiss_core.data import open_stream

        if data not in self._streams:
            stream = open_stream(data.name, data.split, data.sequences_per_batch, data.tokens_per_sequence, data.seed)
            if stream.data_id.content != data.content:
                raise UserError(
                    f"The tokens of {data.name}/{data.split} differ here ({stream.data_id.content[:12]}) from "
                    "those that the comparison names "
                    f"({data.content[:12]}): other package versions are installed. "
                    "Open the page anew to compute with the text at hand."
                )
            self._streams[data] = stream
        return self._streams[data]

    def forget_models(self) -> None:
        """Drop all models, so that others find room."""
        from repdiss_core.engine.device import release

        self._models.clear()
        self._taken.clear()
        release()

    def provenance(self) -> dict[str, Any]:
        """Versions, device and date that go into every result."""
        from repdiss_core.engine.device import name_of

        on_gpu = [device for device in self.devices if self._taken.get(device) and device != "cpu"]
        return provenance() | ({"device": ", ".join(name_of(device) for device in on_gpu)} if on_gpu else {})


def provenance() -> dict[str, Any]:
    """Versions, device and date that go into every result."""
    import torch

    return {
        "versions": dict(_versions()),
        "device": "cpu",
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@functools.lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    names = ("torch", "transformer-lens", "transformers", "numpy", "safetensors")
    ours = (("repdiss", __version__), ("python", platform.python_version()))
    return (*ours, *((name, importlib.metadata.version(name)) for name in names))


def use_all_cores() -> None:
    """Give this process every core; the number is fixed, since it can change the last bits,
    and recorded in every result."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)

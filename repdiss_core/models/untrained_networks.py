"""Networks of the models that RepDiss knows, with the weights that their libraries draw before training. Imports
torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from repdiss_core.base.errors import UserError, one_line
from repdiss_core.hub.packages import PREFIX, place_of
from repdiss_core.models.files import files_of, read_json
from repdiss_core.models.protocol import ResidualModel

if TYPE_CHECKING:
    from repdiss_core.models import ModelSpec


def load_twin(spec: ModelSpec, resid_mean: str = "kept", dtype: str = "float32", device: str = "cpu") -> ResidualModel:
    """The twin in evaluation mode; the global random state is left as it was."""
    from repdiss_core.models import model_spec
    from repdiss_core.models.untrained import parts_of

    seed, trained = parts_of(spec.name)
    base = model_spec(trained)
    kind, _ = base.loader.removeprefix("repdiss_core.models.").split(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "hooked":
            return _bundled(spec, base, seed, resid_mean)
        if kind == "nanda":
            return _nanda(spec, base, resid_mean, dtype, device)
        return _of_transformers(spec, base, resid_mean, dtype, device)


def _bundled(spec: ModelSpec, base: ModelSpec, seed: int, resid_mean: str) -> ResidualModel:
    from repdiss_core.bundled.recipe import BUNDLED_MODELS
    from repdiss_core.models.hooked import HookedResidualModel
    from repdiss_core.models.mini_gpt import bridge_config

    config = bridge_config(BUNDLED_MODELS[base.name].architecture, seed=seed)
    return HookedResidualModel(_bridge_class().boot_native(config, model_name=spec.name), spec.name, resid_mean)


def _bridge_class() -> Any:
    from transformer_lens.model_bridge import TransformerBridge

    return TransformerBridge


def _nanda(spec: ModelSpec, base: ModelSpec, resid_mean: str, dtype: str, device: str) -> ResidualModel:
    from repdiss_core.models.hooked import HookedResidualModel
    from repdiss_core.models.nanda import bridge_config

    config = bridge_config(base.name, _config_of_hub(base))
    bridge = _bridge_class().boot_native(config, model_name=spec.name)
    torch.nn.Module.to(bridge, device=device, dtype=getattr(torch, dtype))  # the bridge's own `to` prints
    bridge.cfg.device = device
    return HookedResidualModel(bridge, spec.name, resid_mean)


def _of_transformers(spec: ModelSpec, base: ModelSpec, resid_mean: str, dtype: str, device: str) -> ResidualModel:
    """By the exact path where the trained model has it, else by the adapter with all its checks."""
    from repdiss_core.models.decoder import DecoderResidualModel
    from repdiss_core.models.loading import adapted

    through_adapter = base.loader.startswith("repdiss_core.models.loading")
    config = _config(base)
    network = _drawn(spec.name, config).to(dtype=getattr(torch, dtype)).eval().requires_grad_(False)
    if through_adapter:
        return adapted(spec, network, resid_mean, device)
    return DecoderResidualModel(network.to(device), spec.name, resid_mean)


def _drawn(name: str, config: Any) -> Any:
    from repdiss_core.models.networks import network_class, quiet

    try:
        with quiet():
            return network_class(name, config)(config)
    except UserError:
        raise
    except Exception as error:  # whatever a strange configuration makes torch and transformers say
        raise UserError(f"No network can be built from the configuration of {name}: {one_line(error)}") from error


def _config(base: ModelSpec) -> Any:
    """transformers' configuration of a trained model, read without its weights."""
    from repdiss_core.models.decoder import checked_config
    from repdiss_core.models.networks import config_of

    if base.loader.endswith("neox:load_family"):
        from repdiss_core.bundled import family
        from repdiss_core.bundled.family.recipe import NeoxArchitecture
        from repdiss_core.models.mini_neox import neox_config

        return neox_config(NeoxArchitecture(**family.facts()["models"][base.name]["architecture"]))
    if base.loader.startswith("repdiss_core.models.loading"):
        return (
            _config_of_place(base)
            if base.name.startswith(("path:", PREFIX))
            else config_of(base.name, _config_of_hub(base))
        )
    said = _config_of_hub(base) if base.repo else read_json(base.name, place_of(base.name) / "config.json")
    return checked_config(base.name, said)


def _config_of_place(base: ModelSpec) -> Any:
    """The configuration of a folder, of a GGUF file, or of an adapter's base."""
    from repdiss_core.models.adapter_bases import base_of
    from repdiss_core.models.files import ADAPTER_CONFIG
    from repdiss_core.models.gguf_files import config_of_gguf
    from repdiss_core.models.networks import config_of

    files = files_of(place_of(base.name))
    if files.form == "gguf":
        return config_of_gguf(base.name, files.folder, files.names[0])
    if files.form == "adapter":
        return _config(base_of(base.name, read_json(base.name, files.folder / ADAPTER_CONFIG)))
    return config_of(base.name, read_json(base.name, files.folder / "config.json"))


def _config_of_hub(base: ModelSpec) -> dict[str, Any]:
    from repdiss_core import hub
    from repdiss_core.models.paper_models import repo_of

    return read_json(base.name, hub.fetch(repo_of(base), ["config.json"]) / "config.json")

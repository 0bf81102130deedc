"""The paper's Pythias and the bundled family: GPT-NeoX through the general decoder. Imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repdiss_core.base.errors import UserError
from repdiss_core.models import decoder
from repdiss_core.models.checks import check_weights
from repdiss_core.models.decoder import DecoderResidualModel, network_of

if TYPE_CHECKING:
    from repdiss_core.models import ModelSpec


def load_hub(
    spec: ModelSpec, resid_mean: str = "removed", dtype: str = "float32", device: str = "cpu"
) -> DecoderResidualModel:
    """A Pythia at its pinned commit; what is missing is downloaded.

    Raises:
        UserError: its repository holds a model of another architecture.
    """
    from repdiss_core import hub
    from repdiss_core.models.files import read_json
    from repdiss_core.models.paper_models import repo_of

    kind = read_json(spec.name, hub.fetch(repo_of(spec), ["config.json"]) / "config.json").get("model_type")
    if kind != "gpt_neox":
        raise UserError(
            f"{spec.name} is a {str(kind)[:40]} model; this loader reads GPT-NeoX models (gpt_neox): "
            f"{spec.repo} holds another model."
        )
    return decoder.load_hub(spec, resid_mean, dtype, device)


def load_family(spec: ModelSpec, resid_mean: str = "removed") -> DecoderResidualModel:
    """A member of the bundled family, or one of its checkpoints, in float32;
    its weights are checked against the facts."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from repdiss_core.bundled import family
    from repdiss_core.bundled.family.recipe import NeoxArchitecture
    from repdiss_core.models.mini_neox import neox_config

    path = family.weights_file(spec.name)
    restore = check_weights(spec, path, "repdiss_core/bundled/family/weights")
    architecture = NeoxArchitecture(**family.facts()["models"][spec.name]["architecture"])
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise UserError(f"The weights of {spec.name} cannot be read ({error}). {restore}") from error
    return DecoderResidualModel(network_of(spec.name, neox_config(architecture), tensors), spec.name, resid_mean)

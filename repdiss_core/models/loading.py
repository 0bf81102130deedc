"""Any transformer of transformers from its files, behind the adapter, refused unless every weight is there and every
check passes.

Imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from repdiss_core import hub
from repdiss_core.base.paths import typed_path
from repdiss_core.data.tokenizer import check_size
from repdiss_core.hub import packages
from repdiss_core.models.adapter import AdapterResidualModel
from repdiss_core.models.adapter_bases import base_of
from repdiss_core.models.checks import check_depth, read_tensors
from repdiss_core.models.families import is_encoder
from repdiss_core.models.files import ADAPTER_CONFIG, ModelFiles, files_of, read_json, weight_files
from repdiss_core.models.gguf_files import network_of_gguf
from repdiss_core.models.load_checks import Checked, check_model
from repdiss_core.models.networks import config_of, network_with
from repdiss_core.models.paper_models import repo_of
from repdiss_core.models.peft_folders import merged_network

if TYPE_CHECKING:
    from repdiss_core.models import ModelSpec


def load_path(
    spec: ModelSpec, resid_mean: str = "kept", dtype: str = "float32", device: str = "cpu"
) -> AdapterResidualModel:
    """A model of a folder, or a GGUF file, that the user named."""
    return adapted(spec, network_of_files(spec, files_of(typed_path(spec.name)), dtype), resid_mean, device)


def load_hub(
    spec: ModelSpec, resid_mean: str = "kept", dtype: str = "float32", device: str = "cpu"
) -> AdapterResidualModel:
    """A model of the hub at its pinned commit; what is missing is downloaded."""
    model = adapted(spec, network_of_files(spec, _fetched(spec), dtype), resid_mean, device)
    check_depth(spec, model.n_layers)
    return model


def load_package(
    spec: ModelSpec, resid_mean: str = "kept", dtype: str = "float32", device: str = "cpu"
) -> AdapterResidualModel:
    """A model out of a package that was fetched before, each of its files held to its pinned hash."""
    package = packages.package_of(spec.name)
    packages.check(package)
    return adapted(spec, network_of_files(spec, files_of(packages.model_place(package)), dtype), resid_mean, device)


def adapted(spec: ModelSpec, network: PreTrainedModel, resid_mean: str, device: str) -> AdapterResidualModel:
    """The network behind the adapter, once its tokenizer fits and it has passed every check;
    `model.checked` says what they found."""
    causal = not is_encoder(network.config.to_dict())
    moved: Any = network
    model = AdapterResidualModel(moved.to(device), spec.name, resid_mean, spec.n_ctx, causal)
    check_size(spec.name, spec.tokenizer_repo, model.vocab_size)
    model.checked = (Checked("every weight", 0.0), *check_model(model))
    return model


def network_of_files(spec: ModelSpec, files: ModelFiles, dtype: str) -> PreTrainedModel:
    """The network in evaluation mode, of whichever form its files are.

    Raises:
        UserError: what its files lack or hold too much, in a sentence.
    """
    number = getattr(torch, dtype)
    if files.form == "gguf":
        return network_of_gguf(spec.name, files.folder, files.names[0], number)
    if files.form == "adapter":
        base = base_of(spec.name, read_json(spec.name, files.folder / ADAPTER_CONFIG))
        base_files = _fetched(base) if base.repo else files_of(typed_path(base.name))
        return merged_network(spec.name, files, network_of_files(base, base_files, dtype))
    config = config_of(spec.name, read_json(spec.name, files.folder / "config.json"))
    return network_with(spec.name, config, read_tensors(spec.name, files.folder, files.names), number)


def _fetched(spec: ModelSpec) -> ModelFiles:
    """The weights of a model of the hub, downloaded where they are not here."""
    repo = repo_of(spec)
    names = weight_files(hub.pin(repo).files)
    return ModelFiles(hub.fetch(repo, ["config.json", *names]), "weights", tuple(names))

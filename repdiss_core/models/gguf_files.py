"""The network of a GGUF file, its quantised numbers turned back by transformers. Imports torch."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from repdiss_core.base.errors import UserError, one_line
from repdiss_core.models.networks import check_loaded, quiet


def network_of_gguf(name: str, folder: Path, file: str, dtype: torch.dtype) -> PreTrainedModel:
    """The network in evaluation mode.

    Raises:
        UserError: an architecture whose GGUF form transformers does not read, or a damaged file.
    """
    auto: Any = AutoModelForCausalLM
    given = {"gguf_file": file, "dtype": dtype, "output_loading_info": True, "local_files_only": True}
    try:
        with quiet(), contextlib.redirect_stderr(io.StringIO()):  # a progress bar that no setting turns off
            network, info = auto.from_pretrained(str(folder), trust_remote_code=False, **given)
    except Exception as error:  # whatever a damaged file makes gguf and transformers say
        raise _refused(name, file, error) from error
    network.hf_quantizer = None  # the numbers are plain ones by now
    network.config.use_cache = False
    check_loaded(name, network, info)
    return network.eval().requires_grad_(False)


def config_of_gguf(name: str, folder: Path, file: str) -> PreTrainedConfig:
    """transformers' configuration of a GGUF file, without its weights; raises as `network_of_gguf` does."""
    try:
        with quiet():
            config = AutoConfig.from_pretrained(
                str(folder), gguf_file=file, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # whatever a damaged file makes gguf and transformers say
        raise _refused(name, file, error) from error
    config.use_cache = False
    return config


def _refused(name: str, file: str, error: Exception) -> UserError:
    return UserError(
        f"{file} of {name} cannot be loaded ({one_line(error)}). It is damaged, or of an architecture whose GGUF "
        "form the installed transformers does not read: fetch it again, or choose the model's safetensors."
    )

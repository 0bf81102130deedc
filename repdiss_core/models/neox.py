"""GPT-NeoX of transformers (Pythia, the bundled family) behind the model protocol. Imports torch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM
from transformers.masking_utils import create_causal_mask
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXRotaryEmbedding

from repdiss_core.data.batches import TokenBatch
from repdiss_core.errors import UserError, told
from repdiss_core.models.checks import check_depth, check_weights, checked_tokens, hidden_states, read_tensors

if TYPE_CHECKING:
    from repdiss_core.models import ModelSpec

RESID_MEANS = ("removed", "kept")
# What decides the network's shape; transformers would fill a missing one with its default, that of another model.
CONFIG_KEYS = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings", "hidden_act")
# What else changes what the network computes. Nothing else is handed over: `num_labels` could ask for more memory than there is, and an attention
# implementation could name code to be fetched.
OTHER_KEYS = (
    "rotary_pct", "rotary_emb_base", "rope_parameters", "rope_scaling", "rope_theta", "layer_norm_eps", "use_parallel_residual", "attention_bias",
    "tie_word_embeddings", "initializer_range", "model_type",
)  # fmt: skip
SIZES = tuple(key for key in CONFIG_KEYS if key != "hidden_act")
MOST = 2**24
# Buffers that older checkpoints carry; the network makes them itself.
_BUFFERS = re.compile(r"\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$|^gpt_neox\.rotary_emb\.")


class NeoxResidualModel:
    """A `GPTNeoXForCausalLM`, cut between its blocks.

    Args:
        network: put into evaluation mode and frozen here.
        name: as in the registry.
        resid_mean: "removed" subtracts each token's mean over d_model in `residuals`, "kept" does not.
    """

    def __init__(self, network: GPTNeoXForCausalLM, name: str, resid_mean: str = "removed") -> None:
        if resid_mean not in RESID_MEANS:
            raise UserError(f'resid_mean is {resid_mean!r}; it is "removed" (each token\'s mean over d_model) or "kept".')
        self.network = network.eval().requires_grad_(False)
        self.name, self.resid_mean = name, resid_mean
        config = network.config
        self.n_layers, self.d_model = int(config.num_hidden_layers), int(config.hidden_size)
        self.vocab_size, self.n_ctx = int(config.vocab_size), int(config.max_position_embeddings)
        self.device, self.n_forwards = network.gpt_neox.embed_in.weight.device, 0

    def embed(self, batch: TokenBatch) -> Tensor:
        """(b, t, d_model): token embeddings; positions enter in the blocks' attention."""
        tokens = checked_tokens(self.name, batch.tokens, self.n_ctx, self.vocab_size)
        self.n_forwards += 1
        return self.network.gpt_neox.embed_in(torch.from_numpy(tokens).to(self.device))

    def blocks(self, h: Tensor, a: int, b: int, batch: TokenBatch) -> Tensor:
        """(b, t, d_model) after blocks a+1 … b of a raw residual stream; differentiable in h."""
        if not 0 <= a <= b <= self.n_layers:
            raise UserError(f"{self.name} has {self.n_layers} blocks; those after {a} up to {b} were asked for (0 <= a <= b <= {self.n_layers}).")
        if a == b:
            return h
        around = self._around(h, batch)
        for layer in self.network.gpt_neox.layers[a:b]:
            h = hidden_states(layer(h, **around))
        return h

    def head(self, h: Tensor, batch: TokenBatch) -> Tensor:
        """(b, t, vocab_size) logits: final LayerNorm and unembedding."""
        return self.network.lm_head(self.network.gpt_neox.final_layer_norm(h))

    @torch.no_grad()
    def residuals(self, batch: TokenBatch) -> Iterator[Tensor]:
        """(b, t, d_model) after block 1, 2 … n_layers, one at a time, without gradient.

        The last one is before the final LayerNorm, unlike transformers' `hidden_states[-1]`.
        """
        h = self.embed(batch)
        around = self._around(h, batch)
        for layer in self.network.gpt_neox.layers:
            h = hidden_states(layer(h, **around))
            yield h - h.mean(dim=-1, keepdim=True) if self.resid_mean == "removed" else h

    def _around(self, h: Tensor, batch: TokenBatch) -> dict[str, Any]:
        """What the model itself hands to each block: causal mask, positions, rotary cosines and sines.

        A block called without a mask is silently not causal with eager attention.
        """
        positions = torch.arange(h.shape[1], device=h.device).unsqueeze(0)
        padding = None if batch.mask is None else torch.from_numpy(batch.mask.astype(np.int64)).to(h.device)
        mask = create_causal_mask(
            config=self.network.config, inputs_embeds=h, attention_mask=padding, past_key_values=None, position_ids=positions
        )  # fmt: skip
        return {
            "attention_mask": mask,
            "position_ids": positions,
            "position_embeddings": self.network.gpt_neox.rotary_emb(h, position_ids=positions),
        }


def checked_config(name: str, config: Mapping[str, Any]) -> GPTNeoXConfig:
    """The configuration of a GPT-NeoX model from its config.json.

    Raises:
        UserError: another kind of model, or a key without which the network's shape would be guessed.
    """
    if not isinstance(config, Mapping):
        raise UserError(f"The config.json of {name} holds no JSON object. Fetch it anew.")
    kind = config.get("model_type", "gpt_neox")
    if kind != "gpt_neox":
        raise UserError(f"{name} is a {kind} model; this loader reads GPT-NeoX models (gpt_neox), such as Pythia.")
    missing = [key for key in CONFIG_KEYS if config.get(key) is None]
    scopes = [config, *(config[key] for key in ("rope_parameters", "rope_scaling") if isinstance(config.get(key), Mapping))]
    rotary = [scope[key] for scope in scopes for key in ("rotary_pct", "partial_rotary_factor") if scope.get(key) is not None]
    if not rotary:
        missing.append("rotary_pct (or rope_parameters.partial_rotary_factor)")
    if missing:
        raise UserError(f"The configuration of {name} lacks {', '.join(missing)}. Fetch its config.json anew or add what is missing.")
    if not all(type(part) in (int, float) and 0 < part <= 1 for part in rotary):
        given = str(rotary[0])[:40]
        raise UserError(f"The configuration of {name} gives the rotary part of a head as {given!r}; it is above 0 and at most 1. Fetch it anew.")
    for key in SIZES:
        if type(config[key]) is not int or not 1 <= config[key] <= MOST:
            given = str(config[key])[:40]
            raise UserError(f"The configuration of {name} gives {key} as {given!r}; it is a whole number, 1 to {MOST}. Fetch its config.json anew.")
    try:
        return GPTNeoXConfig(**{key: config[key] for key in (*CONFIG_KEYS, *OTHER_KEYS) if key in config}, use_cache=False)
    except Exception as error:  # transformers' validation raises classes of its own
        raise UserError(f"The configuration of {name} cannot be used: {told(error)}") from error


def check_room(name: str, config: GPTNeoXConfig, tensors: Mapping[str, Tensor]) -> None:
    """Raise a `UserError` where a configuration asks for far more numbers than are given: building its network could take all memory."""
    held, width = sum(value.numel() for value in tensors.values()), config.hidden_size
    asked = width * (2 * config.vocab_size + config.num_hidden_layers * (4 * width + 2 * config.intermediate_size))
    if asked > 2 * held + 2**20:
        raise UserError(
            f"The weights of {name} do not fit its configuration: it asks for {asked:,} numbers or more, the files hold {held:,}. Fetch them anew."
        )


def network_of(
    name: str, config: GPTNeoXConfig, tensors: Mapping[str, Tensor], dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> GPTNeoXForCausalLM:
    """The network with exactly the given weights; it is never made with random ones first, so that 12 billion need no double room.

    Raises:
        UserError: a weight is missing, foreign or of another shape.
    """
    # Published checkpoints call the unembedding embed_out, transformers 5 lm_head.
    given = {re.sub(r"^embed_out\.", "lm_head.", key): value for key, value in tensors.items() if not _BUFFERS.search(key)}
    check_room(name, config, given)
    try:
        with torch.device("meta"):
            network = GPTNeoXForCausalLM(config)
    except Exception as error:  # whatever a strange configuration makes torch and transformers say
        raise UserError(f"No network can be built from the configuration of {name}: {told(error)}") from error
    own = dict(network.named_parameters())
    for what, keys in (("lack", sorted(set(own) - set(given))), ("have what the network has not", sorted(set(given) - set(own)))):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise UserError(f"The weights of {name} {what}: {', '.join(keys[:3])}{more}. Fetch them anew; nothing was filled in.")
    for key, parameter in own.items():
        if parameter.shape != given[key].shape:
            raise UserError(
                f"The weights of {name} do not fit its configuration: {key} is {tuple(given[key].shape)}, expected {tuple(parameter.shape)}."
            )
    network.load_state_dict({key: given[key].to(device, dtype) for key in own}, strict=True, assign=True)
    network.gpt_neox.rotary_emb = GPTNeoXRotaryEmbedding(config).to(device)  # its frequencies are no part of the weights
    return network


def load_folder(
    folder: Path, name: str, resid_mean: str = "removed", files: list[str] | None = None, dtype: str = "float32", device: str = "cpu"
) -> NeoxResidualModel:
    """A model from a folder with config.json and weights, such as a downloaded Pythia.

    Args:
        files: the weights; default every .safetensors file. Torch's own files are read with `weights_only=True`.
    """
    files = sorted(path.name for path in folder.glob("*.safetensors")) if files is None else files
    if not (folder / "config.json").exists() or not files:
        raise UserError(f"{name} needs config.json and at least one .safetensors file in {folder}; fetch the model anew.")
    try:
        config = checked_config(name, json.loads((folder / "config.json").read_text("utf-8")))
    except UserError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"The files of {name} in {folder} cannot be read ({told(error)}). Fetch the model anew.") from error
    return NeoxResidualModel(network_of(name, config, read_tensors(name, folder, files), getattr(torch, dtype), device), name, resid_mean)


def load_hub(spec: ModelSpec, resid_mean: str = "removed", dtype: str = "float32", device: str = "cpu") -> NeoxResidualModel:
    """A Pythia, or another GPT-NeoX model of the hub, at its pinned commit; what is missing is downloaded."""
    from repdiss_core import hub
    from repdiss_core.data.tokenizer import check_size
    from repdiss_core.models.paper_models import repo_of, weight_files

    repo = repo_of(spec)
    files = weight_files(hub.pin(repo).files)
    folder = hub.fetch(repo, ["config.json", *files])
    model = load_folder(folder, spec.name, resid_mean, files, dtype, device)
    check_depth(spec, model.n_layers)
    check_size(spec.name, spec.tokenizer_repo, model.vocab_size)
    return model


def load_path(spec: ModelSpec, resid_mean: str = "removed", dtype: str = "float32", device: str = "cpu") -> NeoxResidualModel:
    """A model of a folder that the user named."""
    from repdiss_core.data.tokenizer import check_size
    from repdiss_core.models.paper_models import weight_files

    folder = Path(spec.name.removeprefix("path:")).expanduser()
    model = load_folder(folder, spec.name, resid_mean, weight_files([path.name for path in folder.iterdir()]), dtype, device)
    check_size(spec.name, spec.tokenizer_repo, model.vocab_size)
    return model


def load_family(spec: ModelSpec, resid_mean: str = "removed") -> NeoxResidualModel:
    """A member of the bundled family, or one of its checkpoints, in float32; its weights are checked against the facts."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from repdiss_core.bundled import family
    from repdiss_core.bundled.family.network import neox_config
    from repdiss_core.bundled.family.recipe import NeoxArchitecture

    path = family.weights_file(spec.name)
    restore = check_weights(spec, path, "repdiss_core/bundled/family/weights")
    architecture = NeoxArchitecture(**family.facts()["models"][spec.name]["architecture"])
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise UserError(f"The weights of {spec.name} cannot be read ({error}). {restore}") from error
    return NeoxResidualModel(network_of(spec.name, neox_config(architecture), tensors), spec.name, resid_mean)

"""Networks of transformers with exactly the given weights, or none. Imports torch.

Nothing of a checkpoint is executed: weights are tensors alone, code that a configuration names is never fetched, and
what could ask for more memory than the weights justify is refused before it is built.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_MAPPING
from transformers.utils import logging as transformers_logging

from repdiss_core.base.errors import UserError, one_line
from repdiss_core.models.families import family_of, is_encoder, shape_of_family

# Keys of a config.json that name code or kernels, change what is given out, or belong to a task that is not run here.
DROPPED = re.compile(
    r"auto_map|custom_pipelines|attn_implementation|_attn_implementation.*|experts_implementation|_experts_implementation.*|use_kernels|"
    r"torch_dtype|dtype|output_.*|return_dict|use_cache|num_labels|id2label|label2id|problem_type|_name_or_path|name_or_path|architectures|"
    r"transformers_version|pruned_heads|add_cross_attention|cross_attention_hidden_size|chunk_size_feed_forward|gradient_checkpointing|"
    r"task_specific_params|backbone.*|use_timm_backbone|base_model_.*_plan|model_type|quantization_config|compression_config|_commit_hash"
)
# What older checkpoints carry and the network makes itself.
BUFFERS = re.compile(r"\.(attention|attn)\.(bias|masked_bias)$|(^|\.)rotary_emb\.|(^|\.)position_ids$|\.inv_freq$")
UNUSED_IN_ENCODERS = re.compile(r"(^|\.)pooler\.")  # what comes after the last block of an encoder is not read
ROOM_FOR_BUFFERS = 2**28  # numbers that a network may make itself


def config_of(name: str, said: Mapping[str, Any]) -> PreTrainedConfig:
    """The configuration that a config.json states, without what names code or asks for other outputs.

    Raises:
        UserError: a kind of model that is not read, quantised weights, or values that transformers refuses.
    """
    family_of(name, said)
    shape_of_family(name, said)
    kind = str(said["model_type"])
    handed = {key: value for key, value in said.items() if not DROPPED.fullmatch(key)}
    try:
        with quiet():
            built = transformers.CONFIG_MAPPING[kind](**handed)
    except Exception as error:  # transformers' validation raises classes of its own
        raise UserError(f"The configuration of {name} cannot be used: {one_line(error)}") from error
    built.use_cache = False
    return built


def network_class(name: str, config: PreTrainedConfig) -> Any:
    """The class of transformers that runs the configuration: with its unembedding for decoders,
    without any head for encoders.

    Raises:
        UserError: transformers has none.
    """
    mapping = MODEL_MAPPING if is_encoder(config.to_dict()) else MODEL_FOR_CAUSAL_LM_MAPPING
    if type(config) not in mapping:
        raise UserError(
            f"{name} is of the architecture {config.model_type}, which is no language model in transformers: "
            "RepDiss compares "
            "models that read text in one residual stream."
        )
    return mapping[type(config)]


def network_with(
    name: str, config: PreTrainedConfig, tensors: Mapping[str, Tensor], dtype: torch.dtype
) -> PreTrainedModel:
    """The network with exactly the given weights.

    Raises:
        UserError: a weight is missing, foreign or of another shape; the configuration asks for far more than the files
            hold.
    """
    built = network_class(name, config)
    _check_room(name, built, config, tensors)
    # An ignored mismatch is a weight that is missing, which is refused below with its name and shapes.
    given = {"state_dict": dict(tensors), "dtype": dtype, "output_loading_info": True, "ignore_mismatched_sizes": True}
    try:
        with quiet():
            network, info = built.from_pretrained(None, config=config, **given)
    except Exception as error:  # whatever a strange checkpoint makes torch and transformers say
        raise UserError(
            f"The weights of {name} do not fit its configuration: {one_line(error)}. Fetch them anew."
        ) from error
    check_loaded(name, network, info)
    return network.eval().requires_grad_(False)


def check_loaded(name: str, network: PreTrainedModel, info: Mapping[str, Any]) -> None:
    """Raise a `UserError` where transformers filled a weight in, left one out, or untied what the configuration ties.

    Args:
        info: what `from_pretrained` gives with `output_loading_info=True`.
    """
    encoder = is_encoder(network.config.to_dict())
    for key, there, expected in info["mismatched_keys"]:
        raise UserError(
            f"The weights of {name} do not fit its configuration: {key} is {tuple(there)}, expected {tuple(expected)}."
        )
    missing = sorted(key for key in info["missing_keys"] if not (encoder and UNUSED_IN_ENCODERS.search(key)))
    parts = {child for child, _ in network.base_model.named_children()} | {network.base_model_prefix}
    foreign = sorted(
        key
        for key in info["unexpected_keys"]
        if not BUFFERS.search(key) and not (encoder and key.split(".")[0] not in parts)  # an encoder's heads
    )
    for what, keys in (("lack", missing), ("have what the network has not", foreign)):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise UserError(
                f"The weights of {name} {what}: {', '.join(keys[:3])}{more}. Fetch them anew; nothing was filled in."
            )
    embedding, head = network.get_input_embeddings(), network.get_output_embeddings()
    if head is not None and getattr(network.config, "tie_word_embeddings", False) and not _same(embedding, head):
        raise UserError(
            f"The configuration of {name} ties its unembedding to its embedding, but its weights hold two. "
            "Fetch them anew."
        )


def _same(embedding: nn.Module, head: nn.Module) -> bool:
    one, other = cast("Tensor", embedding.weight), cast("Tensor", head.weight)
    return one is other or (one.shape == other.shape and torch.equal(one, other))


def _check_room(name: str, built: Any, config: PreTrainedConfig, tensors: Mapping[str, Tensor]) -> None:
    """Raise a `UserError` where a configuration asks for far more numbers than are given:
    building its network could take all memory."""
    try:
        with torch.device("meta"), quiet():
            hollow = built(config)
    except Exception as error:  # whatever a strange configuration makes torch and transformers say
        raise UserError(f"No network can be built from the configuration of {name}: {one_line(error)}") from error
    held = sum(value.numel() for value in tensors.values())
    asked = sum(value.numel() for value in hollow.parameters())
    made = sum(value.numel() for value in hollow.buffers())
    if asked > 2 * held + 2**20 or made > held + ROOM_FOR_BUFFERS:
        raise UserError(
            f"The weights of {name} do not fit its configuration: it asks for {asked + made:,} numbers, "
            f"the files hold {held:,}. "
            "Fetch them anew."
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside, transformers neither warns nor draws progress bars:
    what matters of it is said in sentences of our own."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(transformers_logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()

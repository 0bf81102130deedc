"""The families of transformers that the adapter reads, and what a config.json says of them. Imports no torch.

`FAMILIES` names those that the tests run on a tiny network against transformers' own forward pass
(`tests/models/test_adapter.py`). Another causal language model of transformers is read as well: whatever it is, it
passes the checks of `load_checks` or is refused.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from repdiss_core.base.errors import UserError
from repdiss_core.data.encoder_types import ENCODER_TYPES
from repdiss_core.models.architectures import MOST, Shape

BEFORE, ROOT_MEAN_SQUARE, AFTER = "LayerNorm", "RMSNorm", "LayerNorm after each addition"
NO_LIMIT = 2**20  # tokens of a sequence, where a model sets none (state-space models)


@dataclass(frozen=True)
class Family:
    """A model_type of transformers.

    Args:
        label: for people.
        norm: "LayerNorm" before attention and MLP, which takes each token's mean away before a block reads it; anything
            else does not.
    """

    label: str
    norm: str = ROOT_MEAN_SQUARE


FAMILIES: dict[str, Family] = {
    "gpt2": Family("GPT-2", BEFORE),
    "gpt_neo": Family("GPT-Neo", BEFORE),
    "gptj": Family("GPT-J", BEFORE),
    "gpt_neox": Family("GPT-NeoX", BEFORE),
    "opt": Family("OPT", BEFORE),
    "bloom": Family("BLOOM", BEFORE),
    "falcon": Family("Falcon", BEFORE),
    "mpt": Family("MPT", BEFORE),
    "llama": Family("Llama"),
    "mistral": Family("Mistral"),
    "ministral": Family("Ministral"),
    "ministral3": Family("Ministral 3"),
    "mixtral": Family("Mixtral"),
    "qwen2": Family("Qwen2"),
    "qwen3": Family("Qwen3"),
    "qwen3_moe": Family("Qwen3 with experts"),
    "gemma": Family("Gemma"),
    "gemma2": Family("Gemma 2"),
    "gemma3_text": Family("Gemma 3"),
    "phi": Family("Phi", BEFORE),
    "phi3": Family("Phi-3"),
    "olmo2": Family("OLMo 2"),
    "olmo3": Family("OLMo 3"),
    "smollm3": Family("SmolLM3"),
    "granite": Family("Granite"),
    "stablelm": Family("StableLM", BEFORE),
    "starcoder2": Family("StarCoder2", BEFORE),
    "glm4": Family("GLM-4"),
    "gpt_oss": Family("gpt-oss"),
    "mamba": Family("Mamba"),
    **{kind: Family(label, AFTER) for kind, label in ENCODER_TYPES.items()},
}
# How the families' config.json call one size; the first that is there counts.
SPELLINGS = {
    "n_layers": ("num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    "d_model": ("hidden_size", "n_embd", "d_model", "dim"),
    "n_heads": ("num_attention_heads", "n_head", "num_heads", "n_heads"),
    "vocab_size": ("vocab_size",),
    "n_ctx": ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx"),
    "d_mlp": ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "hidden_dim"),
    "activation": ("hidden_act", "hidden_activation", "activation_function", "activation", "hidden_activations"),
}
NEEDED = ("n_layers", "d_model", "vocab_size")
FROM_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet")  # positions are counted from behind the id of padding
LAYERS_AT_MOST, EXPERTS_AT_MOST = 1024, 4096
EXPERT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


def is_encoder(config: Mapping[str, Any]) -> bool:
    """Whether the configuration is that of an encoder."""
    return config.get("model_type") in ENCODER_TYPES and not config.get("is_decoder")


def family_of(name: str, config: Any) -> Family:
    """The family that a config.json names.

    Raises:
        UserError: quantised weights, two streams (encoder and decoder), or a kind of model that transformers does not
            have.
    """
    if not isinstance(config, Mapping):
        raise UserError(f"The config.json of {name} holds no JSON object. Fetch it anew.")
    check_precision(name, config)
    kind = config.get("model_type", "nothing named")
    if config.get("is_encoder_decoder"):
        raise UserError(
            f"{name} is of the architecture {str(kind)[:40]}, an encoder and a decoder with a residual stream each; "
            "RepDiss compares models of one stream: decoders and encoders. Choose one of these."
        )
    if not isinstance(kind, str) or not (kind in FAMILIES or kind in _kinds_of_transformers()):
        raise UserError(
            f"{name} is of the architecture {str(kind)[:40]}, which the installed transformers does not have; "
            "RepDiss compares "
            f"{', '.join(FAMILIES)} and other language models of transformers. "
            "The paper's gelu, solu and BERT models have names of their own."
        )
    return FAMILIES.get(kind, Family(kind))


def check_precision(name: str, config: Mapping[str, Any]) -> None:
    """Raise a `UserError` where the weights are quantised in a form that needs a GPU library to be read."""
    said = config.get("quantization_config") or config.get("compression_config")
    if said:
        method = said.get("quant_method", "in an unnamed form") if isinstance(said, Mapping) else str(said)
        raise UserError(
            f"The weights of {name} are quantised ({str(method)[:40]}), which only a library for GPUs reads. "
            "Choose the model's copy in float32, bfloat16 or float16, or a GGUF file, "
            "which RepDiss turns back into numbers."
        )


def shape_of_family(name: str, config: Mapping[str, Any]) -> Shape:
    """The sizes that a config.json states; n_heads is 0 where there is no attention.

    Raises:
        UserError: a size is missing or no whole number, or there are more layers or experts than any model has.
    """
    given = {key: _stated(config, key) for key in SPELLINGS if key != "activation"}
    missing = [" or ".join(SPELLINGS[key][:2]) for key in NEEDED if given[key] is None]
    if missing:
        raise UserError(
            f"The configuration of {name} lacks {', '.join(missing)}. "
            "Fetch its config.json anew or add what is missing."
        )
    experts = {key: config[key] for key in EXPERT_KEYS if config.get(key) is not None}
    limits = {"n_layers": LAYERS_AT_MOST, **dict.fromkeys(experts, EXPERTS_AT_MOST)}
    for key, value in (given | experts).items():
        most = limits.get(key, MOST)
        if value is not None and (type(value) is not int or not 1 <= value <= most):
            raise UserError(
                f"The configuration of {name} gives {SPELLINGS.get(key, (key,))[0]} as {str(value)[:40]!r}; "
                "it is a whole "
                f"number, 1 to {most}. Fetch its config.json anew."
            )
    d, n_heads = given["d_model"], given["n_heads"] or 0
    n_ctx = given["n_ctx"] or NO_LIMIT
    if config.get("model_type") in FROM_PADDING:
        n_ctx = max(1, n_ctx - int(config.get("pad_token_id") or 0) - 1)
    n_kv = config.get("num_key_value_heads") or n_heads
    d_head = config.get("head_dim") or (d // n_heads if n_heads else 0)
    return Shape(given["n_layers"], d, n_heads, n_kv, d_head, given["d_mlp"] or 4 * d, given["vocab_size"], n_ctx)


def activation_of(config: Mapping[str, Any]) -> str:
    """The activation function of the MLP as the configuration calls it, "" where it does not say."""
    found = _stated(config, "activation")
    return found if isinstance(found, str) else ""


def _stated(config: Mapping[str, Any], key: str) -> Any:
    return next((config[name] for name in SPELLINGS[key] if config.get(name) is not None), None)


@functools.lru_cache(maxsize=1)
def _kinds_of_transformers() -> frozenset[str]:
    """The folders of models in the installed transformers, found without importing it."""
    found = find_spec("transformers")
    if found is None or found.origin is None:
        return frozenset()
    return frozenset(path.parent.name for path in (Path(found.origin).parent / "models").glob("*/modeling_*.py"))

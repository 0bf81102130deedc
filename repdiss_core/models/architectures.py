"""The decoder-only architectures that RepDiss reads: where their parts lie, and what a config.json has to say.

Imports no torch.

To add one: an entry of ARCHITECTURES. `tests/models/test_decoder.py` runs over all of them against transformers' own
forward pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from repdiss_core.base.errors import UserError

MOST = 2**24  # of any one size; what a network takes in all is checked against its files
MOST_TABLED = 2**14  # positions, where each block holds a table of positions × positions
# How transformers calls what decides a network's shape. Where a file leaves one out, transformers fills in another
# model's.
SHAPE = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")
_MORE_SIZES = (
    "intermediate_size",
    "num_key_value_heads",
    "head_dim",
    "sliding_window",
    "window_size",
    "query_pre_attn_scalar",
)
_ROPE = ("rope_parameters", "rope_scaling", "rope_theta")
_ALL = ("model_type", "tie_word_embeddings", "initializer_range")


@dataclass(frozen=True)
class Architecture:
    """How one `model_type` of transformers is built.

    Args:
        label: for people.
        config, network: transformers' classes.
        blocks, norm, positions: attributes of the base model: list of blocks, final norm, learned positions ("" where
            they are rotary).
        spelled: {transformers' name of a size: its name in this architecture's config.json}.
        needed: keys without which the network's shape would be guessed, beside SHAPE.
        others: further keys that change what the network computes. Nothing else of a config.json is handed over: other
            keys could ask for more memory than there is (`num_labels`) or name code to be fetched.
        root_mean_square: norms divide by the root mean square and do not subtract the mean.
        gated: the MLP multiplies by a gate.
        biases: (queries, keys and values; output of attention; MLP): True, False, or the key of config.json that says
            so.
        biases_unless_said: what such a key means where it is missing.
        normed_heads: queries and keys pass a norm of a head's size.
        norms_a_block: beside those of heads.
        tied: whether the unembedding is the embedding where a config.json does not say.
        tables: each block holds a table of positions × positions.
    """

    label: str
    config: str
    network: str
    blocks: str = "layers"
    norm: str = "norm"
    positions: str = ""
    spelled: Mapping[str, str] = field(default_factory=dict)
    needed: tuple[str, ...] = ("intermediate_size", "hidden_act")
    others: tuple[str, ...] = (*_ROPE, "rms_norm_eps")
    root_mean_square: bool = True
    gated: bool = True
    biases: tuple[bool | str, bool | str, bool | str] = (False, False, False)
    biases_unless_said: bool = False
    normed_heads: bool = False
    norms_a_block: int = 2
    tied: bool = False
    tables: bool = False

    def spelling(self, key: str, config: Mapping[str, Any]) -> str:
        """The name under which a config.json states `key`: the architecture's own, or transformers' common one."""
        own = self.spelled.get(key, key)
        return key if own not in config and key in config else own

    def handed_over(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What of a config.json reaches transformers; of a size that is stated under two names,
        the one that `shape_of` reads."""
        names = [self.spelling(key, config) for key in (*SHAPE, *self.needed, *self.others, *_MORE_SIZES, *_ALL)]
        return {name: config[name] for name in names if name in config}


_WINDOWS = ("use_sliding_window", "max_window_layers", "layer_types")
ARCHITECTURES: dict[str, Architecture] = {
    "gpt_neox": Architecture(
        "GPT-NeoX", "GPTNeoXConfig", "GPTNeoXForCausalLM", norm="final_layer_norm", root_mean_square=False, gated=False,
        others=("rotary_pct", "rotary_emb_base", *_ROPE, "layer_norm_eps", "use_parallel_residual", "attention_bias"),
        biases=("attention_bias", "attention_bias", True), biases_unless_said=True,
    ),
    "gpt2": Architecture(
        "GPT-2", "GPT2Config", "GPT2LMHeadModel", blocks="h", norm="ln_f", positions="wpe", root_mean_square=False,
        gated=False,
        spelled={
            "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
            "max_position_embeddings": "n_positions",
            "intermediate_size": "n_inner", "hidden_act": "activation_function",
        },
        needed=("hidden_act",),
        others=("layer_norm_epsilon", "scale_attn_weights", "scale_attn_by_inverse_layer_idx",
            "reorder_and_upcast_attn"), biases=(True, True, True),
        tied=True,
    ),
    "gpt_neo": Architecture(
        "GPT-Neo", "GPTNeoConfig", "GPTNeoForCausalLM", blocks="h", norm="ln_f", positions="wpe",
        root_mean_square=False, gated=False,
        spelled={"num_hidden_layers": "num_layers", "num_attention_heads": "num_heads",
            "hidden_act": "activation_function"},
        needed=("hidden_act", "attention_types", "window_size"), others=("layer_norm_epsilon",),
        biases=(False, True, True), tied=True, tables=True,
    ),
    "llama": Architecture(
        "Llama", "LlamaConfig", "LlamaForCausalLM", others=(*_ROPE, "rms_norm_eps", "attention_bias", "mlp_bias"),
        biases=("attention_bias", "attention_bias", "mlp_bias"),
    ),
    "mistral": Architecture(
        "Mistral", "MistralConfig", "MistralForCausalLM",
        needed=("intermediate_size", "hidden_act", "num_key_value_heads"),
    ),
    "qwen2": Architecture(
        "Qwen2", "Qwen2Config", "Qwen2ForCausalLM", needed=("intermediate_size", "hidden_act", "num_key_value_heads"),
        others=(*_ROPE, "rms_norm_eps", *_WINDOWS), biases=(True, False, False),
    ),
    "qwen3": Architecture(
        "Qwen3", "Qwen3Config", "Qwen3ForCausalLM",
        needed=("intermediate_size", "hidden_act", "num_key_value_heads", "head_dim"),
        others=(*_ROPE, "rms_norm_eps", "attention_bias", *_WINDOWS),
        biases=("attention_bias", "attention_bias", False), normed_heads=True,
    ),
    "gemma": Architecture(
        "Gemma", "GemmaConfig", "GemmaForCausalLM",
        needed=("intermediate_size", "hidden_act", "num_key_value_heads", "head_dim"),
        others=(*_ROPE, "rms_norm_eps", "attention_bias"), biases=("attention_bias", "attention_bias", False),
        tied=True,
    ),
    "gemma2": Architecture(
        "Gemma 2", "Gemma2Config", "Gemma2ForCausalLM", spelled={"hidden_act": "hidden_activation"},
        needed=("intermediate_size", "hidden_act", "num_key_value_heads", "head_dim", "sliding_window",
            "query_pre_attn_scalar"),
        others=(*_ROPE, "rms_norm_eps", "attention_bias", "layer_types", "final_logit_softcapping",
            "attn_logit_softcapping"),
        biases=("attention_bias", "attention_bias", False), norms_a_block=4, tied=True,
    ),
}  # fmt: skip
SUPPORTED = ", ".join(f"{kind} ({known.label})" for kind, known in ARCHITECTURES.items())


@dataclass(frozen=True)
class Shape:
    """The sizes of a network, checked; n_kv heads of keys and values are shared by the n_heads of queries."""

    n_layers: int
    d_model: int
    n_heads: int
    n_kv: int
    d_head: int
    d_mlp: int
    vocab_size: int
    n_ctx: int


def architecture_of(name: str, config: Any) -> Architecture:
    """The architecture that a config.json names.

    Raises:
        UserError: none that is read here, with those that are.
    """
    if not isinstance(config, Mapping):
        raise UserError(f"The config.json of {name} holds no JSON object. Fetch it anew.")
    kind = config.get("model_type", "nothing named")
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        raise UserError(
            f"{name} is of the architecture {str(kind)[:40]}; RepDiss compares {SUPPORTED}. "
            "The paper's gelu, solu and BERT models have names of their own."
        )
    return ARCHITECTURES[kind]


def shape_of(name: str, config: Mapping[str, Any]) -> Shape:
    """The sizes that a config.json states.

    Raises:
        UserError: an unsupported architecture, a key without which the shape would be guessed, or a size that is no
            whole number.
    """
    known = architecture_of(name, config)
    given: dict[str, Any] = {
        key: config.get(known.spelling(key, config)) for key in (*SHAPE, *known.needed, *_MORE_SIZES)
    }
    missing = [known.spelled.get(key, key) for key in (*SHAPE, *known.needed) if given[key] is None]
    if "rotary_pct" in known.others and not _rotary_shares(config):
        missing.append("rotary_pct (or rope_parameters.partial_rotary_factor)")
    if missing:
        raise UserError(
            f"The configuration of {name} lacks {', '.join(missing)}. "
            "Fetch its config.json anew or add what is missing."
        )
    for key in (*SHAPE, *_MORE_SIZES):
        if given[key] is not None and (type(given[key]) is not int or not 1 <= given[key] <= MOST):
            _refuse(name, known.spelled.get(key, key), given[key], f"a whole number, 1 to {MOST}")
    shares = _rotary_shares(config)
    if not all(type(part) in (int, float) and 0 < part <= 1 for part in shares):
        _refuse(name, "the rotary part of a head", shares[0], "above 0 and at most 1")
    d, n_heads, n_layers = given["hidden_size"], given["num_attention_heads"], given["num_hidden_layers"]
    _check_kinds_of_attention(name, known, config, n_layers)
    if known.tables and given["max_position_embeddings"] > MOST_TABLED:
        _refuse(
            name,
            "max_position_embeddings",
            given["max_position_embeddings"],
            f"at most {MOST_TABLED} in this architecture",
        )
    return Shape(
        n_layers, d, n_heads, given["num_key_value_heads"] or n_heads, given["head_dim"] or max(1, d // n_heads),
        given["intermediate_size"] or 4 * d, given["vocab_size"], given["max_position_embeddings"],
    )  # fmt: skip


def n_parameters(config: Mapping[str, Any], shape: Shape) -> int:
    """How many parameters the network has, a tied unembedding counted once."""
    known, d = ARCHITECTURES[config["model_type"]], shape.d_model
    qkv_bias, out_bias, mlp_bias = (
        config.get(b, known.biases_unless_said) if isinstance(b, str) else b for b in known.biases
    )
    queries, keys, norm = (
        shape.n_heads * shape.d_head,
        shape.n_kv * shape.d_head,
        d if known.root_mean_square else 2 * d,
    )
    attention = 2 * d * (queries + keys) + (queries + 2 * keys if qkv_bias else 0) + (d if out_bias else 0)
    up = 2 if known.gated else 1
    mlp = (up + 1) * d * shape.d_mlp + (up * shape.d_mlp + d if mlp_bias else 0)
    block = attention + mlp + known.norms_a_block * norm + (2 * shape.d_head if known.normed_heads else 0)
    tables = shape.vocab_size * d * (1 if is_tied(config) else 2) + (shape.n_ctx * d if known.positions else 0)
    return tables + shape.n_layers * block + norm


def is_tied(config: Mapping[str, Any]) -> bool:
    """Whether the unembedding is the embedding."""
    return bool(config.get("tie_word_embeddings", ARCHITECTURES[config["model_type"]].tied))


def _rotary_shares(config: Mapping[str, Any]) -> list[Any]:
    scopes = [
        config,
        *(config[key] for key in ("rope_parameters", "rope_scaling") if isinstance(config.get(key), Mapping)),
    ]
    return [
        scope[key] for scope in scopes for key in ("rotary_pct", "partial_rotary_factor") if scope.get(key) is not None
    ]


def _check_kinds_of_attention(name: str, known: Architecture, config: Mapping[str, Any], n_layers: int) -> None:
    """What says of each block whether it sees all tokens or a window; transformers expands it before it checks it."""
    types, of = (
        config.get("layer_types") if "layer_types" in known.others else None,
        {"full_attention", "sliding_attention"},
    )
    if types is not None and not (isinstance(types, list) and len(types) == n_layers and set(map(str, types)) <= of):
        _refuse(name, "layer_types", types, f'a list of {n_layers} times "full_attention" or "sliding_attention"')
    if "attention_types" in known.needed:
        parts = config["attention_types"]
        try:
            whole = (
                sum(len(kinds) * times for kinds, times in parts)
                if all(type(times) is int and times > 0 for _, times in parts)
                else 0
            )
            right = whole == n_layers and all(
                {*kinds} <= {"global", "local"} and isinstance(kinds, list) for kinds, _ in parts
            )
        except (TypeError, ValueError):
            right = False
        if not right:
            _refuse(name, "attention_types", parts, f'[[["global", "local"], times], …] for {n_layers} blocks')


def _refuse(name: str, key: str, given: Any, expected: str) -> None:
    raise UserError(
        f"The configuration of {name} gives {key} as {str(given)[:40]!r}; it is {expected}. Fetch its config.json anew."
    )

"""Tiny random networks of every family that the adapter is tested on, as transformers builds them."""

from __future__ import annotations

from typing import Any

import torch
import transformers

VOCABULARY, WIDTH, DEPTH, CONTEXT = 97, 32, 3, 64
BASE = {
    "vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": DEPTH, "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": CONTEXT, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "initializer_range": 0.2,
}  # fmt: skip
SHARED_HEADS: dict[str, Any] = {"num_key_value_heads": 2}
HEADS_OF_8 = {**SHARED_HEADS, "head_dim": 8}
PLAIN_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
MINISTRAL_ROPE = {
    "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16,
    "beta_fast": 32.0, "beta_slow": 1.0,
    "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1,
}  # fmt: skip
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
WINDOW = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
SPECIAL = {"cls_token_id": 1, "sep_token_id": 2}
# family: (model_type of transformers, what its configuration says beside BASE)
DECODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", {}),
    "gpt_neo": ("gpt_neo", {"attention_types": [[["global", "local"], 1], [["global"], 1]], "num_layers": DEPTH,
        "window_size": 4}),
    "gptj": ("gptj", {"rotary_dim": 4}),
    "gpt_neox": ("gpt_neox", {}),
    "opt": ("opt", {"ffn_dim": 48, "word_embed_proj_dim": WIDTH}),
    "opt, narrow embedding": ("opt", {"ffn_dim": 48, "word_embed_proj_dim": 16}),
    "bloom": ("bloom", {}),
    "falcon": ("falcon", {"alibi": False, "new_decoder_architecture": False}),
    "falcon, alibi": ("falcon", {"alibi": True, "parallel_attn": False, "multi_query": False}),
    "mpt": ("mpt", {"max_seq_len": CONTEXT}),
    "llama": ("llama", SHARED_HEADS),
    "mistral": ("mistral", {**SHARED_HEADS, "sliding_window": 4}),
    "ministral": ("ministral", {**HEADS_OF_8, **WINDOW}),
    "ministral3": ("ministral3", {**HEADS_OF_8, "rope_parameters": MINISTRAL_ROPE}),
    "mixtral": ("mixtral", {**SHARED_HEADS, **EXPERTS}),
    "qwen2": ("qwen2", SHARED_HEADS),
    "qwen3": ("qwen3", HEADS_OF_8),
    "qwen3_moe": ("qwen3_moe", {**HEADS_OF_8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}),
    "gemma": ("gemma", HEADS_OF_8),
    "gemma2": ("gemma2", {**HEADS_OF_8, **WINDOW, "query_pre_attn_scalar": 8, "final_logit_softcapping": 3.0}),
    "gemma3": ("gemma3_text", {**HEADS_OF_8, **WINDOW, "query_pre_attn_scalar": 8}),
    "phi": ("phi", {}),
    "phi3": ("phi3", SHARED_HEADS),
    "olmo2": ("olmo2", SHARED_HEADS),
    "olmo3": ("olmo3", {**SHARED_HEADS, **WINDOW}),
    "smollm3": ("smollm3", SHARED_HEADS),
    "granite": ("granite", {**SHARED_HEADS, "logits_scaling": 4.0, "residual_multiplier": 0.5,
        "embedding_multiplier": 3.0}),
    "stablelm": ("stablelm", {**SHARED_HEADS, "use_parallel_residual": True}),
    "starcoder2": ("starcoder2", SHARED_HEADS),
    "glm4": ("glm4", {**HEADS_OF_8, "partial_rotary_factor": 0.5}),
    "gpt_oss": ("gpt_oss", {**HEADS_OF_8, **EXPERTS, **WINDOW, **PLAIN_ROPE}),
    "mamba": ("mamba", {"state_size": 4}),
}  # fmt: skip
ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", {}),
    "roberta": ("roberta", {}),
    "distilbert": ("distilbert", {"hidden_dim": 48}),
    "electra": ("electra", {"embedding_size": 16}),
    "deberta_v2": ("deberta-v2", {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8}),
    "modernbert": ("modernbert", {**SPECIAL, "global_attn_every_n_layers": 2, "local_attention": 4}),
}
FAMILIES = DECODERS | ENCODERS


def config_of(family: str, **changes: Any) -> transformers.PreTrainedConfig:
    kind, said = FAMILIES[family]
    return transformers.CONFIG_MAPPING[kind](**{**BASE, **said, **changes})


def network_of(family: str, seed: int = 0, **changes: Any) -> transformers.PreTrainedModel:
    """The network, biases and norms away from their 0 and 1, so that a forgotten one shows."""
    auto = transformers.AutoModelForCausalLM if family in DECODERS else transformers.AutoModel
    torch.manual_seed(seed)
    network = auto.from_config(config_of(family, **changes)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return network

"""The family's network: transformers' GPT-NeoX, and a faster forward pass of the same parameters for training."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXAttention, GPTNeoXLayer

from repdiss_core.bundled.family.recipe import NeoxArchitecture


def neox_config(architecture: NeoxArchitecture) -> GPTNeoXConfig:
    """The configuration of transformers."""
    a = architecture
    rotary: dict[str, Any] = {"rotary_pct": a.rotary_fraction}  # read by transformers, though its signature lacks it
    return GPTNeoXConfig(
        vocab_size=a.vocab_size,
        hidden_size=a.d_model,
        num_hidden_layers=a.n_layers,
        num_attention_heads=a.n_heads,
        intermediate_size=a.d_mlp,
        max_position_embeddings=a.n_ctx,
        **rotary,
        use_parallel_residual=True,
        tie_word_embeddings=False,
        use_cache=False,
        bos_token_id=None,
        eos_token_id=None,
    )


def new_model(architecture: NeoxArchitecture, seed: int) -> GPTNeoXForCausalLM:
    """A model with its first weights; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPTNeoXForCausalLM(neox_config(architecture)).float()


def fast_logits(model: GPTNeoXForCausalLM, tokens: Tensor) -> Tensor:
    """Logits (b, t, vocabulary) of (b, t) tokens, equal to `model(tokens).logits`; no padding, no cache."""
    return model.lm_head(_final_states(model, tokens))


def training_loss(model: GPTNeoXForCausalLM, tokens: Tensor) -> Tensor:
    """Mean cross-entropy of tokens 2 … t given those before them, in nats a token.

    The logits of the last position, which predicts nothing, are not computed, nor are the gradients of the logits kept.
    """
    h = _final_states(model, tokens)[:, :-1]
    return _HeadLoss.apply(h.reshape(-1, h.shape[-1]), model.lm_head.weight, tokens[:, 1:].reshape(-1))


class _HeadLoss(torch.autograd.Function):
    """Unembedding and mean cross-entropy at once; gradients are made in the forward pass, in place."""

    @staticmethod
    def forward(ctx: FunctionCtx, h: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        low = torch.bfloat16 if torch.is_autocast_enabled("cpu") else h.dtype
        h_low, weight_low = h.to(low), weight.to(low)
        logits = (h_low @ weight_low.T).float()
        log_z = logits.logsumexp(dim=-1, keepdim=True)
        loss = (log_z - logits.gather(1, targets[:, None])).mean()
        logits.sub_(log_z).exp_()
        logits.scatter_add_(1, targets[:, None], torch.full((len(targets), 1), -1.0))
        slopes = logits.div_(len(targets)).to(low)
        ctx.save_for_backward((slopes @ weight_low).to(h.dtype), (slopes.T @ h_low).to(weight.dtype))
        return loss

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, Tensor, None]:
        for_h, for_weight = ctx.saved_tensors
        return for_h * scale, for_weight * scale, None


def _final_states(model: GPTNeoXForCausalLM, tokens: Tensor) -> Tensor:
    base = model.gpt_neox
    h = base.embed_in(tokens)
    cos, sin = base.rotary_emb(h, position_ids=torch.arange(tokens.shape[1]).unsqueeze(0))
    half = sin.shape[-1] // 2
    turn = cos[0], torch.cat([-sin[0, :, :half], sin[0, :, half:]], dim=-1)
    for layer in base.layers:
        assert isinstance(layer, GPTNeoXLayer)
        # Parallel residual: attention and MLP read the same stream, each through a LayerNorm of its own.
        h = (
            h
            + _attention(layer.attention, layer.input_layernorm(h), turn)
            + layer.mlp(layer.post_attention_layernorm(h))
        )
    return base.final_layer_norm(h)


def _attention(attention: GPTNeoXAttention, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    b, t, d = x.shape
    size = attention.head_size
    # Attention itself in float32: in bfloat16 the backward pass of small heads takes four times as long on a CPU.
    qkv = attention.query_key_value(x).float().view(b, t, -1, 3, size).permute(3, 0, 2, 1, 4)
    cos, sin = turn
    half = cos.shape[-1] // 2
    turned = qkv[:2, ..., : 2 * half]
    swapped = torch.cat([turned[..., half:], turned[..., :half]], dim=-1)
    qk = torch.cat([turned * cos + swapped * sin, qkv[:2, ..., 2 * half :]], dim=-1)
    with torch.autocast("cpu", enabled=False):
        out = F.scaled_dot_product_attention(qk[0], qk[1], qkv[2], is_causal=True)
    return attention.dense(out.transpose(1, 2).reshape(b, t, d))

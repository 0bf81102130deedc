"""Forward passes written out in plain torch from the tensors of a checkpoint:
what the loaders' features are checked against."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of (b, heads, t, d_head)."""
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1) @ v


def rotate(x: Tensor, n: int) -> Tensor:
    """Rotary positions on the first n dimensions, halves paired."""
    t = x.shape[-2]
    angle = torch.arange(t)[:, None] / 10000 ** (torch.arange(0, n, 2) / n)
    cos, sin = (f(torch.cat([angle, angle], -1)) for f in (torch.cos, torch.sin))
    turned, rest = x[..., :n], x[..., n:]
    half = torch.cat([-turned[..., n // 2 :], turned[..., : n // 2]], -1)
    return torch.cat([turned * cos + half * sin, rest], -1)


def neox(tensors: dict[str, Tensor], config: dict, tokens: Tensor) -> tuple[list[Tensor], Tensor]:
    """(residual stream after each block, logits) of a GPT-NeoX checkpoint; attention and MLP in parallel."""
    w = {key: value.float() for key, value in tensors.items()}
    heads, d = config["num_attention_heads"], config["hidden_size"]
    h, found = F.embedding(tokens, w["gpt_neox.embed_in.weight"]), []
    for l in range(config["num_hidden_layers"]):
        p = f"gpt_neox.layers.{l}."
        x = F.layer_norm(h, (d,), w[p + "input_layernorm.weight"], w[p + "input_layernorm.bias"])
        qkv = F.linear(x, w[p + "attention.query_key_value.weight"], w[p + "attention.query_key_value.bias"])
        q, k, v = qkv.unflatten(-1, (heads, 3, d // heads)).permute(3, 0, 2, 1, 4)
        n = int(config["rotary_pct"] * d // heads)
        mixed = attend(rotate(q, n), rotate(k, n), v).transpose(1, 2).flatten(2)
        attention = F.linear(mixed, w[p + "attention.dense.weight"], w[p + "attention.dense.bias"])
        y = F.layer_norm(h, (d,), w[p + "post_attention_layernorm.weight"], w[p + "post_attention_layernorm.bias"])
        up = F.gelu(F.linear(y, w[p + "mlp.dense_h_to_4h.weight"], w[p + "mlp.dense_h_to_4h.bias"]))
        h = h + attention + F.linear(up, w[p + "mlp.dense_4h_to_h.weight"], w[p + "mlp.dense_4h_to_h.bias"])
        found.append(h)
    last = F.layer_norm(h, (d,), w["gpt_neox.final_layer_norm.weight"], w["gpt_neox.final_layer_norm.bias"])
    return found, F.linear(last, w["embed_out.weight" if "embed_out.weight" in w else "lm_head.weight"])


def nanda(w: dict[str, Tensor], config: dict, tokens: Tensor) -> tuple[list[Tensor], Tensor]:
    """(residual stream after each block, logits) of a checkpoint in HookedTransformer's layout."""

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.w"], w[f"{name}.b"])

    h, found = w["embed.W_E"][tokens] + w["pos_embed.W_pos"][: tokens.shape[1]], []
    for l in range(config["n_layers"]):
        p = f"blocks.{l}."
        x = norm(h, p + "ln1")
        q, k, v = (torch.einsum("btd,hde->bhte", x, w[f"{p}attn.W_{n}"]) + w[f"{p}attn.b_{n}"][:, None] for n in "QKV")
        h = h + torch.einsum("bhte,hed->btd", attend(q, k, v), w[f"{p}attn.W_O"]) + w[f"{p}attn.b_O"]
        up = norm(h, p + "ln2") @ w[f"{p}mlp.W_in"] + w[f"{p}mlp.b_in"]
        up = norm(up * up.softmax(-1), p + "mlp.ln") if config["act_fn"] == "solu_ln" else F.gelu(up)
        h = h + up @ w[f"{p}mlp.W_out"] + w[f"{p}mlp.b_out"]
        found.append(h)
    return found, norm(h, "ln_final") @ w["unembed.W_U"] + w["unembed.b_U"]

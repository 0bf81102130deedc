"""Every supported architecture behind the protocol, against transformers' own forward pass:
random tiny networks of the real classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from repdiss_core.base.errors import UserError
from repdiss_core.data.batches import TokenBatch
from repdiss_core.models.architectures import ARCHITECTURES, n_parameters, shape_of
from repdiss_core.models.decoder import DecoderResidualModel, checked_config, load_folder, network_of
from repdiss_core.models.protocol import ResidualModel

V, D, L, T = 50, 32, 4, 12
SIZES = {
    "vocab_size": V, "hidden_size": D, "num_hidden_layers": L, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 16,
    "initializer_range": 0.3,
}  # fmt: skip
WINDOWS = {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 2}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8,
}
GEMMA2 = {
    "num_key_value_heads": 2,
    "head_dim": 16,
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 16,
}
# (architecture, what its config.json says beside SIZES)
KINDS = {
    "gpt_neox": ("gpt_neox", {"rotary_pct": 0.5, "hidden_act": "gelu"}),
    "gpt_neox, tied": ("gpt_neox", {"rotary_pct": 0.5, "hidden_act": "gelu", "attention_bias": False,
        "tie_word_embeddings": True}),
    "gpt2": ("gpt2", {"activation_function": "gelu_new", "intermediate_size": None}),
    "gpt2, scaled by layer": ("gpt2", {"activation_function": "gelu_new", "scale_attn_by_inverse_layer_idx": True,
        "tie_word_embeddings": False}),
    "gpt_neo": ("gpt_neo", {"activation_function": "gelu_new", "attention_types": [[["global", "local"], 2]],
        "window_size": 5}),
    "llama": ("llama", {"num_key_value_heads": 2, "hidden_act": "silu", "rope_theta": 500.0}),
    "llama, tied": ("llama", {"num_key_value_heads": 1, "head_dim": 12, "hidden_act": "silu",
        "tie_word_embeddings": True, "rope_scaling": LLAMA3}),
    "llama, with biases": ("llama", {"hidden_act": "silu", "attention_bias": True, "mlp_bias": True}),
    "mistral": ("mistral", {"num_key_value_heads": 2, "hidden_act": "silu", "sliding_window": None, "head_dim": 16}),
    "mistral, windowed": ("mistral", {"num_key_value_heads": 2, "hidden_act": "silu", "sliding_window": 5}),
    "qwen2": ("qwen2", {"num_key_value_heads": 2, "hidden_act": "silu", "tie_word_embeddings": True}),
    "qwen2, windowed": ("qwen2", {"num_key_value_heads": 2, "hidden_act": "silu", **WINDOWS}),
    "qwen3": ("qwen3", {"num_key_value_heads": 2, "hidden_act": "silu", "head_dim": 16}),
    "gemma": ("gemma", {"num_key_value_heads": 1, "head_dim": 16, "hidden_act": "gelu_pytorch_tanh"}),
    "gemma2": ("gemma2", {**GEMMA2, "sliding_window": 5, "final_logit_softcapping": 3.0,
        "attn_logit_softcapping": 2.0}),
    "gemma2, without caps": ("gemma2", {**GEMMA2, "sliding_window": 5, "final_logit_softcapping": None,
        "attn_logit_softcapping": None}),
    "qwen3, windowed": ("qwen3", {"num_key_value_heads": 2, "hidden_act": "silu", "head_dim": 16,
        "attention_bias": True, **WINDOWS}),
}  # fmt: skip


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def saved(kind: str, folder) -> transformers.PreTrainedModel:
    """The network, written to a folder as transformers writes it: its own names, tied weights once."""
    architecture, said = KINDS[kind]
    known = ARCHITECTURES[architecture]
    torch.manual_seed(0)
    network = getattr(transformers, known.network)(
        getattr(transformers, known.config)(**{**SIZES, **said}, pad_token_id=0)
    ).eval()
    with torch.no_grad():  # biases and norms away from their 0 and 1, so that a forgotten one shows
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    network.save_pretrained(folder)
    return network


def loaded(folder, kind: str) -> DecoderResidualModel:
    return load_folder(folder, kind, "kept")


def batch(n_tokens: int = T) -> TokenBatch:
    return TokenBatch(np.random.default_rng(0).integers(1, V, (3, n_tokens)))


def cut_logits(model: DecoderResidualModel, given: TokenBatch) -> torch.Tensor:
    return model.head(model.blocks(model.blocks(model.embed(given), 0, 1, given), 1, model.n_layers, given), given)


def test_a_model_is_what_transformers_makes_of_its_folder(kind, tmp_path):
    """Residual streams, logits, number of parameters, causality; nothing is left of torch's meta device."""
    network, given = saved(kind, tmp_path), batch()
    model = loaded(tmp_path, kind)
    assert isinstance(model, ResidualModel) and (model.n_layers, model.d_model, model.vocab_size, model.n_ctx) == (
        L,
        D,
        V,
        16,
    )
    with torch.no_grad():
        whole = network(torch.from_numpy(given.tokens), output_hidden_states=True)
        logits = cut_logits(model, given)
    assert whole.logits.std() > 0.1
    torch.testing.assert_close(logits, whole.logits, atol=2e-5, rtol=1e-4)
    residuals = list(model.residuals(given))
    torch.testing.assert_close(residuals[:-1], list(whole.hidden_states[1:-1]), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(model._norm(residuals[-1]), whole.hidden_states[-1], atol=2e-5, rtol=1e-4)

    config = json.loads((tmp_path / "config.json").read_text())
    assert (
        n_parameters(config, shape_of(kind, config))
        == sum(p.numel() for p in model.network.parameters())
        == network.num_parameters()
    )
    assert not any(tensor.is_meta for tensor in (*model.network.buffers(), *model.network.parameters()))

    changed = given.tokens.copy()
    changed[:, 7:] = changed[:, 7:] % (V - 1) + 1
    for before, after in zip(residuals, model.residuals(TokenBatch(changed)), strict=True):
        torch.testing.assert_close(before[:, :7], after[:, :7], atol=1e-5, rtol=0)
        assert (before[:, 7:] - after[:, 7:]).abs().max() > 0.1


GPT = {"vocab_size": 50257, "activation_function": "gelu_new"}
NEO = {"hidden_size": 768, "num_layers": 12, "num_heads": 12, "max_position_embeddings": 2048, "window_size": 256}
LLAMA = {"num_attention_heads": 32, "num_key_value_heads": 8, "hidden_act": "silu", "max_position_embeddings": 32768}
QWEN = {"vocab_size": 151936, "hidden_act": "silu", "max_position_embeddings": 32768, "tie_word_embeddings": True}
PUBLISHED = [
    (124_439_808, {"model_type": "gpt2", **GPT, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024}),
    (125_198_592, {"model_type": "gpt_neo", **GPT, **NEO, "attention_types": [[["global", "local"], 6]]}),
    (1_235_814_400, {"model_type": "llama", **LLAMA, "vocab_size": 128256, "hidden_size": 2048,
        "num_hidden_layers": 16, "intermediate_size": 8192,
                     "tie_word_embeddings": True}),
    (7_241_732_096, {"model_type": "mistral", **LLAMA, "vocab_size": 32000, "hidden_size": 4096,
        "num_hidden_layers": 32,
                     "intermediate_size": 14336}),
    (2_614_341_888, {"model_type": "gemma2", "vocab_size": 256000, "hidden_size": 2304, "num_hidden_layers": 26,
        "num_attention_heads": 8,
                     "num_key_value_heads": 4, "head_dim": 256, "intermediate_size": 9216,
                     "max_position_embeddings": 8192, "sliding_window": 4096,
                     "query_pre_attn_scalar": 256, "hidden_act": "gelu_pytorch_tanh",
                     "hidden_activation": "gelu_pytorch_tanh"}),
    (494_032_768, {"model_type": "qwen2", **QWEN, "hidden_size": 896, "num_hidden_layers": 24,
        "num_attention_heads": 14, "num_key_value_heads": 2,
                   "intermediate_size": 4864}),
    (596_049_920, {"model_type": "qwen3", **QWEN, "hidden_size": 1024, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 8,
                   "head_dim": 128, "intermediate_size": 3072}),
]  # fmt: skip


@pytest.mark.parametrize(("published", "config"), PUBLISHED)
def test_known_models_have_as_many_parameters_as_is_published(published, config):
    """gpt2, gpt-neo-125m, Llama-3.2-1B, Mistral-7B-v0.1, gemma-2-2b, Qwen2.5-0.5B, Qwen3-0.6B,
    from what their config.json states."""
    assert n_parameters(config, shape_of("p", config)) == published
    with torch.device("meta"):
        network = getattr(transformers, ARCHITECTURES[config["model_type"]].network)(checked_config("p", config))
    assert network.num_parameters() == published


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neo", "llama", "mistral, windowed", "qwen3, windowed"])
def test_padding_equals_the_model_with_its_attention_mask(kind, tmp_path):
    network, given = saved(kind, tmp_path), batch()
    mask = np.arange(T) < np.array([T, 7, 4])[:, None]
    with torch.no_grad():
        whole = network(torch.from_numpy(given.tokens), attention_mask=torch.from_numpy(mask.astype(np.int64))).logits
        ours = cut_logits(loaded(tmp_path, kind), TokenBatch(given.tokens, mask))
    torch.testing.assert_close(ours[torch.from_numpy(mask)], whole[torch.from_numpy(mask)], atol=2e-5, rtol=1e-4)


def test_a_stitch_runs_the_upper_blocks_as_the_whole_model_does(kind, tmp_path):
    """Another stream after block 2: the same logits as a full forward pass with that block's output replaced,
    and a gradient."""
    network, given = saved(kind, tmp_path), batch()
    model = loaded(tmp_path, kind)
    h = torch.randn(3, T, D, requires_grad=True)
    logits = model.head(model.blocks(h, 2, L, given), given)
    block = getattr(getattr(network, network.base_model_prefix), ARCHITECTURES[KINDS[kind][0]].blocks)[1]
    handle = block.register_forward_hook(
        lambda _module, _inputs, output: (h, *output[1:]) if isinstance(output, tuple) else h
    )
    whole = network(torch.from_numpy(given.tokens)).logits
    handle.remove()
    torch.testing.assert_close(logits, whole, atol=2e-5, rtol=1e-4)
    (ours,), (theirs,) = (torch.autograd.grad(one.logsumexp(-1).sum(), h) for one in (logits, whole))
    assert ours.abs().sum() > 0
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", ["gpt2", "llama, tied", "qwen2", "gemma2"])
def test_published_files_differ_from_what_transformers_writes(kind, tmp_path):
    """Without the base model's prefix, with masks that older versions stored,
    and with the tied unembedding once more."""
    network, given = saved(kind, tmp_path), batch()
    whole = cut_logits(loaded(tmp_path, kind), given)
    prefix = f"{network.base_model_prefix}."
    tensors = {key.removeprefix(prefix): value for key, value in load_file(tmp_path / "model.safetensors").items()}
    old = {"h.0.attn.bias": torch.ones(1, 1, 16, 16), "h.0.attn.masked_bias": torch.tensor(-1e4)}
    tensors |= old if kind == "gpt2" else {"layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    save_file({**tensors, "lm_head.weight": network.lm_head.weight.detach().clone()}, tmp_path / "model.safetensors")
    torch.testing.assert_close(cut_logits(loaded(tmp_path, kind), given), whole, atol=0, rtol=0)

    save_file({**tensors, "lm_head.weight": network.lm_head.weight.detach() + 1}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="ties its unembedding to its embedding, but its weights hold two"):
        load_folder(tmp_path, "p", "kept")
    save_file(
        {key: value for key, value in tensors.items() if "norm" not in key and "ln_f" not in key},
        tmp_path / "model.safetensors",
    )
    with pytest.raises(UserError, match=r"weights of p lack: .* nothing was filled in"):
        load_folder(tmp_path, "p", "kept")


def test_pickled_weights_and_half_precision(tmp_path):
    network, given = saved("llama", tmp_path), batch()
    torch.save({key: value.half() for key, value in network.state_dict().items()}, tmp_path / "pytorch_model.bin")
    model = load_folder(tmp_path, "p", "kept", ["pytorch_model.bin"], "bfloat16")
    with torch.no_grad():
        whole = network(torch.from_numpy(given.tokens)).logits
        ours = cut_logits(model, given)
    assert (
        ours.dtype == torch.bfloat16
        and torch.nn.functional.cosine_similarity(ours.float().flatten(), whole.flatten(), dim=0) > 0.99
    )


def test_the_mean_of_a_network_with_root_mean_square_norms_is_kept(tmp_path):
    """Adding a constant to the stream changes what such a network says; one with LayerNorm cannot see it."""
    for kind, seen in (("llama", True), ("gpt2", False)):
        saved(kind, tmp_path / kind)
        model, given = loaded(tmp_path / kind, kind), batch()
        h = model.embed(given)
        moved = (
            (model.head(model.blocks(h + 1.0, 0, L, given), given) - model.head(model.blocks(h, 0, L, given), given))
            .abs()
            .max()
        )
        assert (moved > 0.1) == seen
    with pytest.raises(
        UserError,
        match=(
            r"p divides by the root mean square, so that each token\'s mean over d_model matters to it: "
            r'use resid_mean "kept"'
        ),
    ):
        load_folder(tmp_path / "llama", "p")
    removed = next(load_folder(tmp_path / "gpt2", "p").residuals(batch()))
    assert removed.mean(-1).abs().max() < 1e-5


def form(kind: str, **changes) -> dict:
    architecture, said = KINDS[kind]
    return {**SIZES, **said, "model_type": architecture, **changes}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            {"model_type": "mamba"},
            (
                r"p is of the architecture mamba; RepDiss compares gpt_neox \(GPT-NeoX\), gpt2 .*gemma2 \(Gemma 2\)\. "
                r"The paper's"
            ),
        ),
        ({}, "p is of the architecture nothing named"),
        ([1], "config.json of p holds no JSON object"),
        (form("mistral", num_key_value_heads=None), "configuration of p lacks num_key_value_heads"),
        (form("qwen3", head_dim=None), "configuration of p lacks head_dim"),
        ({k: v for k, v in form("gpt2").items() if k != "num_hidden_layers"}, "configuration of p lacks n_layer"),
        (form("llama", num_key_value_heads=0), "gives num_key_value_heads as '0'; it is a whole number"),
        (form("llama", head_dim=2**30), "gives head_dim as '1073741824'"),
        (form("mistral, windowed", sliding_window=2.5), "gives sliding_window as '2.5'"),
        (form("gemma2", sliding_window=None), "configuration of p lacks sliding_window"),
        (form("qwen2", layer_types=["full_attention"]), r"gives layer_types as .*; it is a list of 4 times"),
        (form("qwen2", layer_types=["full_attention"] * 3 + ["code"]), "gives layer_types as"),
        (
            form("qwen3", layer_types=["sliding_attention"] * 4),
            r"names blocks that see a window \(layer_types\) and no sliding_window",
        ),
        (form("gemma2", query_pre_attn_scalar=-1), "gives query_pre_attn_scalar as '-1'"),
        (form("gpt_neo", attention_types=[[["global"], 10**12]]), r"gives attention_types as .* for 4 blocks"),
        (form("gpt_neo", attention_types=7), "gives attention_types as '7'"),
        (form("gpt_neo", attention_types=[[["global", "far"], 2]]), "gives attention_types as"),
        (
            form("gpt_neo", max_position_embeddings=2**20),
            "gives max_position_embeddings as '1048576'; it is at most 16384 in this architecture",
        ),
        (form("llama", num_attention_heads=5), "configuration of p cannot be used"),
        (form("llama", rope_scaling={"rope_type": "planted"}), "No network can be built from the configuration of p"),
        (form("llama", hidden_act="planted"), "No network can be built from the configuration of p"),
        (form("llama", intermediate_size=2**24), "it asks for [0-9,]+ numbers, the files hold 100"),
    ],
)
def test_configurations_that_are_refused(config, sentence):
    with pytest.raises(UserError, match=sentence):
        network_of("p", checked_config("p", config), {"x": torch.ones(100)})


def test_only_what_shapes_the_network_is_read_from_a_configuration():
    tricks = {
        "num_labels": 2**40,
        "auto_map": {"AutoModel": "planted.Model"},
        "attn_implementation": "someone/kernel",
        "add_cross_attention": True,
    }
    for kind in ("llama", "gpt2", "qwen2"):
        config = checked_config("p", form(kind, **tricks))
        assert (
            not hasattr(config, "auto_map")
            and config.num_labels == 2
            and config._attn_implementation != "someone/kernel"
        )
        assert not getattr(config, "add_cross_attention", False)
    # Of two names the architecture's own is read
    both = checked_config("p", {**form("gpt2"), "n_layer": 3, "num_hidden_layers": ["a lie"]})
    assert both.num_hidden_layers == 3

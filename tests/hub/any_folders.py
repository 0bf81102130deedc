"""Folders of tiny models in every form that people have them in."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import tiny_repositories as tiny
import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "models"))
import tiny_families as families

VOCABULARY = 320


def saved(folder: Path, family: str = "phi3", seed: int = 0, tokenizer: bytes | None = None, **changes):
    """A network of a family in a folder, as transformers writes it; returns the network."""
    encoder = family in families.ENCODERS
    text = tokenizer or (tiny.word_tokenizer() if encoder else tiny.byte_tokenizer())
    sizes = {"vocab_size": tiny.vocabulary(text), "max_position_embeddings": 128} | changes
    network = families.network_of(family, seed, **sizes)
    network.save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(text)
    return network


def edit_config(folder: Path, **changes) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def edit_weights(folder: Path, change) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def shard(folder: Path) -> None:
    """model.safetensors in two parts with an index, as large models have it."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, weight_map = sorted(tensors), {}
    for i, part in enumerate((names[::2], names[1::2])):
        file = f"model-{i + 1:05d}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def as_bin(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def lora(folder: Path, base: Path, seed: int = 1, **said):
    """A LoRA adapter with weights that are not zero, as peft writes it;
    returns the base with it, merged by peft itself."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    torch.manual_seed(seed)
    adapted = get_peft_model(network, LoraConfig(r=2, lora_alpha=8, target_modules=["o_proj", "down_proj"]))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    adapted.save_pretrained(folder)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "base_model_name_or_path": str(base), **said}))
    return adapted.merge_and_unload()


def gguf(path: Path, seed: int = 3, quantised: bool = True, damage: int = 0) -> dict[str, torch.Tensor]:
    """A Llama of two blocks in a GGUF file with a byte-level tokenizer;
    returns transformers' tensors of what it stores, turned back."""
    import numpy as np
    from gguf import GGMLQuantizationType as Kind
    from gguf import GGUFWriter, dequantize, quantize

    form = json.loads(tiny.byte_tokenizer())
    vocabulary = sorted(form["model"]["vocab"], key=form["model"]["vocab"].get)
    d, mlp = 64, 96
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_embedding_length(d)
    writer.add_feed_forward_length(mlp)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3] + [1] * (len(vocabulary) - 1))
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in form["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    draw, kept = np.random.default_rng(seed), {}
    shapes = {
        "token_embd.weight": (len(vocabulary), d),
        "output.weight": (len(vocabulary), d),
        "output_norm.weight": (d,),
    }
    for l in range(2):
        shapes |= {f"blk.{l}.{n}.weight": (d, d) for n in ("attn_q", "attn_k", "attn_v", "attn_output")}
        shapes |= {f"blk.{l}.{n}.weight": (mlp, d) for n in ("ffn_gate", "ffn_up")} | {
            f"blk.{l}.ffn_down.weight": (d, mlp)
        }
        shapes |= {f"blk.{l}.{n}.weight": (d,) for n in ("attn_norm", "ffn_norm")}
    for name, shape in shapes.items():
        values = (draw.standard_normal(shape) * 0.2 + (len(shape) == 1)).astype(np.float32)
        if quantised and len(shape) == 2:
            packed = quantize(values, Kind.Q8_0)
            writer.add_tensor(name, packed, raw_dtype=Kind.Q8_0)
            values = dequantize(packed, Kind.Q8_0)
        else:
            writer.add_tensor(name, values)
        kept[name] = torch.from_numpy(values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if damage:
        path.write_bytes(path.read_bytes()[:damage])
    return kept

"""Tiny repositories under the real names: real layers and file formats, a width of 16, a few hundred words."""

from __future__ import annotations

import io
import json
import random
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from hub_server import Files, LoopbackHub
from safetensors.torch import save

D, HEADS = 16, 2
N_CTX = 2048
WORDS = [
    a + b
    for a in ("ka", "lo", "mi", "nu", "pe", "ro", "su", "ti")
    for b in ("ba", "de", "fo", "gi", "hu", "ja", "ve", "wo")
]
PYTHIAS = {"70m": 6, "160m": 12, "410m": 24, "1b": 16, "1.4b": 24, "2.8b": 32, "6.9b": 32}


def text(seed: int, n_words: int = 400) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(n_words)) + "."


@cache
def byte_tokenizer(specials: tuple[str, ...] = ("<|endoftext|>",)) -> bytes:
    """tokenizer.json of a byte-level BPE."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    found = Tokenizer(models.BPE())
    found.pre_tokenizer, found.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    found.train_from_iterator([text(i) for i in range(20)], trainer)
    return found.to_str().encode()


@cache
def word_tokenizer() -> bytes:
    """tokenizer.json of BERT's kind."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    entries = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *WORDS])}
    found = Tokenizer(models.WordPiece(entries, unk_token="[UNK]"))
    found.normalizer, found.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    found.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return found.to_str().encode()


def vocabulary(tokenizer: bytes) -> int:
    form = json.loads(tokenizer)
    return max(*form["model"]["vocab"].values(), *(t["id"] for t in form["added_tokens"])) + 1


def neox_config(n_layers: int, vocab_size: int) -> dict:
    return {
        "model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "vocab_size": vocab_size, "hidden_size": D,
        "num_hidden_layers": n_layers,
        "num_attention_heads": HEADS, "intermediate_size": 4 * D, "max_position_embeddings": N_CTX,
        "hidden_act": "gelu", "rotary_pct": 0.25,
        "use_parallel_residual": True, "torch_dtype": "float16",
    }  # fmt: skip


@cache
def neox(n_layers: int, seed: int, form: str = "safetensors", vocab_size: int = 320) -> Files:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = neox_config(n_layers, vocab_size)
    torch.manual_seed(seed)
    network = GPTNeoXForCausalLM(GPTNeoXConfig(**{**config, "initializer_range": 0.3})).half()
    tensors = {
        k.replace("lm_head", "embed_out"): v.contiguous() for k, v in network.state_dict().items()
    }  # as Pythia's files have it
    # A buffer that old checkpoints carry
    tensors["gpt_neox.layers.0.attention.bias"] = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    files = {"config.json": json.dumps(config).encode()}
    if form == "bin":
        return files | {"pytorch_model.bin": torch_bytes(tensors)}
    if form == "sharded":
        names = sorted(tensors)
        parts = (names[::2], names[1::2])
        return files | {
            f"model-{i + 1:05d}-of-00002.safetensors": save({n: tensors[n] for n in part})
            for i, part in enumerate(parts)
        }
    return files | {"model.safetensors": save(tensors)}


@cache
def decoder(kind: str, n_layers: int, seed: int, **changes: int) -> Files:
    """A network of another architecture as transformers writes it, with a tokenizer;
    Llama's puts a token before every text."""
    import transformers

    from repdiss_core.models.architectures import ARCHITECTURES

    known = ARCHITECTURES[kind]
    sizes = {
        "vocab_size": 320,
        "hidden_size": D,
        "num_hidden_layers": n_layers,
        "num_attention_heads": HEADS,
        "max_position_embeddings": 128,
    }
    torch.manual_seed(seed)
    config = getattr(transformers, known.config)(**{**sizes, "initializer_range": 0.3, "pad_token_id": 0, **changes})
    with tempfile.TemporaryDirectory() as folder:
        getattr(transformers, known.network)(config).save_pretrained(folder)
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    return {**files, "tokenizer.json": starting_tokenizer() if kind == "llama" else byte_tokenizer()}


@cache
def starting_tokenizer() -> bytes:
    """A byte-level BPE that puts <|endoftext|> before every text, as Llama's does with a token of its own."""
    from tokenizers import Tokenizer, processors

    found = Tokenizer.from_str(byte_tokenizer().decode())
    found.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    return found.to_str().encode()


def torch_bytes(tensors: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


def nanda_config(kind: str, n_layers: int, vocab_size: int) -> dict:
    return {
        "d_model": D, "n_layers": n_layers, "d_mlp": 4 * D, "d_head": D // HEADS, "n_heads": HEADS, "n_ctx": 1024,
        "d_vocab": vocab_size,
        "act_fn": "solu_ln" if kind == "solu" else "gelu", "attn_only": False, "normalization": "LN", 
        "tokenizer_name": "NeelNanda/gpt-neox-tokenizer-digits",
    }  # fmt: skip


def nanda_tensors(kind: str, n_layers: int, vocab_size: int, seed: int) -> dict[str, torch.Tensor]:
    """A checkpoint under HookedTransformer's names."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 0.3) -> torch.Tensor:
        return torch.randn(*shape, generator=draw) * scale

    d_head = D // HEADS
    found = {
        "embed.W_E": normal(vocab_size, D),
        "pos_embed.W_pos": normal(1024, D),
        "unembed.W_U": normal(D, vocab_size),
        "unembed.b_U": normal(vocab_size),
    }
    for l in range(n_layers):
        at = f"blocks.{l}."
        for name in ("Q", "K", "V"):
            found |= {f"{at}attn.W_{name}": normal(HEADS, D, d_head), f"{at}attn.b_{name}": normal(HEADS, d_head)}
        found |= {
            f"{at}attn.W_O": normal(HEADS, d_head, D),
            f"{at}attn.b_O": normal(D),
            f"{at}attn.mask": torch.ones(8, 8).tril().bool(),
        }
        found |= {
            f"{at}mlp.W_in": normal(D, 4 * D),
            f"{at}mlp.b_in": normal(4 * D),
            f"{at}mlp.W_out": normal(4 * D, D),
            f"{at}mlp.b_out": normal(D),
        }
        norms = {"ln1": D, "ln2": D} | ({"mlp.ln": 4 * D} if kind == "solu" else {})
        for name, width in norms.items():
            found |= {f"{at}{name}.w": 1 + normal(width), f"{at}{name}.b": normal(width)}
    return found | {"ln_final.w": 1 + normal(D), "ln_final.b": normal(D)}


@cache
def bert(seed: int, n_layers: int = 12, id2label: tuple[str, ...] = ("LABEL_0", "LABEL_1", "LABEL_2")) -> Files:
    from transformers import BertConfig, BertForSequenceClassification

    config = {
        "model_type": "bert", "vocab_size": vocabulary(word_tokenizer()), "hidden_size": D,
        "num_hidden_layers": n_layers, "num_attention_heads": HEADS, "intermediate_size": 2 * D,
        "max_position_embeddings": 512,
        "id2label": {str(i): label for i, label in enumerate(id2label)},
    }  # fmt: skip
    torch.manual_seed(seed)
    network = BertForSequenceClassification(BertConfig(**{**config, "initializer_range": 0.3}))
    tensors = {k: v.contiguous() for k, v in network.state_dict().items()} | {
        "bert.embeddings.position_ids": torch.arange(512)[None]
    }
    return {"config.json": json.dumps(config).encode(), "pytorch_model.bin": torch_bytes(tensors)}


def parquet(columns: dict[str, list]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
        return path.read_bytes()


def zstd_lines(texts: list[str]) -> bytes:
    import pyarrow

    lines = "".join(json.dumps({"text": t, "meta": {"pile_set_name": "x"}}) + "\n" for t in texts).encode()
    return pyarrow.compress(lines, codec="zstd", asbytes=True)


def fill_models(
    hub: LoopbackHub,
    pythias: tuple[str, ...] = ("70m", "160m"),
    nandas: tuple[str, ...] = ("gelu-3l", "solu-3l"),
    feathers: tuple[int, ...] = (),
) -> None:
    """Put models and their tokenizers on a hub."""
    plain, digits = byte_tokenizer(), byte_tokenizer(("<|EOS|>", "<|BOS|>", "<|PAD|>"))
    specials = json.dumps({"bos_token": {"content": "<|BOS|>"}, "eos_token": "<|EOS|>"}).encode()
    hub.add("NeelNanda/gpt-neox-tokenizer-digits", {"tokenizer.json": digits, "tokenizer_config.json": specials})
    hub.add("google-bert/bert-base-uncased", {"tokenizer.json": word_tokenizer(), "config.json": b"{}"})
    for scale in dict.fromkeys(("70m", *pythias)):
        hub.add(f"EleutherAI/pythia-{scale}-deduped", {**neox(PYTHIAS[scale], len(scale)), "tokenizer.json": plain})
    for name in nandas:
        kind, n_layers = name.split("-")[0], int(name.split("-")[1][0])
        repo = f"NeelNanda/{'GELU' if kind == 'gelu' else 'SoLU'}_{n_layers}L512W_C4_Code"
        tensors = nanda_tensors(kind, n_layers, vocabulary(digits), seed=n_layers + len(kind) + ord(kind[0]))
        config = json.dumps(nanda_config(kind, n_layers, vocabulary(digits))).encode()
        hub.add(
            repo, {"config.json": config, "model_final.pth": torch_bytes(tensors), "model_init.pth": b"not this one"}
        )
    for run in feathers:
        hub.add(f"connectivity/feather_berts_{run}", bert(run))


def fill_texts(hub: LoopbackHub, n_documents: int = 60) -> None:
    """The Pile's public parts, and a set of another column."""
    texts = [text(100 + i, 60 + 10 * (i % 30)) for i in range(n_documents)]
    hub.add(
        "NeelNanda/pile-10k",
        {"README.md": b"", "data/train-00000-of-00001.parquet": parquet({"text": texts, "meta": [""] * n_documents})},
        "dataset",
    )
    hub.add("mit-han-lab/pile-val-backup", {"val.jsonl.zst": zstd_lines(texts)}, "dataset")
    hub.add("org/essays", {"script.py": b"print()"}, "dataset")
    hub.add("org/essays", {"default/train/0000.parquet": parquet({"body": texts})}, "dataset", "refs/convert/parquet")


def pairs(n: int, seed: int) -> dict[str, list]:
    rng = np.random.default_rng(seed)
    sentences = [" ".join(rng.choice(WORDS, rng.integers(4, 12))) + "." for _ in range(2 * n)]
    return {"premise": sentences[:n], "hypothesis": sentences[n:]}


def fill_pairs(hub: LoopbackHub, n: int = 240) -> None:
    """MNLI and HANS."""
    labels = [i % 3 for i in range(n)]
    hub.add(
        "nyu-mll/glue",
        {
            "mnli/validation_matched-00000-of-00001.parquet": parquet(
                {**pairs(n, 1), "label": labels, "idx": list(range(n))}
            )
        },
        "dataset",
    )
    hans = {
        **pairs(n, 2),
        "label": [i % 2 for i in range(n)],
        "heuristic": ["lexical_overlap" if i % 4 else "constituent" for i in range(n)],
    }
    hub.add("jhu-cogsci/hans", {"hans.py": b"raise SystemExit"}, "dataset")
    hub.add("jhu-cogsci/hans", {"plain_text/validation/0000.parquet": parquet(hans)}, "dataset", "refs/convert/parquet")

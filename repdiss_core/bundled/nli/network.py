"""The tiny BERT of the NLI classifiers: its shape, its first values, and its files."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from repdiss_core.data.nli import LENGTH, PAD, vocabulary
from repdiss_core.data.nli_sets import LABELS
from repdiss_core.errors import UserError

N_LAYERS, D_MODEL, N_HEADS, D_MLP = 6, 64, 4, 256
INIT_STD = 0.02


def config() -> BertConfig:
    """6 layers of width 64; no dropout, so that runs differ by classifier and batch order alone."""
    return BertConfig(
        vocab_size=len(vocabulary()),
        hidden_size=D_MODEL,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=N_HEADS,
        intermediate_size=D_MLP,
        max_position_embeddings=LENGTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=PAD,
        num_labels=len(LABELS),
        id2label=dict(enumerate(LABELS)),
        label2id={label: i for i, label in enumerate(LABELS)},
        initializer_range=INIT_STD,
        attn_implementation="sdpa",
    )


def masked_lm(seed: int) -> BertForMaskedLM:
    """The model to pre-train, drawn from a seed."""
    torch.manual_seed(seed)
    return BertForMaskedLM(config())


def classifier(encoder: dict[str, torch.Tensor], seed: int) -> BertForSequenceClassification:
    """A classifier on the pre-trained encoder; the pooler starts alike for all, the classifier's weights by `seed`."""
    torch.manual_seed(0)
    model = BertForSequenceClassification(config())
    missing, unexpected = model.load_state_dict(encoder, strict=False)
    if unexpected or any(not key.startswith(("bert.pooler", "classifier")) for key in missing):
        raise UserError(f"The pre-trained encoder does not fit the classifier: missing {missing}, unexpected {unexpected}. Pre-train it anew.")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.classifier.weight.normal_(0.0, INIT_STD, generator=generator)
        model.classifier.bias.zero_()
    return model


def encoder_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """The encoder's weights of a masked language model, under a classifier's names."""
    return {key: value.detach().clone() for key, value in model.state_dict().items() if key.startswith("bert.")}


def save(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str], dtype: torch.dtype | None = None) -> None:
    """Write tensors beside and rename, so that a killed run leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".part{os.getpid()}")
    cast = {k: (v.detach().to(dtype) if dtype and v.is_floating_point() else v.detach()).contiguous().clone() for k, v in tensors.items()}
    save_file(cast, partial, metadata)
    os.replace(partial, path)


def read_classifier(path: Path) -> BertForSequenceClassification:
    """A trained classifier from its file, in float32, in evaluation mode, frozen."""
    model = BertForSequenceClassification(config())
    tensors = {key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()}
    model.load_state_dict(tensors, strict=True)
    return model.eval().requires_grad_(False)

"""The tiny BERT of the NLI classifiers: its shape, its first values, and its files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from repdiss_core.base.errors import UserError
from repdiss_core.data.nli import LENGTH, PAD, vocabulary
from repdiss_core.data.nli_sets import LABELS

N_LAYERS, D_MODEL, N_HEADS, D_MLP = 6, 64, 4, 256
INIT_STD = 0.02


def config() -> BertConfig:
    """6 layers of width 64; no dropout, so that runs differ by classifier and batch order alone."""
    # These belong to every configuration of transformers, whose signature does not name them.
    common: dict[str, Any] = {
        "num_labels": len(LABELS),
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: i for i, label in enumerate(LABELS)},
        "attn_implementation": "sdpa",
    }
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
        initializer_range=INIT_STD,
        **common,
    )


class PreTrainingModel(nn.Module):
    """A masked language model with a head that says which words were replaced,
    and the pooler that classifiers start from."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.words = BertForMaskedLM(config())
        self.pooler, self.replaced, self.pair = (
            nn.Linear(D_MODEL, D_MODEL),
            nn.Linear(D_MODEL, 2),
            nn.Linear(D_MODEL, 2),
        )

    def forward(self, inputs: dict[str, Tensor]) -> tuple[tuple[Tensor, ...], Tensor]:
        """((b, t, d) after layer 0 … L, (b, 2) logits of "all words right" and "some replaced")."""
        layers = self.words.bert(**inputs, output_hidden_states=True).hidden_states
        return layers, self.pair(torch.tanh(self.pooler(layers[-1][:, 0])))

    def encoder(self) -> dict[str, Tensor]:
        """Encoder and pooler under a classifier's names."""
        found = {key: value for key, value in self.words.state_dict().items() if key.startswith("bert.")}
        found |= {f"bert.pooler.dense.{key}": value for key, value in self.pooler.state_dict().items()}
        return {key: value.detach().clone() for key, value in found.items()}


def classifier(encoder: dict[str, Tensor], seed: int) -> BertForSequenceClassification:
    """A classifier on the pre-trained encoder and pooler; its own weights are drawn by `seed`."""
    torch.manual_seed(0)
    model = BertForSequenceClassification(config())
    missing, unexpected = model.load_state_dict(encoder, strict=False)
    if unexpected or any(not key.startswith("classifier") for key in missing):
        raise UserError(
            f"The pre-trained encoder does not fit the classifier: missing {missing}, unexpected {unexpected}. "
            "Pre-train it anew."
        )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.classifier.weight.normal_(0.0, INIT_STD, generator=generator)
        model.classifier.bias.zero_()
    return model


def save(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], dtype: torch.dtype | None = None) -> None:
    """Write tensors beside and rename, so that a killed run leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".part{os.getpid()}")
    cast = {
        k: (v.detach().to(dtype) if dtype and v.is_floating_point() else v.detach()).contiguous().clone()
        for k, v in tensors.items()
    }
    save_file(cast, partial, metadata)
    os.replace(partial, path)


def read_classifier(path: Path) -> BertForSequenceClassification:
    """A trained classifier from its file, in float32, in evaluation mode, frozen."""
    model = BertForSequenceClassification(config())
    tensors = {key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()}
    model.load_state_dict(tensors, strict=True)
    return model.eval().requires_grad_(False)

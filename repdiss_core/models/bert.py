"""Bundled BERT classifiers behind the model protocol: features, blocks with bidirectional masks,
head. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.masking_utils import create_bidirectional_mask

from repdiss_core.base.errors import UserError
from repdiss_core.data.batches import TokenBatch
from repdiss_core.models.checks import check_depth, check_weights, checked_tokens, hidden_states, read_tensors

if TYPE_CHECKING:
    from repdiss_core.models import ModelSpec

HOOKS = ("mlp_out", "resid_post")
# The order of the published fine-tunings' logits, which their configurations do not name.
FEATHER_LABELS = ("contradiction", "entailment", "neutral")


def token_types(tokens: np.ndarray, separator: int) -> np.ndarray:
    """(b, t) int64: 0 up to the first separator, 1 after it."""
    ends = np.cumsum(tokens == separator, axis=1)
    return ((ends > 0) & ~((ends == 1) & (tokens == separator))).astype(np.int64)


class BertResidualModel:
    """A transformers `BertForSequenceClassification`, cut between its layers.

    The "residual stream" after block l is the layer's output, after its LayerNorm: BERT normalises after each addition.

    Args:
        network: put into evaluation mode and frozen here.
        name: as in the registry.
        labels: the classes in the order of the logits.
        separator: token id that ends a sentence; None for inputs of one sentence.
        resid_mean: "removed" subtracts each token's mean over d_model from features, "kept" does not.
    """

    def __init__(
        self, network: Any, name: str, labels: tuple[str, ...], separator: int | None, resid_mean: str = "kept"
    ) -> None:
        if resid_mean not in ("removed", "kept"):
            raise UserError(
                f'resid_mean is {resid_mean!r}; it is "removed" (each token\'s mean over d_model) or "kept".'
            )
        self.network = network.eval().requires_grad_(False)
        self.name, self.labels, self.separator, self.resid_mean = name, labels, separator, resid_mean
        config = network.config
        self.n_layers, self.d_model = int(config.num_hidden_layers), int(config.hidden_size)
        self.vocab_size, self.n_ctx = int(config.vocab_size), int(config.max_position_embeddings)
        self.device, self.n_forwards = next(network.parameters()).device, 0
        if len(labels) != int(config.num_labels):
            raise UserError(
                f"{name} has {config.num_labels} outputs but {len(labels)} labels ({', '.join(labels)}); "
                "name one label for each output."
            )

    def embed(self, batch: TokenBatch) -> Tensor:
        """(b, t, d_model): words, positions and sentence types, normalised; what block 1 reads."""
        tokens = checked_tokens(self.name, batch.tokens, self.n_ctx, self.vocab_size)
        self.n_forwards += 1
        types = np.zeros_like(tokens) if self.separator is None else token_types(tokens, self.separator)
        ids, kinds = (torch.from_numpy(a).to(self.device) for a in (tokens, types))
        return self.network.bert.embeddings(input_ids=ids, token_type_ids=kinds)

    def blocks(self, h: Tensor, a: int, b: int, batch: TokenBatch) -> Tensor:
        """(b, t, d_model) after blocks a+1 … b; no token attends to padding; differentiable in h."""
        if not 0 <= a <= b <= self.n_layers:
            raise UserError(
                f"{self.name} has {self.n_layers} blocks; "
                f"those after {a} up to {b} were asked for (0 <= a <= b <= {self.n_layers})."
            )
        if a == b:
            return h
        mask = self._attention_mask(h, batch)
        for layer in self.network.bert.encoder.layer[a:b]:
            h = hidden_states(layer(h, mask))
        return h

    def head(self, h: Tensor, batch: TokenBatch) -> Tensor:
        """(b, n_labels) logits: pooler on the first token, then the classifier."""
        return self.network.classifier(self.network.bert.pooler(h))

    def read_out(self, h: Tensor, batch: TokenBatch) -> Tensor:
        """(b, n_labels) logits from what the last block reads: `head(blocks(h, L - 1, L))` with that block's first
        token alone.

        The head reads the first token only, so that of the last block the other tokens' queries, sums and dense layers
        are not needed.
        """
        layer = self.network.bert.encoder.layer[-1]
        attention, first = layer.attention.self, h[:, :1]
        # (b, 1, 1, t)
        mask = None if batch.mask is None else torch.from_numpy(batch.mask.astype(bool)).to(h.device)[:, None, None, :]
        query, key, value = (
            project(x).unflatten(-1, (-1, attention.attention_head_size)).transpose(1, 2)  # (b, heads, 1 or t, d_head)
            for project, x in ((attention.query, first), (attention.key, h), (attention.value, h))
        )
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)
        attended = layer.attention.output(seen, first)
        return self.head(layer.output(layer.intermediate(attended), attended), batch)

    def residuals(self, batch: TokenBatch) -> Iterator[Tensor]:
        """(b, t, d_model) after block 1 … n_layers, without gradient."""
        return self.features(batch, "resid_post")

    @torch.no_grad()
    def features(self, batch: TokenBatch, hook: str) -> Iterator[Tensor]:
        """(b, t, d_model) of block 1 … n_layers, without gradient, with `resid_mean` applied.

        Args:
            hook: "mlp_out" is the output of the block's second dense layer, before the addition of the residual and the
                LayerNorm (what the paper took, C.2); "resid_post" is the block's output.
        """
        if hook not in HOOKS:
            raise UserError(f"{self.name} has no features at {hook!r}; choose {' or '.join(HOOKS)}.")
        caught: list[Tensor] = []
        h = self.embed(batch)
        mask = self._attention_mask(h, batch)
        for layer in self.network.bert.encoder.layer:
            handle = layer.output.dense.register_forward_hook(lambda _module, _inputs, output: caught.append(output))
            try:
                h = hidden_states(layer(h, mask))
            finally:
                handle.remove()
            chosen = caught.pop() if hook == "mlp_out" else h
            caught.clear()
            yield chosen - chosen.mean(dim=-1, keepdim=True) if self.resid_mean == "removed" else chosen

    def _attention_mask(self, h: Tensor, batch: TokenBatch) -> Any:
        """The mask that BERT itself makes: bidirectional, without the padding."""
        padding = None if batch.mask is None else torch.from_numpy(batch.mask.astype(np.int64)).to(h.device)
        return create_bidirectional_mask(config=self.network.config, inputs_embeds=h, attention_mask=padding)


def load_nli(spec: ModelSpec, resid_mean: str = "kept") -> BertResidualModel:
    """A bundled NLI classifier in float32; its weights, vocabulary and labels are checked."""
    from safetensors import SafetensorError

    from repdiss_core.bundled.nli import weights_file
    from repdiss_core.data import nli
    from repdiss_core.data.nli_sets import LABELS
    from repdiss_core.models.tiny_bert import read_classifier

    path = weights_file(spec.name)
    restore = check_weights(spec, path, "repdiss_core/bundled/nli/weights")
    nli.check_vocabulary(spec.name, spec.tokenizer, spec.vocab_size)
    try:
        return BertResidualModel(read_classifier(path), spec.name, LABELS, nli.SEP, resid_mean)
    except SafetensorError as error:
        raise UserError(f"The weights of {spec.name} cannot be read ({error}). {restore}") from error


def load_feather(
    spec: ModelSpec, resid_mean: str = "kept", dtype: str = "float32", device: str = "cpu"
) -> BertResidualModel:
    """One of the hundred fine-tunings of bert-base-uncased; its labels are put into our order, which is GLUE's.

    Raises:
        UserError: another architecture, missing or foreign weights, other labels.
    """
    from repdiss_core import hub
    from repdiss_core.data.entailment import special_ids
    from repdiss_core.data.nli_sets import LABELS
    from repdiss_core.data.tokenizer import check_size
    from repdiss_core.models.files import read_json
    from repdiss_core.models.paper_models import repo_of, weight_files

    repo = repo_of(spec)
    files = weight_files(hub.pin(repo).files)
    folder = hub.fetch(repo, ["config.json", *files])
    config = read_json(spec.name, folder / "config.json")
    if config.get("model_type", "bert") != "bert":
        raise UserError(f"{spec.name} is a {config['model_type']} model; this loader reads BERT classifiers.")
    network = classifier_of(spec.name, config, read_tensors(spec.name, folder, files))
    check_depth(spec, int(network.config.num_hidden_layers))
    check_size(spec.name, spec.tokenizer_repo, int(network.config.vocab_size))
    named = tuple(str(label).lower() for label in network.config.id2label.values())
    order = named if set(named) == set(LABELS) else FEATHER_LABELS
    with torch.no_grad():
        at = [order.index(label) for label in LABELS]
        network.classifier.weight.copy_(network.classifier.weight[at].clone())
        network.classifier.bias.copy_(network.classifier.bias[at].clone())
    return BertResidualModel(network.to(device, getattr(torch, dtype)), spec.name, LABELS, special_ids()[1], resid_mean)


def classifier_of(name: str, config: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    """A `BertForSequenceClassification` of three labels in float32 with exactly the given weights."""
    from transformers import BertConfig, BertForSequenceClassification

    with torch.random.fork_rng(devices=[]):
        network = BertForSequenceClassification(BertConfig(**{"num_labels": 3, **config}))
    given = {
        k.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias"): v
        for k, v in tensors.items()
    }
    given = {k: v for k, v in given.items() if not k.endswith("embeddings.position_ids")}
    own = dict(network.named_parameters())
    wrong = sorted(set(own) ^ set(given)) or [k for k, p in own.items() if p.shape != given[k].shape]
    if wrong or network.config.num_labels != 3:
        told = ", ".join(wrong[:3]) or f"{network.config.num_labels} labels"
        raise UserError(
            f"The weights of {name} are not those of a BERT classifier of three labels ({told}); nothing was filled in."
        )
    network.load_state_dict({k: v.float() for k, v in given.items()}, strict=False)
    return network.eval()

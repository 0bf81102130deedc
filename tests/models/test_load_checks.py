"""Each check at load fails on a network that breaks what it checks, with its own sentence;
networks without a stream are refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import tiny_families as tiny
import torch
from torch import nn

from repdiss_core.base.errors import UserError
from repdiss_core.models.adapter import AdapterResidualModel
from repdiss_core.models.load_checks import check_model


class Block(nn.Module):
    def __init__(self, d: int, fault: str = "") -> None:
        super().__init__()
        self.weight, self.fault = nn.Parameter(0.3 * torch.randn(d, d)), fault

    def forward(self, hidden_states):
        h = hidden_states - hidden_states.mean(-1, keepdim=True) if self.fault != "mean" else hidden_states
        if self.fault == "leak":  # each token sees the last one
            h = h + h[:, -1:]
        if self.fault == "company":  # each text sees the others of its batch
            h = h + h.mean(0, keepdim=True)
        if self.fault == "narrower":
            return (h @ self.weight)[..., :-1]
        if self.fault == "large":
            return hidden_states + 1e5 * (h @ self.weight)
        return hidden_states + torch.tanh(h @ self.weight)


class Network(nn.Module):
    """A small network whose parts the tests break one at a time."""

    def __init__(self, fault: str = "", where: int = 1, n_blocks: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fault = fault
        self.embedding, self.head = nn.Embedding(50, 16), nn.Linear(16, 50)
        self.blocks = nn.ModuleList([Block(16, fault if i == where else "") for i in range(n_blocks)])

    def get_input_embeddings(self):
        return None if self.fault == "no embedding" else self.embedding

    def get_output_embeddings(self):
        return self.head

    def forward(self, input_ids, attention_mask=None):
        if self.fault == "pictures":
            raise ValueError("pixel_values are missing")
        h = first = self.embedding(input_ids)
        for block in self.blocks:
            h = block(h)
        if self.fault == "beside":  # reaches the logits past the blocks
            h = h + 3 * first
        return SimpleNamespace(logits=self.head(h))


def model(fault: str = "", resid_mean: str = "kept", **given) -> AdapterResidualModel:
    return AdapterResidualModel(Network(fault, **given), "tiny", resid_mean)


def test_a_sound_network_passes():
    found = {one.name: one.difference for one in check_model(model(resid_mean="removed"))}
    assert list(found) == [
        "finite states", "batch equals alone, padding right", "batch equals alone, padding left", "causality",
        "own logits", "mean over d_model",
    ]  # fmt: skip
    assert all(value < 1e-4 for value in found.values())


@pytest.mark.parametrize(
    ("fault", "resid_mean", "sentence"),
    [
        (
            "leak",
            "kept",
            (
                r"tiny failed the check “batch equals alone, padding right”: "
                r"after block 2 .* Its maps would depend on the batches"
            ),
        ),
        ("company", "kept", r"failed the check “batch equals alone, padding right”: after block 2"),
        (
            "beside",
            "kept",
            (
                r"failed the check “own logits”: the states after its last block, "
                r".* differ from its own by [0-9.]+ of their norm"
            ),
        ),
        (
            "mean",
            "removed",
            r'failed the check “mean over d_model”: its blocks read each token\'s mean, .* use resid_mean "kept"',
        ),
    ],
)
def test_a_check_that_fails_says_which(fault, resid_mean, sentence):
    with pytest.raises(UserError, match=sentence):
        check_model(model(fault, resid_mean))


def test_a_future_that_leaks():
    """A BERT taken for a causal model: equal alone and in a batch, but each token sees those after it."""
    network = tiny.network_of("bert")
    with pytest.raises(
        UserError,
        match=r"bert failed the check “causality”: another last token changes the states of earlier ones after block 1",
    ):
        check_model(AdapterResidualModel(network, "bert", causal=True))
    assert check_model(AdapterResidualModel(network, "bert", causal=False))


@pytest.mark.parametrize(
    ("dtype", "cure"),
    [(torch.float16, "in float16. Use float32"), (torch.float32, "in float32. Its weights are damaged")],
)
def test_states_that_are_no_numbers_name_their_block(dtype, cure):
    network = Network("large", where=1).to(dtype)
    if dtype == torch.float32:
        network.blocks[1].weight.data.fill_(float("inf"))
    with pytest.raises(
        UserError, match=rf"tiny failed the check “finite states”: block 2 gives NaN or infinite values {cure}"
    ):
        check_model(AdapterResidualModel(network, "tiny"))


@pytest.mark.parametrize(
    ("fault", "where", "n_blocks", "sentence"),
    [
        ("no embedding", 1, 3, "tiny has no embedding of tokens"),
        (
            "pictures",
            1,
            3,
            "does not run on tokens alone .*pixel_values are missing.* RepDiss reads networks whose input is text",
        ),
        ("narrower", 2, 3, "has no residual stream that RepDiss finds: the modules of blocks change the shape"),
        ("", 0, 0, r"has no blocks: no list of modules of one class \(nn\.ModuleList\) was found in Network"),
    ],
)
def test_networks_without_a_stream(fault, where, n_blocks, sentence):
    if fault == "narrower":  # the last block alone: nothing after it breaks
        network = Network(fault, where, n_blocks)
        network.head = nn.Linear(15, 50)
    else:
        network = Network(fault, where, n_blocks)
    with pytest.raises(UserError, match=sentence):
        AdapterResidualModel(network, "tiny")


def test_blocks_are_the_list_that_keeps_the_shape_not_the_longest():
    """Experts, of which there are more than blocks, see tokens without their sequence."""
    network = Network()
    network.experts = nn.ModuleList([nn.Linear(16, 16) for _ in range(8)])
    own = network.blocks[0].forward

    def with_experts(hidden_states):
        flat = hidden_states.reshape(-1, 16)
        return own(hidden_states) + 0 * sum(expert(flat) for expert in network.experts).reshape(hidden_states.shape)

    network.blocks[0].forward = with_experts
    found = AdapterResidualModel(network, "tiny")
    assert found.structure.path == "blocks" and found.n_layers == 3


def test_tokens_that_the_model_does_not_have():
    import numpy as np

    from repdiss_core.data.batches import TokenBatch

    with pytest.raises(UserError, match="tiny knows token ids 0 to 49"):
        next(iter(model().residuals(TokenBatch(np.full((1, 4), 50)))))
    with pytest.raises(UserError, match="reads at most 3 tokens; the sequences have 4"):
        next(
            iter(
                AdapterResidualModel(Network(), "tiny", n_ctx=3).residuals(TokenBatch(np.zeros((1, 4), dtype=np.int64)))
            )
        )
    with pytest.raises(UserError, match="resid_mean is 'half'"):
        model(resid_mean="half")

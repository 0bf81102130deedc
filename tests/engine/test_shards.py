"""Shards: where they are cut, which device their models go to, and what a machine that never asked the hub is told."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest
import torch

from repdiss_core import hub
from repdiss_core.base.comparison import ModelId, Request
from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import REPOSITORY, local_root
from repdiss_core.engine import groups, shard_worker
from repdiss_core.engine.plan import plan
from repdiss_core.engine.shard_worker import compute_shard
from repdiss_core.engine.shards import BATCHES_PER_GPU_SHARD, BATCHES_PER_SHARD, Shard
from repdiss_core.models import model_spec
from repdiss_core.studies.common import CkaView, cka_panel, data_id
from repdiss_core.studies.presets import preset

F, G = "mini-gelu-3l-s0", "mini-solu-3l-s0"


@pytest.fixture(autouse=True)
def fresh_process():
    """A process keeps its models from shard to shard: not from test to test."""
    shard_worker._host.cache_clear()
    yield
    shard_worker._host.cache_clear()


def maps(n_batches: int) -> Request:
    data = data_id(preset("tiny"), "eval")
    return Request(tuple(cka_panel(f, g, CkaView(), data).comparison for f, g in ((F, F), (F, G), (G, G))), n_batches)


def test_shards_are_cut_at_fixed_places() -> None:
    (features,) = plan(maps(12))
    counts = dict.fromkeys((c.key for c in features.comparisons), 0) | {features.comparisons[0].key: 7}
    assert [(len(s.comparisons), s.first, s.last) for s in features.shards(counts, 12, BATCHES_PER_SHARD)] == [
        (2, 0, 5),
        (3, 5, 10),
        (3, 10, 12),
    ]
    assert [(s.first, s.last) for s in features.shards(dict.fromkeys(counts, 0), 120, BATCHES_PER_GPU_SHARD)] == [
        (0, 50),
        (50, 100),
        (100, 120),
    ]


@pytest.fixture
def model_of_the_hub(tmp_path) -> ModelId:
    """A folder with a tiny GPT-NeoX, which is moved to a device as models of the hub are."""
    from safetensors.torch import save_file
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = {"model_type": "gpt_neox", "rotary_pct": 0.5, "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1,
              "num_attention_heads": 2, "intermediate_size": 8,
              "max_position_embeddings": 16, "hidden_act": "gelu"}  # fmt: skip
    network = GPTNeoXForCausalLM(GPTNeoXConfig(**config))
    save_file({name: p.detach().clone() for name, p in network.named_parameters()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    shutil.copy(REPOSITORY / "repdiss_core" / "bundled" / "tokenizer.json", tmp_path)
    name = f"path:{tmp_path}"
    return ModelId(name, model_spec(name).weights)


@pytest.fixture
def one_gpu(monkeypatch) -> list[str]:
    """One CUDA device by word of mouth, as Ray shows it to a shard; what models are loaded onto."""
    loaded: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda name: (40 * 2**30, 80 * 2**30))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda name: "a GPU")
    monkeypatch.setattr(
        "repdiss_core.models.load_model", lambda name, mean, dtype, device: loaded.append(device) or SimpleNamespace()
    )
    return loaded


def test_models_go_to_the_gpu_of_the_shard_and_to_no_other(one_gpu, model_of_the_hub) -> None:
    engine = shard_worker._host(True)
    engine.load(model_of_the_hub, "kept")
    assert (one_gpu, engine.activations.home, engine.provenance()["device"]) == (["cuda:0"], "cuda:0", "a GPU")
    assert not (local_root() / "device.json").exists(), "only the driver writes"
    without = shard_worker._host(False)
    without.load(model_of_the_hub, "kept")
    assert one_gpu == ["cuda:0", "cpu"] and without.provenance()["device"] == "cpu"


def test_a_gpu_that_torch_does_not_see_is_told() -> None:
    with pytest.raises(
        UserError,
        match=r"Ray sets GPUs aside for each shard, but torch sees none .* leave out --gpus and REPDISS_RAY_GPUS",
    ):
        compute_shard(Shard(maps(1).comparisons, 0, 1).to_dict(), 1, on_gpu=True)


def test_a_machine_learns_what_the_asking_one_knows_of_the_hub() -> None:
    hub.remember("model:org/here@main", {"commit": "a" * 40, "files": {}})
    theirs = {
        "model:org/here@main": {"commit": "b" * 40, "files": {}},
        "model:org/new@main": {"commit": "c" * 40, "files": {"x": 1}},
    }
    found = compute_shard(Shard(maps(1).comparisons, 0, 1).to_dict(), 1, facts=theirs)
    assert len(found) == 3 and hub.recall("model:org/new@main") == theirs["model:org/new@main"]
    assert hub.recall("model:org/here@main")["commit"] == "a" * 40, (
        "what a machine knows stays: its weights are checked when they are loaded"
    )


def test_models_of_another_study_make_room() -> None:
    compute_shard(Shard(maps(1).comparisons, 0, 1).to_dict(), 1)
    engine = shard_worker._host(False)
    assert {name for name, *_ in engine._models} == {F, G}
    other = data_id(preset("tiny"), "phi")
    compute_shard(Shard((cka_panel(F, F, CkaView(), other).comparison,), 0, 1).to_dict(), 1)
    assert {name for name, *_ in engine._models} == {F}


def test_a_shard_without_memory_ends_in_the_sentence_of_one_process(monkeypatch) -> None:
    def full(self, *_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(groups.FeatureGroup, "run", full)
    with pytest.raises(UserError, match=rf"2 models \({F}, {G}\) do not fit into the memory of cpu together"):
        compute_shard(Shard(maps(1).comparisons, 0, 1).to_dict(), 1)

"""Which device, which model on which GPU, and what happens when memory runs out.

No GPU is needed: torch's answers about devices, and its out-of-memory error, are put in their place.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from repdiss_core.base.comparison import Request
from repdiss_core.base.errors import UserError
from repdiss_core.engine import device
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.run import Engine
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.common import CkaView, cka_panel, data_id
from repdiss_core.studies.presets import preset

NAMES = ("mini-gelu-3l-s0", "mini-solu-3l-s0", "mini-gelu-3l-s1")


@pytest.fixture
def gpus(monkeypatch):
    """Two CUDA devices of 40 and 80 GB, by word of mouth."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    sizes = {"cuda:0": 40 * 2**30, "cuda:1": 80 * 2**30}
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda name: SimpleNamespace(total_memory=sizes[name]))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda name: (sizes[name] // 2, sizes[name]))


def test_every_gpu_is_used_and_one_can_be_named(gpus, monkeypatch):
    assert device.devices() == ("cuda:0", "cuda:1")
    monkeypatch.setenv("REPDISS_DEVICE", "cuda:1")
    assert device.devices() == ("cuda:1",)
    monkeypatch.setenv("REPDISS_DEVICE", "cpu")
    assert device.devices() == ("cpu",)
    monkeypatch.setenv("REPDISS_DEVICE", "cuda:7")
    with pytest.raises(UserError, match=r"REPDISS_DEVICE is 'cuda:7'; this machine has cuda:0, cuda:1, cpu\. Unset it"):
        device.devices()


def test_without_a_gpu_it_is_mps_or_the_processor(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device.devices() == ("mps",)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert device.devices() == ("cpu",)


def test_models_are_spread_over_gpus_by_the_memory_that_is_left(gpus):
    taken: dict[str, int] = {}
    for n_gib in (14, 28, 12, 6):
        chosen = device.roomiest(("cuda:0", "cuda:1"), taken)
        taken[chosen] = taken.get(chosen, 0) + n_gib * 2**30
    assert taken == {"cuda:1": (14 + 28 + 6) * 2**30, "cuda:0": 12 * 2**30}


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(gpus):
    device.check_room("small", 10**9, "cuda:0")
    with pytest.raises(MemoryError, match=r"large takes 20\.0 GB and cuda:0 has 21\.5 GB free"):
        device.check_room("large", 20 * 10**9, "cuda:0")


def test_what_counts_as_out_of_memory():
    assert device.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory")) and device.is_out_of_memory(
        MemoryError()
    )
    assert device.is_out_of_memory(RuntimeError("MPS backend out of memory (…)")) and not device.is_out_of_memory(
        RuntimeError("shape")
    )


def test_the_rate_is_measured_once_for_the_pages(monkeypatch):
    from repdiss_core.base.paths import local_root
    from repdiss_core.runs import estimates
    from repdiss_core.store.kept_files import read_facts

    monkeypatch.setattr(device, "matmul_rate", lambda name, dtype: 5e14)
    monkeypatch.setattr(device, "name_of", lambda name: "a fast one")
    device.keep_rate("cpu")
    assert not (local_root() / "device.json").exists()
    device.keep_rate("cuda:0")
    assert estimates.rate_here() == ("a fast one", 5e14)
    assert read_facts(local_root() / "device.json")["flops"] == 5e14
    monkeypatch.setattr(device, "matmul_rate", lambda name, dtype: 1e14)
    device.keep_rate("cuda:0")
    assert estimates.rate_here()[1] == 5e14
    monkeypatch.setattr(device, "name_of", lambda name: "another one")  # the cache moved to another machine
    device.keep_rate("cuda:0")
    assert estimates.rate_here() == ("another one", 1e14)


def test_the_matmul_rate_is_of_this_machine():
    assert 1e8 < device.matmul_rate("cpu", size=256, rounds=2) < 1e14


class Layers:
    """What the feature pass asks of a model: three layers of fixed random projections of the tokens."""

    n_layers = 3

    def __init__(self, name: str) -> None:
        draw = torch.Generator().manual_seed(NAMES.index(name))
        self.tables = [torch.randn(2048, 16, generator=draw) for _ in range(self.n_layers)]

    def residuals(self, batch):
        yield from (table[torch.from_numpy(batch.tokens)] for table in self.tables)


class SmallMachine(Engine):
    """An engine whose memory holds `room` models at a time."""

    room = 3

    def load(self, model, resid_mean, dtype="float32", alone=False):
        key = (model.name, resid_mean, dtype)
        if key not in self._models:
            if len(self._models) >= self.room:
                raise torch.OutOfMemoryError("out of memory")
            self._models[key] = Layers(model.name)
        return self._models[key]


EVERY = tuple((f, g) for i, f in enumerate(NAMES) for g in NAMES[i:])


def request(pairs, n_batches: int = 3) -> Request:
    data = data_id(preset("bundled"), "eval")
    return Request(tuple(cka_panel(f, g, CkaView(), data).comparison for f, g in pairs), n_batches)


def computed(
    tmp_path, room: int, pairs=EVERY, budget: int = 2**27
) -> tuple[dict[str, dict[str, np.ndarray]], list[str]]:
    told: list[str] = []
    store = ResultStore(tmp_path / f"room-{room}")
    engine = SmallMachine(store, ActivationCache(tmp_path / f"activations-{room}", budget), told.append)
    engine.room = room
    engine.run(request(pairs), lambda fraction, message: None)
    return {key: store.get_local(key).arrays for key in store.keys("local")}, told


def test_a_group_that_does_not_fit_is_computed_in_parts_with_the_same_bytes(tmp_path):
    whole, told = computed(tmp_path, 3)
    assert told == []
    parts, told = computed(tmp_path, 2)
    assert any(
        "3 models" in line and "do not fit into the memory of cpu together; half of the pairs" in line for line in told
    )
    assert parts.keys() == whole.keys()
    one, told = computed(tmp_path, 1, EVERY[1:2], 2**22)  # room on the disk for ten batches
    assert (
        any("one runs after the other, and the first one's features wait on the disk" in line for line in told)
        and len(one) == 1
    )
    for key, arrays in (*parts.items(), *one.items()):
        for name, array in arrays.items():
            np.testing.assert_array_equal(whole[key][name], array)


def test_a_disk_budget_too_small_for_one_after_the_other_is_told(tmp_path):
    with pytest.raises(
        UserError,
        match=(
            r"do not fit into memory together, and one batch of features takes .* set REPDISS_ACTIVATIONS_GB to at "
            r"least"
        ),
    ):
        computed(tmp_path, 1, EVERY[1:2], 2**16)


def test_a_model_that_fits_nowhere_is_told(tmp_path):
    with pytest.raises(
        UserError,
        match=r"mini-gelu-3l-s0 does not fit into the memory of cpu even alone\. Use a larger one, or dtype bfloat16",
    ):
        computed(tmp_path, 0, EVERY[:1])

"""Where models run: CUDA, Apple's MPS or the processor; which model on which GPU; what "out of memory" looks like.

Imports torch.

`REPDISS_DEVICE` names one ("cpu", "cuda:1", "mps"); otherwise every CUDA device is used, else MPS, else the processor.
Only models of the hub are moved: the bundled ones are quicker where they are.
"""

from __future__ import annotations

import contextlib
import os
import time

import torch

from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import local_root
from repdiss_core.runs.estimates import ROOM, kept_device
from repdiss_core.store.kept_files import write_facts

MATRIX = 4096


def devices() -> tuple[str, ...]:
    """The devices that models may run on, the first being where features are compared.

    Raises:
        UserError: `REPDISS_DEVICE` names one that is not there.
    """
    n = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = (*(f"cuda:{i}" for i in range(n)), *(("mps",) if torch.backends.mps.is_available() else ()), "cpu")
    wanted = os.environ.get("REPDISS_DEVICE", "")
    if not wanted:
        return there[:n] if n else there[:1]
    name = "cuda:0" if wanted == "cuda" else wanted
    if name not in there:
        raise UserError(
            f"REPDISS_DEVICE is {wanted!r}; this machine has {', '.join(there)}. Unset it, or name one of these."
        )
    return (name,)


def free_bytes(device: str) -> int:
    """Memory that is free on a device; for the processor and MPS that of the machine."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def check_room(name: str, n_bytes: int, device: str) -> None:
    """Raise a `MemoryError` where a model's weights would leave a device no room to work:
    better than to be killed for it."""
    free = free_bytes(device)
    if n_bytes > ROOM * free:
        raise MemoryError(f"{name} takes {n_bytes / 1e9:.1f} GB and {device} has {free / 1e9:.1f} GB free")


def roomiest(known: tuple[str, ...], taken: dict[str, int]) -> str:
    """The device with the most memory left once what models have `taken` is counted: several GPUs share the models."""
    if len(known) == 1:
        return known[0]
    total = {device: torch.cuda.get_device_properties(device).total_memory for device in known}
    return max(known, key=lambda device: total[device] - taken.get(device, 0))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that a device, or the machine, has no memory left."""
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "not enough memory" in str(error)
        or "MPS backend out of memory" in str(error)
    )


def release() -> None:
    """Hand back what dropped models have held."""
    import gc

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def name_of(device: str) -> str:
    """For provenance: the GPU's name, or the device itself."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def matmul_rate(device: str, dtype: torch.dtype = torch.float32, size: int = MATRIX, rounds: int = 5) -> float:
    """Floating-point operations a second in products of square matrices: the best of some rounds."""
    a = torch.ones(size, size, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        b = a @ a
        b[0, 0].item()  # waits for the device
        best = min(best, time.perf_counter() - begun)
    return 2.0 * size**3 / best


def keep_rate(device: str) -> None:
    """Measure a GPU once, so that pages can tell how long a computation takes on it,
    and what the GPUs hold together."""
    path = local_root() / "device.json"
    if device == "cpu" or kept_device().get("device") == name_of(device):
        return
    rate = matmul_rate(device, torch.bfloat16 if device.startswith("cuda") else torch.float32)
    n = torch.cuda.device_count() if device.startswith("cuda") else 0
    n_bytes = sum(torch.cuda.get_device_properties(i).total_memory for i in range(n))
    with contextlib.suppress(OSError):  # estimates are those of the processor then
        write_facts(path, {"device": name_of(device), "flops": rate, "bytes": n_bytes})

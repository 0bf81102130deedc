"""Which of torch's matrix products is fastest on this machine, and the buffers that batches reuse."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from repdiss_core.base.errors import UserError

Product = Callable[[Tensor, Tensor, Tensor], None]

# oneDNN must win by this much. Close results would flip from run to run, and the last digits of the values with them.
MARGIN = 1.25


def product_mm(left: Tensor, right: Tensor, out: Tensor) -> None:
    """out (a, b) ← left (a, d) · right (b, d)ᵀ by torch.mm."""
    torch.mm(left, right.T, out=out)


def product_onednn(left: Tensor, right: Tensor, out: Tensor) -> None:
    """The same by oneDNN, whose kernels torch.mm does not use for float32; on some AMD processors they are 1.7
    times as fast."""
    out.copy_(F.linear(left.to_mkldnn(), right.to_mkldnn()).to_dense())


PRODUCTS: dict[str, Product] = {"mm": product_mm, "onednn": product_onednn}


def choose_product(device: torch.device, dtype: torch.dtype) -> Product:
    """The product for large float32 tiles: measured once a process on the CPU, torch.mm elsewhere.

    `REPDISS_PRODUCT=mm` or `onednn` fixes the choice.

    Raises:
        UserError: for another value of `REPDISS_PRODUCT`.
    """
    wanted = os.environ.get("REPDISS_PRODUCT", "")
    if wanted and wanted not in PRODUCTS:
        raise UserError(
            f"REPDISS_PRODUCT is {wanted!r}; it may be {' or '.join(PRODUCTS)}, "
            "or unset to let the faster one be measured."
        )
    if device.type != "cpu" or dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return product_mm
    return PRODUCTS[wanted or _fastest()]


@lru_cache(maxsize=1)
def _fastest() -> str:
    """ "onednn" where it beats torch.mm by `MARGIN` on one tile; takes some 20 ms."""
    times = product_times()
    return "onednn" if times["mm"] > MARGIN * times["onednn"] else "mm"


def product_times(rounds: int = 6) -> dict[str, float]:
    """Seconds that each product takes for a tile of 128 × 512 with d = 512: the best of some interleaved rounds."""
    left, right, out = torch.randn(128, 512), torch.randn(512, 512), torch.empty(128, 512)
    best = dict.fromkeys(PRODUCTS, float("inf"))
    for _ in range(rounds):
        for name, product in PRODUCTS.items():
            begin = time.perf_counter()
            product(left, right, out)
            best[name] = min(best[name], time.perf_counter() - begin)
    return best


class Workspace:
    """Buffers that one batch after another is prepared in, so that the operating system need not clear fresh memory
    each time.

    What was prepared in a workspace is valid until `reset`, after which its memory is handed out again.
    """

    def __init__(self) -> None:
        self._free: list[Tensor] = []
        self._used: list[Tensor] = []

    def take(self, rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """(rows, columns) uninitialised numbers."""
        for index, buffer in enumerate(self._free):
            if buffer.shape == (rows, columns) and buffer.dtype == dtype and buffer.device == device:
                self._used.append(self._free.pop(index))
                return self._used[-1]
        self._used.append(torch.empty(rows, columns, dtype=dtype, device=device))
        return self._used[-1]

    def reset(self) -> None:
        """Make every buffer that was taken since the last reset available again, and let go of those that were not
        needed."""
        self._free, self._used = self._used, []

"""Whether two models have the same weights, as their files say. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from repdiss_core import hub
from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import typed_path
from repdiss_core.models import ModelSpec, model_spec
from repdiss_core.models.files import MOST_HEADER, files_of, weight_files
from repdiss_core.models.paper_models import repo_of

SAME_FILES, SAME_TENSORS = "files", "tensors"
PIECE = 2**22  # bytes that are compared at once


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor stands in a safetensors file.

    Args:
        begin, end: bytes from the file's beginning.
    """

    dtype: str
    shape: tuple[int, ...]
    path: Path
    begin: int
    end: int


def same_weights(name_f: str, name_g: str) -> str:
    """`SAME_FILES` where the hashes of two models' weights agree, `SAME_TENSORS` where every tensor does although the
    hashes do not (sharded otherwise, another revision of the same, …), "" where they differ or files cannot tell."""
    f, g = model_spec(name_f), model_spec(name_g)
    if f.weights == g.weights:
        return SAME_FILES
    return SAME_TENSORS if _same_tensors(name_f, f.weights, name_g, g.weights) else ""


@lru_cache(maxsize=32)
def _same_tensors(name_f: str, weights_f: str, name_g: str, weights_g: str) -> bool:
    """Whether all tensors are equal; the hashes say when to look again."""
    try:
        f, g = (_tensors(model_spec(name)) for name in (name_f, name_g))
        if not f or {n: (t.dtype, t.shape) for n, t in f.items()} != {n: (t.dtype, t.shape) for n, t in g.items()}:
            return False
        return all(_bytes_equal(one, g[name]) for name, one in f.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError):
        return False


def _tensors(spec: ModelSpec) -> dict[str, StoredTensor]:
    """Every tensor of a model's safetensors files; {} where its weights stand in another form, or not here."""
    if spec.source == "local" and spec.name.startswith("path:"):
        files = files_of(typed_path(spec.name))
        folder, names = files.folder, files.names if files.form == "weights" else ()
    elif spec.source == "hub":
        found = hub.snapshot(repo_of(spec))
        if found is None:
            return {}
        folder, names = found, tuple(weight_files([path.name for path in found.iterdir()]))
    else:
        return {}
    if not all(name.endswith(".safetensors") for name in names):
        return {}
    return {name: tensor for file in names for name, tensor in _of_file(folder / file).items()}


def _of_file(path: Path) -> dict[str, StoredTensor]:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size >= MOST_HEADER:
            raise ValueError(f"{path.name} is no safetensors file")
        header: dict[str, Any] = json.loads(file.read(size))
    header.pop("__metadata__", None)
    tensors = {}
    for name, one in header.items():
        begin, end = one["data_offsets"]
        tensors[name] = StoredTensor(one["dtype"], tuple(one["shape"]), path, 8 + size + begin, 8 + size + end)
    return tensors


def _bytes_equal(a: StoredTensor, b: StoredTensor) -> bool:
    """Whether two tensors hold the same bytes."""
    if a.end - a.begin != b.end - b.begin:
        return False
    with a.path.open("rb") as file_a, b.path.open("rb") as file_b:
        file_a.seek(a.begin)
        file_b.seek(b.begin)
        for left in range(a.end - a.begin, 0, -PIECE):
            if file_a.read(min(PIECE, left)) != file_b.read(min(PIECE, left)):
                return False
    return True

"""What stands in a model's folder: weights of which form, whole or not. Imports no torch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repdiss_core.base.errors import UserError
from repdiss_core.data.tokenizer_files import JSON, form_among

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
SHARD = re.compile(r"(.+)-(\d+)-of-(\d+)(\.\w+)")
MOST_HEADER = 10**8  # bytes, the format's own limit
POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model in a folder.

    Args:
        form: "weights" (config.json beside safetensors or .bin), "gguf", or "adapter" (PEFT, on a base that it names).
        names: what decides the network's values.
    """

    folder: Path
    form: str
    names: tuple[str, ...]


def files_of(place: Path) -> ModelFiles:
    """What a folder, or a GGUF file, holds.

    Raises:
        UserError: nothing that RepDiss reads, pointers in place of files, a shard that is missing.
    """
    if place.suffix.lower() == ".gguf" and place.is_file():
        _check_is_there(place.parent, (place.name,))
        return ModelFiles(place.parent, "gguf", (place.name,))
    names = sorted(path.name for path in place.iterdir())
    weights = weight_files(names)
    gguf = [name for name in names if name.lower().endswith(".gguf")]
    if ADAPTER_CONFIG in names and not weights:
        return _adapter(place, names)
    if gguf and not weights:
        if len(gguf) > 1:
            raise UserError(
                f"{place} holds {len(gguf)} GGUF files ({', '.join(gguf[:4])}); write path: and one of them."
            )
        _check_is_there(place, tuple(gguf))
        return ModelFiles(place, "gguf", (gguf[0],))
    missing = [] if "config.json" in names else ["config.json"]
    missing += [] if form_among(names) else [JSON]
    missing += [] if weights else ["model.safetensors"]
    if missing:
        raise UserError(
            f"The folder {place} has no {' and no '.join(missing)}; a model needs config.json, a tokenizer "
            "(tokenizer.json, or files that transformers converts to it) and weights (safetensors or .bin), "
            "or is a GGUF file."
        )
    _check_is_there(place, ("config.json", *weights))
    check_shards(str(place), names, weights, _indexed(place, names, weights))
    return ModelFiles(place, "weights", tuple(weights))


def weight_files(files: Sequence[str] | dict[str, int]) -> list[str]:
    """The files of a repository that hold its weights: safetensors where there are any, else torch's."""
    top = [name for name in files if "/" not in name]
    for begin, end in (("model", ".safetensors"), ("pytorch_model", ".bin"), ("model_final", ".pth")):
        found = sorted(name for name in top if name.startswith(begin) and name.endswith(end))
        if found:
            return found
    return []


def check_shards(place: str, names: Sequence[str], weights: Sequence[str], indexed: Sequence[str] = ()) -> None:
    """Raise a `UserError` where a part of sharded weights is missing, as the index or the parts' own names say."""
    parts = [found for found in map(SHARD.fullmatch, weights) if found]
    wanted = {
        f"{one[1]}-{number:0{len(one[2])}d}-of-{one[3]}{one[4]}"
        for one in parts
        for number in range(1, min(int(one[3]), 10_000) + 1)
    }
    missing = sorted((wanted | set(indexed)) - set(names))
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UserError(
            f"{place} lacks {', '.join(missing[:3])}{more}, which hold a part of its weights. Fetch what is missing."
        )


def count_parameters(files: Sequence[Path]) -> int:
    """Numbers in safetensors files, as their headers say; 0 where a file is of another form or damaged,
    which loading will say."""
    counted = 0
    for path in files:
        try:
            with path.open("rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(size)) if path.suffix == ".safetensors" and size < MOST_HEADER else {}
            counted += sum(math.prod(one["shape"]) for key, one in header.items() if key != "__metadata__")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return 0
    return counted


def stored_bytes(config: dict[str, Any]) -> int:
    """Bytes of a number in a model's files, as its configuration says."""
    return 2 if str(config.get("torch_dtype") or config.get("dtype")) in ("float16", "bfloat16") else 4


def read_json(name: str, path: Path) -> dict[str, Any]:
    """A JSON object of a model's folder.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"The configuration of {name} cannot be read ({error}); it needs a {path.name}.") from error


def _indexed(place: Path, names: Sequence[str], weights: Sequence[str]) -> list[str]:
    """The files that the weights' index names, where there is one."""
    shard = SHARD.fullmatch(weights[0])
    index = weights[0] if shard is None else f"{shard[1]}{Path(weights[0]).suffix}"
    file = f"{index}.index.json"
    if file not in names or index in names:
        return []
    named = read_json(str(place), place / file).get("weight_map", {})
    return sorted({str(value) for value in named.values()}) if isinstance(named, dict) else []


def _adapter(place: Path, names: Sequence[str]) -> ModelFiles:
    weights = [name for name in ADAPTER_WEIGHTS if name in names]
    if not weights:
        raise UserError(f"The folder {place} has {ADAPTER_CONFIG} and no {ADAPTER_WEIGHTS[0]}. Fetch the adapter anew.")
    _check_is_there(place, (ADAPTER_CONFIG, weights[0]))
    return ModelFiles(place, "adapter", (ADAPTER_CONFIG, weights[0]))


def _check_is_there(place: Path, names: Sequence[str]) -> None:
    for name in names:
        with (place / name).open("rb") as file:
            if file.read(len(POINTER)) == POINTER:
                raise UserError(
                    f"{name} in {place} is a pointer of git-lfs and not the file itself. "
                    "Run `git lfs pull` in that folder."
                )

"""Unfinished work on disk: arrays and plain values by key, written atomically, checked when read. No pickle."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

FORMAT = "repdiss-checkpoint-1"


class CheckpointDir:
    """A folder of checkpoints, one safetensors file a key.

    Args:
        path: the folder; made when first written to.
        report: told, in a sentence, of every checkpoint that could not be read or written.
    """

    def __init__(self, path: str | Path, report: Callable[[str], None]) -> None:
        self.path = Path(path)
        self.report = report

    def file(self, key: str) -> Path:
        """Where the checkpoint of a key lies."""
        return self.path / f"{key}.safetensors"

    def save(self, key: str, arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> bool:
        """Replaces the checkpoint of a key in one move; says whether it is on disk.

        A full disk or a folder without write permission is told; the work and the last checkpoint stay as they are.
        """
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        text = json.dumps(dict(plain), sort_keys=True)
        header = {"format": FORMAT, "key": key, "plain": text, "sha256": _checksum(key, arrays, text)}
        temporary = self.path / f".{key}.{os.getpid()}.part"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(save(arrays, metadata=header))
            os.replace(temporary, self.file(key))
        except OSError as error:
            temporary.unlink(missing_ok=True)
            self.report(
                f"The checkpoint {self.file(key)} could not be written ({error.strerror}); "
                "the work goes on without it. Free some disk space."
            )
            return False
        return True

    def load(self, key: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """(arrays, plain values) of a key; None where there is none, or a damaged or foreign one (reported)."""
        file = self.file(key)
        if not file.exists():
            return None
        try:
            with safe_open(file, framework="numpy") as content:
                header = content.metadata() or {}
                arrays = {name: content.get_tensor(name) for name in content.keys()}
        except (OSError, SafetensorError, TypeError, KeyError) as error:
            self.reject(key, f"cannot be read ({error})")
            return None
        if header.get("format") != FORMAT or header.get("key") != key:
            self.reject(key, "was not written for this computation")
            return None
        if header.get("sha256") != _checksum(key, arrays, header.get("plain", "")):
            self.reject(key, "is damaged: its checksum does not fit its content")
            return None
        return arrays, json.loads(header["plain"])

    def discard(self, key: str) -> None:
        """Deletes the checkpoint of a key, if there is one."""
        self.file(key).unlink(missing_ok=True)

    def reject(self, key: str, reason: str) -> None:
        """Reports a checkpoint that cannot be used; the work starts afresh and will write over it."""
        self.report(f"The checkpoint {self.file(key)} {reason}; it is set aside and the work starts afresh.")


def _checksum(key: str, arrays: Mapping[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(f"{key}\n{text}\n".encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()

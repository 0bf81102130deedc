"""Downloads from the hub into huggingface_hub's cache: resumed after a break, told while they run, stopped when asked.

huggingface_hub 2 drops what has arrived when a download ends early. Here the bytes go to a partial file beside the
blob, which the next attempt continues; the finished blob is handed to huggingface_hub, which links it as its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from repdiss_core.base.errors import UserError

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

    from repdiss_core.hub import Pin, Repo

CHUNK = 2**20
ATTEMPTS = 5  # without a single new byte
STALL_S = 15.0
RESERVE_BYTES = 2**28  # left free on the disk
SHA256 = re.compile(r"[0-9a-f]{64}")
_ETAG = re.compile(r"[\w.-]+")

Watch = tuple[Callable[[float, str], None], Callable[[], bool]]
_watch: ContextVar[Watch] = ContextVar("watch", default=(lambda fraction, message: None, lambda: False))


class Cancelled(Exception):
    """A download was asked to stop; what has arrived is kept."""


@contextlib.contextmanager
def watched(progress: Callable[[float, str], None], should_stop: Callable[[], bool]) -> Iterator[None]:
    """Inside, downloads report (share of the bytes, message) and ask whether to stop."""
    token = _watch.set((progress, should_stop))
    try:
        yield
    finally:
        _watch.reset(token)


def watchers() -> Watch:
    """(what is told of a download's progress, what says whether to stop), as `watched` set them."""
    return _watch.get()


def download(repo: Repo, pin: Pin, names: Sequence[str], folder: Path) -> None:
    """Fetch files of a pinned commit into the repository's folder of huggingface_hub's cache.

    Raises:
        UserError: no room, or bytes that are not those which the hub announced.
        Cancelled: asked to stop.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    from repdiss_core.hub import API_TIMEOUT_S, cache_folder, endpoint

    total = sum(pin.files[name] for name in names)
    check_room(str(repo), total, folder)
    done = 0
    for name in names:
        place: dict[str, Any] = {
            "repo_id": repo.name,
            "filename": name,
            "repo_type": repo.kind,
            "revision": pin.commit,
            "endpoint": endpoint(),
        }
        found = get_hf_file_metadata(hf_hub_url(**place), timeout=API_TIMEOUT_S, endpoint=endpoint())
        if not found.etag or not _ETAG.fullmatch(found.etag):
            raise UserError(f"The hub names no content for {name} of {repo} that can be checked; it was not fetched.")
        blob = folder / "blobs" / found.etag
        if not blob.exists():
            _fetch_blob(found, blob, f"{repo}: {name}", done, total)
        hf_hub_download(**place, cache_dir=cache_folder())
        done += pin.files[name]


def check_room(what: str, n_bytes: int, folder: Path, setting: str = "HF_HOME") -> None:
    """Raise a `UserError` where the disk, or the budget `REPDISS_DOWNLOADS_GB` for one download, has no room.

    Args:
        setting: the variable that moves the folder to another disk.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free - RESERVE_BYTES
    if n_bytes > free:
        room = f"{there} has {max(0, free) / 2**30:.2f} GiB free"
        raise UserError(
            f"{what} needs {n_bytes / 2**30:.2f} GiB and {room}. Make room, or set {setting} to a larger disk."
        )
    budget = _budget()
    if budget is not None and n_bytes > budget * 2**30:
        allowed = f"REPDISS_DOWNLOADS_GB allows {budget:g} GiB a model or data set"
        raise UserError(f"{what} needs {n_bytes / 2**30:.5f} GiB; {allowed}. Raise it to fetch this.")


def _budget() -> float | None:
    said = os.environ.get("REPDISS_DOWNLOADS_GB", "")
    try:
        return float(said) if said else None
    except ValueError as error:
        raise UserError(
            f"REPDISS_DOWNLOADS_GB is {said!r}; it is a number of GiB, such as 20. Unset it for no limit."
        ) from error


def _fetch_blob(found: HfFileMetadata, blob: Path, what: str, done: int, total: int) -> None:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    blob.parent.mkdir(parents=True, exist_ok=True)
    partial = blob.with_name(f"{blob.name}.repdiss-part")
    left = ATTEMPTS
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            if found.size is None or before < found.size:
                _continue(found, partial, before, what, done, total)
            break
        except (httpx2.TransportError, HfHubHTTPError) as error:
            left = ATTEMPTS if partial.exists() and partial.stat().st_size > before else left - 1
            status = getattr(getattr(error, "response", None), "status_code", 500)
            if left == 0 or 400 <= status < 500:
                raise
            time.sleep(0.1 * (ATTEMPTS - left))
    _check(found, partial, what)
    os.replace(partial, blob)


def _continue(found: HfFileMetadata, partial: Path, start: int, what: str, done: int, total: int) -> None:
    """Append what is missing of a blob, in pieces."""
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    from repdiss_core.hub import endpoint

    progress, should_stop = watchers()
    headers = build_hf_headers() | ({"Range": f"bytes={start}-"} if start else {})
    if urlsplit(found.location).netloc != urlsplit(endpoint()).netloc:
        headers.pop("authorization", None)  # the address of a storage server carries its own permission
    with get_session().stream(
        "GET", found.location, headers=headers, timeout=STALL_S, follow_redirects=True
    ) as response:
        hf_raise_for_status(response)
        resumed = start > 0 and response.status_code == 206
        n = start if resumed else 0
        with partial.open("ab" if resumed else "wb") as file:
            for piece in response.iter_raw(CHUNK):
                file.write(piece)
                n += len(piece)
                progress(
                    (done + n) / max(1, total),
                    f"fetching {what}: {(done + n) / 2**20:,.0f} of {total / 2**20:,.0f} MiB",
                )
                if should_stop():
                    raise Cancelled


def _check(found: HfFileMetadata, partial: Path, what: str) -> None:
    size = partial.stat().st_size
    assert found.etag is not None, "`download` refuses files without one"
    right = found.size is None or size == found.size
    if right and SHA256.fullmatch(found.etag):  # large files are named by their sha256
        with partial.open("rb") as file:
            right = hashlib.file_digest(file, "sha256").hexdigest() == found.etag
    if not right:
        partial.unlink()
        raise UserError(
            f"What arrived of {what} is not what the hub announced ({size} bytes of {found.size}); "
            "it was thrown away. Try again."
        )

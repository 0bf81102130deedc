"""The Hugging Face hub: what a repository is at a revision, whether the hub can be reached, and files out of it.

A revision is resolved to a commit once and *pinned* on this machine (`cache/local/hub/pins.json`): page, worker and
command line then speak of the same bytes, whatever happens to the branch. Files go into the usual cache of
huggingface_hub, so that what other programs have fetched is not fetched again. The only place that sets HF_* options.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import expanded
from repdiss_core.hub.facts import everything, recall, remember, stamp

__all__ = [
    "NoSuchRepository",
    "Pin",
    "Repo",
    "cache_folder",
    "cached_repositories",
    "endpoint",
    "everything",
    "fetch",
    "has",
    "online",
    "pin",
    "pinned",
    "recall",
    "remember",
    "repository_folder",
    "require_network",
    "snapshot",
    "stamp",
    "told",
]

PREFLIGHT_S = 3.0
ASK_AGAIN_S = 30.0
API_TIMEOUT_S = 10.0
COMMIT = re.compile(r"[0-9a-f]{40}")
REPOSITORY_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)
MOST_BYTES = 200  # of a name, and of a revision, that become names of files
_last_preflight: dict[str, tuple[float, bool]] = {}


class NoSuchRepository(UserError):
    """The hub knows no repository of that name, or does not admit it."""


@dataclass(frozen=True)
class Repo:
    """A repository at a branch, tag or commit; `kind` is "model" or "dataset"."""

    name: str
    revision: str = "main"
    kind: str = "model"

    def __post_init__(self) -> None:
        too_long = max(len(part.encode("utf-8", "replace")) for part in (self.name, self.revision)) > MOST_BYTES
        if too_long or not REPOSITORY_NAME.fullmatch(self.name) or ".." in self.revision or not self.revision:
            raise UserError(
                f"{self.name[:80]}@{self.revision[:80]} does not name a repository of the hub; "
                "write org/name or org/name@revision."
            )

    def __str__(self) -> str:
        return self.name if self.revision == "main" else f"{self.name}@{self.revision}"


@dataclass(frozen=True)
class Pin:
    """What a revision stood for when it was first asked: its commit, and the size in bytes of each file."""

    commit: str
    files: dict[str, int]


def endpoint() -> str:
    """The hub's address: `HF_ENDPOINT` where set, else huggingface_hub's own."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def cache_folder() -> Path:
    """The cache of huggingface_hub: `HF_HUB_CACHE`, or `hub` in `HF_HOME`."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return expanded(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")


def online() -> bool:
    """Whether the hub answers, asked for at most 3 s, and then not again for half a minute;
    `HF_HUB_OFFLINE=1` says no."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        answer = False
    else:
        asked, answer = _last_preflight.get(endpoint(), (-ASK_AGAIN_S, False))
        if time.monotonic() - asked > ASK_AGAIN_S:
            answer = _answers(endpoint())
            _last_preflight[endpoint()] = (time.monotonic(), answer)
    return answer


def _answers(address: str) -> bool:
    """In a thread of its own, since looking up a name has no time limit."""
    found = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(f"{address}/api/models?limit=1", method="HEAD")
        try:
            with contextlib.suppress(urllib.error.HTTPError):  # any answer is an answer
                urllib.request.urlopen(request, timeout=PREFLIGHT_S).close()
            found.set()
        except (OSError, ValueError):
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PREFLIGHT_S)
    return found.is_set()


def require_network(what: str) -> None:
    """Put huggingface_hub on line for `what`, or raise a `UserError` that names what is missing and what is there."""
    from huggingface_hub import constants

    reached = online()
    constants.HF_HUB_OFFLINE = not reached
    if not reached:
        there = ", ".join(cached_repositories()[:6]) or "none yet"
        raise UserError(
            f"{what} is not on this machine and the hub ({endpoint()}) does not answer. Connect and try again. "
            f"Without a network there are the bundled models, and what was fetched before: {there}."
        )


def pinned(repo: Repo) -> Pin | None:
    """What the revision stands for here, without a network; None where it was never asked."""
    form = everything().get(_pin_key(repo))
    return None if form is None else Pin(form["commit"], dict(form["files"]))


def pin(repo: Repo) -> Pin:
    """The revision's commit and files: as pinned before, as huggingface_hub's cache has it, or as the hub says now.

    Raises:
        UserError: no such repository or revision, no permission, or no network.
    """
    known = pinned(repo)
    if known is not None:
        return known
    found = _from_hub(repo) if online() else _from_cache(repo)
    if found is None:
        require_network(str(repo))
        found = _from_hub(repo)
    remember(_pin_key(repo), asdict(found))
    return found


def snapshot(repo: Repo) -> Path | None:
    """The folder of the pinned commit in huggingface_hub's cache, whether or not it exists;
    None where nothing is pinned."""
    known = pinned(repo)
    return None if known is None else repository_folder(repo) / "snapshots" / known.commit


def has(repo: Repo, names: Iterable[str]) -> bool:
    """Whether these files of the pinned commit are on this machine."""
    folder = snapshot(repo)
    return folder is not None and all((folder / name).exists() for name in names)


def fetch(repo: Repo, names: Iterable[str]) -> Path:
    """The folder of the pinned commit, with these files in it; what is missing is downloaded.

    Raises:
        UserError: a file that the repository lacks, no room on the disk, no network, no permission.
        Cancelled: `watched` was told to stop; the next call goes on where this one ended.
    """
    names = list(names)
    known = pin(repo)
    folder = repository_folder(repo) / "snapshots" / known.commit
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        from repdiss_core.hub.download import download

        absent = [name for name in missing if name not in known.files]
        if absent:
            there = f"commit {known.commit[:8]}); it has {', '.join(sorted(known.files)[:8]) or 'no files'}"
            raise UserError(f"{repo} has no file {', '.join(absent)} ({there}. Choose another repository or revision.")
        require_network(str(repo))
        with told(repo):
            download(repo, known, missing, repository_folder(repo))
    return folder


def repository_folder(repo: Repo) -> Path:
    """Where huggingface_hub keeps the repository."""
    return cache_folder() / f"{repo.kind}s--{repo.name.replace('/', '--')}"


def cached_repositories() -> list[str]:
    """Repositories of models that huggingface_hub's cache has files of."""
    found = [path for path in cache_folder().glob("models--*") if any(path.glob("snapshots/*/*"))]
    return sorted(path.name.removeprefix("models--").replace("--", "/") for path in found)


@contextlib.contextmanager
def told(repo: Repo) -> Iterator[None]:
    """Turns what huggingface_hub raises inside into one sentence."""
    import httpx2  # what huggingface_hub 2 speaks HTTP with
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise UserError(
            f"{repo} is gated: accept its terms on {endpoint()}/{repo.name} and log in with `hf auth login`."
        ) from error
    except errors.RevisionNotFoundError as error:
        where = f"{endpoint()}/{repo.name}"
        raise UserError(
            f"{repo.name} has no revision {repo.revision!r}: leave it out for main, "
            f"or look for its branches on {where}."
        ) from error
    except errors.RepositoryNotFoundError as error:
        said = (
            f"The hub has no {repo.kind} {repo.name}, or it is private: check the name, or log in with `hf auth login`."
        )
        raise NoSuchRepository(said) from error
    except errors.EntryNotFoundError as error:
        raise UserError(f"{repo} lacks a file that was asked for ({str(error).splitlines()[0][:120]}).") from error
    except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, httpx2.HTTPError) as error:
        _last_preflight.clear()
        status = getattr(getattr(error, "response", None), "status_code", None)
        how = f"it answered {status}" if status else type(error).__name__
        raise UserError(
            f"The hub broke off while {repo} was fetched ({how}). What has arrived is kept: try again."
        ) from error


def _from_hub(repo: Repo) -> Pin:
    from huggingface_hub import HfApi

    require_network(str(repo))
    with told(repo):
        info: Any = HfApi(endpoint()).repo_info(
            repo.name, revision=repo.revision, repo_type=repo.kind, timeout=API_TIMEOUT_S, files_metadata=True
        )
    return Pin(info.sha, {file.rfilename: int(file.size or 0) for file in info.siblings})


def _from_cache(repo: Repo) -> Pin | None:
    folder = repository_folder(repo)
    ref = folder / "refs" / repo.revision
    commit = (
        repo.revision if COMMIT.fullmatch(repo.revision) else ref.read_text("ascii").strip() if ref.is_file() else ""
    )
    files = [path for path in (folder / "snapshots" / commit).rglob("*") if path.is_file()] if commit else []
    return (
        Pin(commit, {str(path.relative_to(folder / "snapshots" / commit)): path.stat().st_size for path in files})
        if files
        else None
    )


def _pin_key(repo: Repo) -> str:
    return f"{repo.kind}:{repo.name}@{repo.revision}"

"""A hub on loopback: what huggingface_hub asks of the real one, with faults on demand."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]


def commit_of(files: Files) -> str:
    """40 hexadecimal digits that name these files."""
    digest = hashlib.sha1()
    for path in sorted(files):
        digest.update(path.encode() + hashlib.sha1(files[path]).digest())
    return digest.hexdigest()


@dataclass
class LoopbackHub:
    """Repositories by (kind, name), each with its revisions; and what the server does wrong.

    Args:
        gated: names whose files are refused until somebody has accepted terms; what they hold is told, as on the real
            hub.
        failing: status with which everything is answered but the question whether the hub is there; 0 for none.
        hanging: accept, and never answer; "after the first" only answers whether the hub is there; "files" stops in the
            middle of a file.
        break_after: path → bytes after which the connection ends, once.
        wrong_bytes: paths whose content is not what the headers announce.
        log: (method, path, Range header) of each request.
    """

    repositories: dict[tuple[str, str], dict[str, Files]] = field(default_factory=dict)
    commits: dict[str, Files] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    failing: int = 0
    hanging: bool | str = False
    break_after: dict[str, int] = field(default_factory=dict)
    wrong_bytes: set[str] = field(default_factory=set)
    log: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, name: str, files: Files, kind: str = "model", revision: str = "main") -> None:
        self.repositories.setdefault((kind, name), {})[revision] = files
        self.commits[commit_of(files)] = files

    def files(self, kind: str, name: str, revision: str) -> Files | None:
        """The files at a branch or a commit."""
        return self.repositories[(kind, name)].get(revision) or self.commits.get(revision)

    def start(self) -> ThreadingHTTPServer:
        handler = type("Handler", (_Handler,), {"hub": self})
        server = _Server(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def downloads(self) -> list[str]:
        """Paths of files whose bytes were asked for."""
        return [path for method, path, _ in self.log if method == "GET" and "/resolve/" in path]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.log.append((self.command, path, self.headers.get("Range", "")))
        while self.hub.hanging is True or (self.hub.hanging == "after the first" and path != "/api/models"):
            time.sleep(0.05)
        if path == "/api/models":
            self._json(200, [])
        elif self.hub.failing:
            self._json(self.hub.failing, {"error": "out of order"})
        elif path.startswith("/api/"):
            self._api(path.removeprefix("/api/"))
        elif "/resolve/" in path:
            self._resolve(path)
        else:
            self._json(404, {"error": "not found"})

    def _repository(self, kind: str, name: str, files: bool = False) -> bool:
        if files and name in self.hub.gated:
            self._json(
                401, {"error": "gated"}, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}
            )
        elif (kind, name) not in self.hub.repositories:
            self._json(401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        else:
            return True
        return False

    def _api(self, path: str) -> None:
        kind, _, rest = path.partition("/")
        name, _, revision = rest.partition("/revision/")
        kind = kind.removesuffix("s")
        if kind not in ("model", "dataset"):
            self._json(404, {"error": "not found"})
            return
        if not self._repository(kind, name):
            return
        files = self.hub.files(kind, name, revision or "main")
        if files is None:
            self._json(404, {"error": "Revision Not Found"}, {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = [{"rfilename": path, "size": len(data)} for path, data in sorted(files.items())]
        self._json(
            200,
            {
                "id": name,
                "sha": commit_of(files),
                "siblings": siblings,
                "private": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
            },
        )

    def _resolve(self, path: str) -> None:
        repository, _, rest = path.lstrip("/").partition("/resolve/")
        kind, name = (
            ("dataset", repository.removeprefix("datasets/"))
            if repository.startswith("datasets/")
            else ("model", repository)
        )
        revision, _, file = rest.partition("/")
        while revision.startswith("refs") and revision.count("/") < 2:  # refs/convert/parquet
            more, _, file = file.partition("/")
            revision = f"{revision}/{more}"
        if not self._repository(kind, name, files=True):
            return
        files = self.hub.files(kind, name, revision)
        if files is None:
            self._json(404, {"error": "Revision Not Found"}, {"X-Error-Code": "RevisionNotFound"})
        elif file not in files:
            self._json(
                404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit_of(files)}
            )
        else:
            self._send_file(file, files[file], commit_of(files))

    def _send_file(self, file: str, data: bytes, commit: str) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if file in self.hub.wrong_bytes:
            data = bytes(len(data))
        self._send(206 if start else 200, data[start:], "application/octet-stream", headers, self.hub.break_after)

    def _json(self, status: int, form: object, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(form).encode(), "application/json", headers or {}, {})

    def _send(self, status: int, data: bytes, kind: str, headers: dict[str, str], breaks: dict[str, int]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        limit = breaks.pop(self.path.split("/")[-1], None)
        if limit is not None:
            data, self.close_connection = data[:limit], True
        if self.hub.hanging == "files" and kind == "application/octet-stream":
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            while self.hub.hanging:
                time.sleep(0.05)
        self.wfile.write(data)
        if limit is not None:
            self.wfile.flush()
            self.connection.close()

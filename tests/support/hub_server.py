"""A server on this machine that speaks as much of the hub's API as a download of a model takes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class HubServer:
    """A running server.

    Attributes:
        models: The folder of each model, by its id.
        url: The server's address.
        sent: The files that were sent, as `owner/name/file`.
        num_requests: Requests that were answered.
    """

    models: dict[str, Path] = field(default_factory=dict)
    url: str = ""
    sent: list[str] = field(default_factory=list)
    num_requests: int = 0


@contextmanager
def run_hub() -> Iterator[HubServer]:
    """Run a hub without models; it ends with the block."""
    hub = HubServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def _answer(self) -> None:
            hub.num_requests += 1
            path = unquote(urlsplit(self.path).path).removeprefix("/")
            is_api = path.startswith("api/models/")
            parts = path.removeprefix("api/models/").split("/")
            name, rest = "/".join(parts[:2]), parts[2:]
            if (folder := hub.models.get(name)) is None:
                self._send(b"{}", 404, {"X-Error-Code": "RepoNotFound"})
            elif is_api:
                self._send_json(folder, name, rest)
            else:
                self._send_file(folder, name, "/".join(rest[2:]))

        def _send_json(self, folder: Path, name: str, rest: list[str]) -> None:
            paths = sorted(path for path in folder.rglob("*") if path.is_file())
            names = {path.relative_to(folder).as_posix(): path for path in paths}
            if rest[:1] == ["tree"]:
                entries = [
                    {"type": "file", "path": own, "size": path.stat().st_size, "oid": _etag(path)}
                    for own, path in names.items()
                ]
                self._send(json.dumps(entries).encode())
                return
            if rest[:1] == ["revision"] and rest[1] not in ("main", COMMIT):
                self._send(b"{}", 404, {"X-Error-Code": "RevisionNotFound"})
                return
            files = [{"rfilename": own, "size": path.stat().st_size} for own, path in names.items()]
            facts = {"id": name, "sha": COMMIT, "siblings": files, "cardData": {"license": "openrail"}}
            self._send(json.dumps(facts).encode())

        def _send_file(self, folder: Path, name: str, file: str) -> None:
            path = folder / file
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{_etag(path)}"'}
            if self.command == "GET":
                hub.sent.append(f"{name}/{file}")
            self._send(path.read_bytes(), 200, headers)

        def _send(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()

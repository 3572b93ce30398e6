"""An unreliable store: a proxy in front of an S3 server that fails a share of the requests."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.support import rgw

_SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"
_INTERNAL = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>Try again.</Message></Error>"
_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "expect"}

FAULTS = ("500", "503", "reset", "lost answer")
"""Kinds of faults. After a lost answer the request was carried out all the same."""


@dataclass
class FlakyStore:
    """An unreliable store whose faults can be changed while it runs.

    Attributes:
        endpoint: Endpoint to use instead of the server's.
        share: Share of the requests that fail, 0..1.
        is_down: Whether every connection is reset.
        stall_seconds: If not 0, failing requests wait that long before the connection is reset.
        lost_key: Objects whose names contain this always give a 500.
        faults: Number of requests by fault; "" counts those without one.
    """

    endpoint: rgw.Endpoint
    share: float = 0.0
    is_down: bool = False
    stall_seconds: float = 0.0
    lost_key: str = ""
    faults: Counter[str] = field(default_factory=Counter)


@contextmanager
def run_flaky(server: rgw.Endpoint, share: float = 0.0, seed: int = 0) -> Iterator[FlakyStore]:
    """Run a proxy that fails a share of the requests, 0..1; it ends with the block."""
    rng, lock = random.Random(seed), threading.Lock()
    store = FlakyStore(rgw.Endpoint("", server.access_key, server.secret_key), share)

    def draw(path: str) -> str:
        with lock:
            fault = rng.choice(FAULTS) if rng.random() < store.share else ""
            if store.is_down:
                fault = "reset"
            elif store.lost_key and store.lost_key in path:
                fault = "500"
            store.faults[fault] += 1
        if fault and store.stall_seconds:
            time.sleep(store.stall_seconds)
            return "reset"
        return fault

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(urlsplit(server.url).netloc, draw))
    proxy.daemon_threads = True
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    store.endpoint = rgw.Endpoint(f"http://127.0.0.1:{proxy.server_address[1]}", server.access_key, server.secret_key)
    try:
        yield store
    finally:
        proxy.shutdown()
        proxy.server_close()


def _make_handler(upstream: str, draw: Callable[[str], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = draw(self.path)
            if fault in ("500", "503"):
                return self.answer(int(fault), _SLOW_DOWN if fault == "503" else _INTERNAL)
            if fault == "reset":
                return self.cut()
            connection = http.client.HTTPConnection(upstream, timeout=30)
            try:
                # `Host` stays the proxy's: it is part of the signature.
                headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
                connection.request(self.command, self.path, body, headers)
                response = connection.getresponse()
                data = response.read()
                if fault:
                    return self.cut()
                self.answer(response.status, data, response.getheaders())
            finally:
                connection.close()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward

        def answer(self, status: int, data: bytes, headers: list[tuple[str, str]] | None = None) -> None:
            self.send_response_only(status)
            given = [(name, value) for name, value in headers or () if name.lower() not in _HOP]
            length = {name.lower(): value for name, value in headers or ()}.get("content-length", str(len(data)))
            for name, value in (*given, ("Content-Length", length if self.command == "HEAD" else str(len(data)))):
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def cut(self) -> None:
            """Reset the connection, as a dying server does."""
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

        def handle(self) -> None:
            with suppress(OSError, ValueError):  # the connection was reset by us or by the client
                super().handle()

    return Handler

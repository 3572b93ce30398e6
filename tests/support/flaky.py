"""An unreliable store: a proxy in front of an S3 server that fails a share of the requests."""

from __future__ import annotations

import http.client
import random
import re
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
_DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>"
_REFUSALS = {"403": _DENIED, "500": _INTERNAL, "503": _SLOW_DOWN}
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
        denied_key: Objects whose names contain this always give a 403.
        dripping_key: Objects whose names contain this are delivered a byte every 50 ms, without an end.
        unlisted: Facts that listings leave out, such as ETag.
        unlisted_key: Objects whose keys contain this are left out of listings.
        listing: Body of the answers to all listings, with status 200; None for the server's own.
        answers: Status and body of the answers to reads of objects whose names contain a text.
        faults: Number of requests by fault; "" counts those without one.
    """

    endpoint: rgw.Endpoint
    share: float
    is_down: bool = False
    stall_seconds: float = 0.0
    lost_key: str = ""
    denied_key: str = ""
    dripping_key: str = ""
    unlisted: tuple[str, ...] = ()
    unlisted_key: str = ""
    listing: bytes | None = None
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)


@contextmanager
def run_flaky(server: rgw.Endpoint, share: float = 0.0) -> Iterator[FlakyStore]:
    """Run a proxy that fails a share of the requests, 0..1; it ends with the block."""
    rng, lock = random.Random(0), threading.Lock()
    store = FlakyStore(rgw.Endpoint("", server.access_key, server.secret_key), share)

    def draw(path: str) -> str:
        with lock:
            fault = rng.choice(FAULTS) if rng.random() < store.share else ""
            if store.is_down:
                fault = "reset"
            elif store.lost_key and store.lost_key in path:
                fault = "500"
            elif store.denied_key and store.denied_key in path:
                fault = "403"
            store.faults[fault] += 1
        if fault and store.stall_seconds:
            time.sleep(store.stall_seconds)
            return "reset"
        return fault

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(urlsplit(server.url).netloc, draw, store))
    proxy.daemon_threads = True
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    store.endpoint = rgw.Endpoint(f"http://127.0.0.1:{proxy.server_address[1]}", server.access_key, server.secret_key)
    try:
        yield store
    finally:
        proxy.shutdown()
        proxy.server_close()


def _make_handler(upstream: str, draw: Callable[[str], str], store: FlakyStore) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = draw(self.path)
            if fault in _REFUSALS:
                return self.answer(int(fault), _REFUSALS[fault])
            if fault == "reset":
                return self.cut()
            if store.listing is not None and "list-type=2" in self.path:
                return self.answer(200, store.listing, [("Content-Type", "application/xml")])
            for name, (status, given) in store.answers.items():
                if self.command == "GET" and name in urlsplit(self.path).path:
                    return self.answer(status, given)
            connection = http.client.HTTPConnection(upstream, timeout=30)
            try:
                # `Host` stays the proxy's: it is part of the signature.
                headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
                connection.request(self.command, self.path, body, headers)
                response = connection.getresponse()
                data = response.read()
                if fault:
                    return self.cut()
                if store.dripping_key and store.dripping_key in self.path and self.command == "GET":
                    return self.drip()
                if b"<ListBucketResult" in data and store.unlisted_key:
                    data = _without_key(data, store.unlisted_key)
                    self.answer(response.status, data, [("Content-Type", "application/xml")])
                elif b"<ListBucketResult" in data and store.unlisted:
                    for name in store.unlisted:
                        data = re.sub(rf"<{name}>[^<]*</{name}>".encode(), b"", data)
                    self.answer(response.status, data, [("Content-Type", "application/xml")])
                else:
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

        def drip(self) -> None:
            """Answer with a byte now and then, until the client goes away."""
            store.faults["drip"] += 1
            self.send_response_only(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            while True:
                self.wfile.write(b" ")
                time.sleep(0.05)

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


def _without_key(page: bytes, text: str) -> bytes:
    """Return a page of a listing without the objects whose keys contain a text."""

    def keep(entry: re.Match[bytes]) -> bytes:
        key = re.search(rb"<Key>([^<]*)</Key>", entry[0])
        return b"" if key and text.encode() in key[1] else entry[0]

    return re.sub(rb"<Contents>.*?</Contents>", keep, page, flags=re.DOTALL)

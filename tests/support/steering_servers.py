"""Servers that try to steer their readers: by redirects to another host, or by a byte every now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Recorder(BaseHTTPRequestHandler):
    """Answers every request with three bytes; keeps method, path, headers and body of each in `server.seen`."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        vars(self.server).setdefault("seen", []).append((self.command, self.path, dict(self.headers), body))
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"bad")

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


class Redirector(Recorder):
    """Sends every request to `server.target`."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(vars(self.server)["status"])
        self.send_header("Location", f"{vars(self.server)['target']}{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer


class Dripper(Recorder):
    """Promises `server.length` bytes and sends one every 50 ms, until `server.is_ended` is set."""

    def answer(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(vars(self.server)["length"]))
        self.send_header("Content-Type", "application/xml")
        self.end_headers()
        self.drip()

    def drip(self) -> None:
        """Send a byte every 50 ms, until the reader or the server ends."""
        vars(self.server)["is_dripping"].set()
        while not vars(self.server)["is_ended"].is_set():
            try:
                self.wfile.write(b" ")
            except OSError:
                return
            time.sleep(0.05)

    do_GET = do_PUT = do_POST = answer


class HeadDripper(Dripper):
    """Drips already in the head of its answer."""

    def answer(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        self.drip()

    do_GET = do_PUT = do_POST = answer


@contextmanager
def run_server(handler: type[BaseHTTPRequestHandler], **state: Any) -> Iterator[ThreadingHTTPServer]:
    """Run a server on loopback with attributes for its handler; it ends with the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    events = {"is_ended": threading.Event(), "is_dripping": threading.Event()}
    vars(server).update(seen=[], **events, **state)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        events["is_ended"].set()
        server.shutdown()
        server.server_close()
        thread.join()

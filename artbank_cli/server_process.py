"""The process of the private Prefect server, which `private_server` starts; it imports nothing of artbank.

It listens on a free port of 127.0.0.1, writes the number of the port to standard output once it serves requests, and
ends when its standard input closes. That happens when its command ends in any way, also by `kill -9`. The signals that
end a command are blocked in this process: the command needs its server until it has reported the state of its run.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time

import uvicorn

_GRACE_SECONDS = 5.0  # for open requests; a server that still starts has none
_FAILED = 3


class _AnnouncedServer(uvicorn.Server):
    """Writes its port to standard output when it is ready, and everything else to standard error."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            os.write(sys.stdout.fileno(), f"{sockets[0].getsockname()[1]}\n".encode())
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def serve() -> int:
    """Serve until standard input closes; returns the exit code."""
    config = uvicorn.Config(
        "prefect.server.api.server:create_app",
        factory=True,
        log_level="error",
        lifespan="on",
        access_log=False,
        timeout_graceful_shutdown=1,  # s; clients that keep a connection open would hold up the end of their command
    )
    server = _AnnouncedServer(config)
    threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.run(sockets=[listener])
    return 0 if server.started else _FAILED


def _end_with_input(server: uvicorn.Server) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    server.should_exit = True
    time.sleep(_GRACE_SECONDS)
    os._exit(_FAILED)


if __name__ == "__main__":
    sys.exit(serve())

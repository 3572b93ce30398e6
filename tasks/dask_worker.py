"""The behaviour of a process of a Dask cluster on this machine: signals that it ignores, and its log."""

from __future__ import annotations

import logging
import signal
from typing import Any


def dask_setup(_: Any) -> None:
    """Set up a worker; Dask calls this when a worker that preloads this module starts.

    Ctrl-C, `kill -- -GROUP` and `systemctl stop` reach every process. Only the flow handles such a signal; it stops the
    workers through their queues. A worker starts with these signals blocked (see `runners`), and ignores them from here
    on.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    log_lost_connections_in_a_line()


def log_lost_connections_in_a_line() -> None:
    """Leave the tracebacks of closed connections out of Dask's log; their messages stay.

    When a cluster is closed while a worker is in a long step, the worker's next heartbeat finds no scheduler.
    """
    for handler in logging.getLogger("distributed").handlers:
        handler.addFilter(_without_lost_connection)


def _without_lost_connection(record: logging.LogRecord) -> bool:
    from distributed.comm import CommClosedError

    if record.exc_info and isinstance(record.exc_info[1], CommClosedError):
        record.exc_info = record.exc_text = None
    return True

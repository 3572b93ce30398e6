"""Archives behind plain web addresses, as fsspec reads them.

A redirect to another host ends the request. Else the owner of the named server could make artbank read addresses that
only this machine's network reaches.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from artbank.credentials import redact
from artbank.errors import ConfigError

PROTOCOLS = ("http", "https")

_MISSING = (404, 410)  # statuses of a file that is not there


@cache
def client_options() -> dict[str, Any]:
    """Return options for fsspec's file system of web addresses that make it refuse redirects to other hosts."""
    from aiohttp import TraceConfig

    trace = TraceConfig()
    trace.on_request_redirect.append(_refuse_other_hosts)
    return {"client_kwargs": {"trace_configs": [trace]}}


def find_failure(fs: Any, error: FileNotFoundError) -> BaseException | None:
    """Return the failure that a file system of web addresses has taken for a missing file, or None.

    fsspec raises a missing file for each failed request of a file's facts: an outage, a refused permission or redirect.

    Args:
        fs: A file system of fsspec.
        error: What it raised.
    """
    cause = error.__cause__
    is_web = isinstance(fs.protocol, tuple) and set(PROTOCOLS) <= set(fs.protocol)
    is_missing = isinstance(cause, FileNotFoundError) or getattr(cause, "status", None) in _MISSING
    return cause if is_web and not is_missing else None


async def _refuse_other_hosts(session: Any, context: Any, redirect: Any) -> None:
    here = redirect.url
    there = here.join(type(here)(redirect.response.headers.get("Location", "")))
    is_weaker = here.scheme == "https" and there.scheme != "https"
    if there.host != here.host or is_weaker:
        raise ConfigError(
            f"expected an answer of {redact(str(here.origin()))}, found a redirect to {redact(str(there.origin()))}, "
            "which is not followed; if you trust that server, name its address instead"
        )

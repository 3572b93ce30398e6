"""The HTTP session of the S3 client: it stays with the server that was named, and no transfer lasts for ever.

The library follows redirects to any host, with the session token and the data of a write. And it bounds only the time
without a byte, so a server that sends one every few seconds holds a reader for days.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import HTTPClientError

LEAST_SECONDS = 60.0
"""Time that every transfer has, whatever its size."""
BYTES_PER_SECOND = 20_000
"""Slowest mean rate of a large object; 32 of them share a line of 5 Mbit/s."""
MISDIRECTED = 421
"""Status that replaces a redirect to anywhere but another region of AWS, which the client resolves by itself."""

_REDIRECTS = (301, 302, 303, 307, 308)
_REGION = "x-amz-bucket-region"
_WAIT_SECONDS = 60.0  # for a free connection, on top


class TooSlowError(OSError):
    """A transfer took too long for its size, or was abandoned. The client does not try it again, a run's tasks may."""

    def __init__(self, num_bytes: int, seconds: float):
        """Say what was expected."""
        text = f"expected {num_bytes:,} bytes within {seconds:.0f} s, but the store or the network is slower"
        super().__init__(errno.EIO, text)


class SteadySession(AIOHTTPSession):
    """Follows no redirects, and ends transfers that take too long for their size."""

    async def send(self, request: Any) -> Any:
        """Send a request; see the library's own method."""
        try:
            return await super().send(request)
        except HTTPClientError as error:
            if isinstance(error.__context__, TooSlowError):
                raise error.__context__ from None
            raise

    async def _get_session(self, proxy_url: str | None) -> Any:
        return _SteadyRequests(await super()._get_session(proxy_url))


class _SteadyRequests:
    """The one method of an HTTP session that the S3 client calls."""

    def __init__(self, session: Any):
        self._session = session

    async def request(self, method: str, **options: Any) -> Any:
        """Send a request and return the response, whose body is read later."""
        num_bytes = int(options["headers"].get("Content-Length", 0))
        seconds = _WAIT_SECONDS + longest_seconds(num_bytes)
        timer = asyncio.timeout(seconds)
        is_read = method == "GET"
        transfer = _Transfer(options["url"].path, lambda: timer.reschedule(asyncio.get_running_loop().time()))
        try:
            async with timer:
                if is_read:
                    _reads.add(transfer)
                response = await self._session.request(method, allow_redirects=False, **options)
        except TimeoutError as error:
            if timer.expired():
                raise TooSlowError(num_bytes, seconds) from error
            raise
        finally:
            _reads.discard(transfer)
        if response.status in _REDIRECTS and _REGION not in response.headers:
            response.status = MISDIRECTED
        _limit_body(response, is_read=is_read)
        return response


@dataclass(frozen=True, eq=False)
class _Transfer:
    """A transfer in progress, by the path of its URL, and what ends it; `end` runs on the client's event loop."""

    path: str
    end: Callable[[], None]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)


_reads: set[_Transfer] = set()


def abandon_reads(folder: str) -> None:
    """End the reads that are in progress in a folder of a bucket; those that begin later are not affected.

    Args:
        folder: The prefix of their keys, without slashes at its ends; empty for all.
    """
    for transfer in list(_reads):
        if not folder or f"/{folder}/" in transfer.path:
            transfer.loop.call_soon_threadsafe(_end, transfer)


def _end(transfer: _Transfer) -> None:
    if transfer in _reads:  # else it has ended meanwhile
        transfer.end()


def longest_seconds(num_bytes: int) -> float:
    """Return how long a transfer of a number of bytes may take."""
    return LEAST_SECONDS + num_bytes / BYTES_PER_SECOND


def _limit_body(response: Any, *, is_read: bool) -> None:
    """End a response whose body takes too long; one that does not tell its length counts as empty."""
    num_bytes = response.content_length or 0
    seconds = longest_seconds(num_bytes)

    def end() -> None:
        if not response.content.is_eof():
            response.content.set_exception(TooSlowError(num_bytes, seconds))
            response.close()
        forget()

    def forget() -> None:
        timer.cancel()
        _reads.discard(transfer)

    transfer = _Transfer(response.url.path, end)
    timer = transfer.loop.call_later(seconds, end)
    if is_read:
        _reads.add(transfer)
    response.content.on_eof(forget)

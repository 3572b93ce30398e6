"""The answers to a read of several objects: for each the bytes, or the error that takes their place."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

_Key = TypeVar("_Key", bound=Hashable)


def require(delivered: bytes | Exception) -> bytes:
    """Return the bytes of an object, or raise the error that took their place."""
    if isinstance(delivered, Exception):
        raise delivered
    return delivered


def require_all(delivered: Mapping[_Key, bytes | Exception]) -> dict[_Key, bytes]:
    """Return the bytes of all objects, or raise the error of the first one that could not be read."""
    return {key: require(data) for key, data in delivered.items()}

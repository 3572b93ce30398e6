"""Credentials in URIs: found, so that they are refused, and hidden, so that no message tells them on."""

from __future__ import annotations

import re
from typing import Any

_HIDDEN = "***"
# What stands before the last @ ahead of a slash. A secret may hold slashes itself: after a colon that begins neither a
# port nor the parts of an ARN, any @ will do.
_USER_PART = r"(?<=://)(?:(?!arn:)[^/@\s:]*:(?!\d+(?:/|$))[^\s'\"]*|[^/\s'\"]*)@"
_USER = re.compile(_USER_PART)
_NAMES = r"signature|credential|token|password|secret|accesskey|\bsig"
_QUERY = re.compile(rf"(?i)([?&][^=&\s]*(?:{_NAMES})[^=&\s]*=)[^&\s'\"]+")

NO_CREDENTIALS_PATTERN = rf"^(?!.*{_USER_PART})"
"""Matches texts without a user or password: a pattern for JSON schemas, by which a server refuses values at once."""


def has_credentials(uri: str) -> bool:
    """Tell whether a URI holds a user or a password, or a query that signs it."""
    return "://" in uri and bool(_USER.search(uri) or _QUERY.search(uri))


def redact(value: Any) -> Any:
    """Return a value as it is but for credentials in its URIs; containers are gone through."""
    if isinstance(value, str):
        return _QUERY.sub(rf"\1{_HIDDEN}", _USER.sub(f"{_HIDDEN}@", value)) if "://" in value else value
    if isinstance(value, dict):
        return {redact(key): redact(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(redact(inner) for inner in value)
    return value

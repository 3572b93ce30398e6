"""Find credentials in URIs, to reject them, and redact them, to keep them out of logs and errors."""

from __future__ import annotations

import re
from typing import Any

_REDACTED = "***"
# User and password end with the last @ before a slash. A password may contain slashes: after a colon that starts
# neither a port nor an ARN, the text up to any later @ counts as credentials.
_USER_PART = r"(?<=://)(?:(?!arn:)[^/@\s:]*:(?!\d+(?:/|$))[^\s'\"]*|[^/\s'\"]*)@"
_USER = re.compile(_USER_PART)
_SECRET_PARAMETERS = r"signature|credential|token|password|secret|accesskey|\bsig"
_QUERY = re.compile(rf"(?i)([?&][^=&\s]*(?:{_SECRET_PARAMETERS})[^=&\s]*=)(?!\*\*\*(?:\W|$))[^&\s'\"]+")

NO_CREDENTIALS_PATTERN = rf"^(?!.*{_USER_PART})"
"""Regular expression of texts without user and password; in a JSON schema it makes a server reject all others."""


def has_credentials(uri: str) -> bool:
    """Return whether a URI has a user, a password, or a signed query."""
    return "://" in uri and bool(_USER.search(uri) or _QUERY.search(uri))


def redact(value: Any) -> Any:
    """Return a value with the credentials in its URIs replaced by `***`; also inside of containers."""
    if isinstance(value, str):
        if "://" not in value:
            return value
        without_user = _USER.sub(f"{_REDACTED}@", value)
        return _QUERY.sub(rf"\1{_REDACTED}", without_user)
    if isinstance(value, dict):
        return {redact(key): redact(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(redact(inner) for inner in value)
    return value

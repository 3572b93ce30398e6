"""Names of objects below a store: parts joined by `/`.

Keys come from listings and files that others wrote, so every one is checked before it is used: none can lead out of its
store. Names that begin with a dot are hidden.
"""

from __future__ import annotations

import re

from artbank.errors import ConfigError

# Control characters break XML, logs and tables; half a surrogate pair is no text; `?versionId=` s3fs takes for its own.
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]|\?versionId=")


def find_fault(key: str) -> str | None:
    """Return what keeps a name from being a key, or None."""
    if any(part in ("", ".", "..") for part in key.split("/")):
        return "an empty part, `.` or `..`"
    found = _UNFIT.search(key)
    return repr(found[0]) if found else None


def key_error(key: str) -> ConfigError:
    """Return the error about a name that is no key."""
    return ConfigError(f"expected a key such as folder/name, found {key!r} with {find_fault(key)}; rename the object")


def check_key(key: str) -> str:
    """Return a key that leads nowhere but below its store.

    Raises:
        ConfigError: It is empty or absolute, or has an empty part, `.`, `..`, control characters or `?versionId=`.
    """
    if find_fault(key) is not None:
        raise key_error(key)
    return key


def is_hidden(key: str) -> bool:
    """Say whether a part of a key begins with a dot."""
    return key.startswith(".") or "/." in key

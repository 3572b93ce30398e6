"""Keys: names of objects below a store, parts joined by `/`.

Keys come from listings and files that others wrote, so each is checked before use, and none can leave its store. Names
that start with a dot are hidden.

Keys are never normalised or case-folded, so characters that only look like `/` or `.` are ordinary letters. Characters
that reverse or hide text are allowed too, because photos have such names; whatever shows a key to people removes them,
see `report.markdown.escape`.
"""

from __future__ import annotations

import os
import re

from artbank.errors import ConfigError

# Control characters break XML, logs and tables; a lone surrogate is no text; s3fs reads `?versionId=` as a version.
_INVALID = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]|\?versionId=")
# On Windows `\` separates folders, `c:` is a drive, `a:b` a stream of file `a`; parts of only dots and spaces vanish.
_INVALID_ON_WINDOWS = re.compile(r"[\\:]|(?<![^/])[. ]+(?![^/])")


def find_fault(key: str, *, is_windows: bool = os.name == "nt") -> str | None:
    """Return why a name is not a valid key, or None if it is; on Windows more names are invalid, in all stores."""
    if any(part in ("", ".", "..") for part in key.split("/")):
        return "an empty part, `.` or `..`"
    match = _INVALID.search(key) or (_INVALID_ON_WINDOWS.search(key) if is_windows else None)
    return repr(match[0]) if match else None


def key_error(key: str) -> ConfigError:
    """Return the error for a name that is not a valid key."""
    return ConfigError(f"expected a key such as folder/name, found {key!r} with {find_fault(key)}; rename the object")


def check_key(key: str) -> str:
    """Return a key if it is valid and cannot leave its store.

    Raises:
        ConfigError: The key is empty or absolute, or has an empty part, `.`, `..`, control characters or
            `?versionId=`; on Windows also `\\`, `:` or a part of only dots and spaces.
    """
    if find_fault(key) is not None:
        raise key_error(key)
    return key


def is_hidden(key: str) -> bool:
    """Return whether a part of a key starts with a dot."""
    return key.startswith(".") or "/." in key

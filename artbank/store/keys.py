"""Names of objects below a store: parts joined by `/`.

Keys come from listings and files that others wrote, so every one is checked before it is used: none can lead out of its
store. Names that begin with a dot are hidden.

A key is used as it is, never normalised or folded, so signs that only look like `/` or `.` are letters like others.
Signs that reverse or hide text are let pass too, for photos have such names: whatever shows a key to people takes them
out, see `report.markdown.escape`.
"""

from __future__ import annotations

import os
import re

from artbank.errors import ConfigError

# Control characters break XML, logs and tables; half a surrogate pair is no text; `?versionId=` s3fs takes for its own.
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]|\?versionId=")
# There `\` parts folders, `c:` is a drive, `a:b` a stream of the file `a`, and dots and spaces may be dropped.
_UNFIT_ON_WINDOWS = re.compile(r"[\\:]|(?<![^/])[. ]+(?![^/])")


def find_fault(key: str, *, is_windows: bool = os.name == "nt") -> str | None:
    """Return what keeps a name from being a key, or None; Windows has rules of its own, whichever store it is."""
    if any(part in ("", ".", "..") for part in key.split("/")):
        return "an empty part, `.` or `..`"
    found = _UNFIT.search(key) or (_UNFIT_ON_WINDOWS.search(key) if is_windows else None)
    return repr(found[0]) if found else None


def key_error(key: str) -> ConfigError:
    """Return the error about a name that is no key."""
    return ConfigError(f"expected a key such as folder/name, found {key!r} with {find_fault(key)}; rename the object")


def check_key(key: str) -> str:
    """Return a key that leads nowhere but below its store.

    Raises:
        ConfigError: It is empty or absolute, or has an empty part, `.`, `..`, control characters or `?versionId=`;
            on Windows also `\\`, `:` or a part of nothing but dots and spaces.
    """
    if find_fault(key) is not None:
        raise key_error(key)
    return key


def is_hidden(key: str) -> bool:
    """Say whether a part of a key begins with a dot."""
    return key.startswith(".") or "/." in key

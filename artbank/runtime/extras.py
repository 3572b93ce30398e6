"""Optional packages, which come with the extras of the package: `pip install 'artbank[s3]'`."""

from __future__ import annotations

import importlib.util

from artbank.errors import ConfigError


def is_installed(module: str) -> bool:
    """Return whether a module can be imported; imports nothing."""
    return importlib.util.find_spec(module) is not None


def require_extra(module: str, extra: str, what: str) -> None:
    """Check that an optional package is there.

    Args:
        module: The module that is needed.
        extra: The extra that brings it.
        what: What needs it, as the begin of the message: `s3:// addresses`.

    Raises:
        ConfigError: It is not installed; names the extra.
    """
    if not is_installed(module):
        raise ConfigError(f"{what}: expected the package {module}, found none; pip install 'artbank[{extra}]'")

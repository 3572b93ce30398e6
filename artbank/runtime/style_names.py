"""Names of styles as people write them: `monet`, `Van Gogh@3`, or a mix such as `monet:0.7+hokusai:0.3`."""

from __future__ import annotations

import math
import re

from artbank.errors import ConfigError
from artbank.runtime.collection_ids import collection_id


def parse_style(spec: str) -> list[tuple[str, float]]:
    """Return the banks that a style names, with weights that sum to 1.

    Raises:
        ConfigError: It is malformed, or a weight is not above 0.
    """
    parts = []
    for part in spec.split("+"):
        name, weight = _split_weight(part)
        try:
            share = 1.0 if weight is None else float(weight)
        except ValueError:
            share = math.nan
        if not name or math.isnan(share):
            raise ConfigError(f"style {spec!r} cannot be read; expected NAME, NAME@VERSION or NAME:0.7+OTHER:0.3")
        if not 0 < share < float("inf"):
            raise ConfigError(f"style {spec!r} cannot be read; expected weights above 0, found {weight}")
        parts.append((name, share))
    total = sum(share for _, share in parts)
    return [(name, share / total) for name, share in parts]


def split_mix(name: str) -> list[str]:
    """Return the names of the banks of a mix such as `monet:0.7+hokusai:0.3`; empty for any other name."""
    try:
        parts = parse_style(name)
    except ConfigError:
        return []
    return [part for part, _ in parts] if len(parts) > 1 else []


def split_version(name: str) -> tuple[str, str | None]:
    """Return the collection and the version of `NAME@VERSION`; the version is None for any other name."""
    collection, at, version = name.rpartition("@")
    is_versioned = at and collection and version.isascii() and version.isdigit()
    return (collection, version) if is_versioned else (name, None)


def style_folder(spec: str) -> str:
    """Return the name of a style's folder, which its rows carry too.

    It is made of the ids of its collections, so that a style has the same folder by name and by id.
    """
    try:
        parse_style(spec)
    except ConfigError:  # a name with `:` or `+` in it
        return _with_id(spec)
    parts = []
    for part in spec.split("+"):
        name, weight = _split_weight(part)
        parts.append(_with_id(name) if weight is None else f"{_with_id(name)}_{weight}")
    return "+".join(parts)


def _split_weight(part: str) -> tuple[str, str | None]:
    name, colon, weight = part.strip().partition(":")
    return name.strip(), re.sub(r"\s", "", weight) if colon else None


def _with_id(name: str) -> str:
    collection, version = split_version(name)
    return collection_id(collection) if version is None else f"{collection_id(collection)}@{version}"

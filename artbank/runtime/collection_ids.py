"""Ids of collections: safe names for folders, keys and URIs, made from the names that people give.

A name that is safe already is its own id: `monet` is `monet`. Any other name becomes its ASCII letters and digits, and
a hash of the whole name: `Van Gogh` is `Van-Gogh-10152184`. So an id depends on its name alone, not on the
other collections of a gallery or store, and two names have two ids. A name has the same id in each Unicode normal
form: macOS lists `Dürer` with a decomposed `ü`, other systems with a composed one.
"""

from __future__ import annotations

import re
import unicodedata

from artbank.runtime.hashing import short_hash

SAFE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""Names that are their own ids, as each becomes a folder name and a Hive partition."""

_LONGEST_SLUG = 40  # characters
_NO_LETTERS = "collection"  # the start of the id of a name without ASCII letters and digits
_HASH_DIGITS = 8


def normalize_name(name: str) -> str:
    """Return a name in Unicode's composed form, without spaces around it."""
    return unicodedata.normalize("NFC", name).strip()


def collection_id(name: str) -> str:
    """Return the id of a collection by its name, or by its id, which is returned as it is."""
    normal_name = normalize_name(name)
    if re.fullmatch(SAFE_NAME, normal_name):
        return normal_name
    letters = "".join(sign for sign in unicodedata.normalize("NFKD", normal_name) if not unicodedata.combining(sign))
    slug = "-".join(re.findall(r"[A-Za-z0-9_]+", letters)).strip("-_")[:_LONGEST_SLUG].rstrip("-_")
    return f"{slug or _NO_LETTERS}-{short_hash(normal_name, _HASH_DIGITS)}"

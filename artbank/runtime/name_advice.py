"""Say what was probably meant by a name that there is not."""

from __future__ import annotations

from collections.abc import Iterable


def advise_name(name: str, known: Iterable[str]) -> str:
    """Return a clause for the end of an error, such as `; did you mean monet?`; empty without an idea.

    Args:
        name: The name that was given.
        known: The names that there are.
    """
    names = sorted(known)
    parts = [part.strip() for part in name.split(",")]
    if len(parts) > 1 and any(part in names for part in parts):
        return "; give several names one by one, each with its own option, not with commas"
    meant = [known for known in names if _fold(known) == _fold(name)]
    return f"; did you mean {meant[0]}?" if meant else ""


def _fold(name: str) -> str:
    """Return a name without case, path, and what separates its words."""
    last = name.rstrip("/").rpartition("/")[2]
    return "".join(character for character in last.casefold() if character.isalnum())

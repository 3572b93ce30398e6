"""Files that a listing leaves out: counted and named, apart from failures, so that nothing is lost without a word."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from artbank.parameters.skip_rules import is_packed
from artbank.runtime.counts import number_text

logger = logging.getLogger(__name__)

SkipKind = Literal["unreadable", "name", "link", "container", "caption", "empty", "hidden", "special", "no_photo"]
"""Why a file is left out, as a word for counting."""

SKIP_KINDS: dict[SkipKind, str] = {
    "unreadable": "A folder or file that may not be listed: change its owner or mode. Rows of its photos stay.",
    "name": "The name is no valid key: it has `//`, control characters, or ends in `/`. Rename it.",
    "link": "A link, which may lead out of the folder or in circles. Replace it by its target.",
    "container": "A zip file or the like, which is not read. Unpack it if it holds photos, or name it in `skip`.",
    "caption": "A file of captions that cannot be read, see `photo_captions`. Correct or remove it.",
    "empty": "A folder of a gallery without any image: it may not be mounted, or not uploaded yet.",
    "hidden": "A part of its name starts with a dot. Rename it if it is a photo.",
    "special": "A socket, pipe or device.",
    "no_photo": "No photo, by the rules of `skip`.",
}
"""Meaning of each kind, the most harmful first."""

MAY_BE_PHOTOS: tuple[SkipKind, ...] = ("unreadable", "name", "link", "container")
"""Kinds of files that may be photos all the same, or hold some, so that people are warned."""

NUM_NAMED = 100
"""The most names of one kind that are kept."""

_NUM_LOGGED = 3  # names


@dataclass(frozen=True)
class SkippedKind:
    """The files that were left out for one reason.

    Attributes:
        kind: One of `SKIP_KINDS`.
        count: Number of files; a folder that may not be listed, or is hidden on a disk, counts as one.
        names: The first of them by name, 100 at most; characters that cannot be printed are escaped.
    """

    kind: SkipKind
    count: int
    names: tuple[str, ...]

    @property
    def count_text(self) -> str:
        """Its number of files, or of folders where only folders are left out for this reason, with the noun."""
        return number_text(self.count, "folder" if self.kind == "empty" else "file")


class SkippedFiles:
    """Collects what a listing leaves out; holds few names, however many there are.

    Attributes:
        unreadable: Keys of all folders and files that may not be listed; what lies below them is unknown.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self.unreadable: list[str] = []
        self._counts: dict[SkipKind, int] = {}
        self._names: dict[SkipKind, list[str]] = {}

    def add(self, kind: SkipKind, key: str) -> None:
        """Count a file or folder."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        names = self._names.setdefault(kind, [])
        names.append(key)
        if len(names) > 2 * NUM_NAMED:
            self._names[kind] = heapq.nsmallest(NUM_NAMED, names)
        if kind == "unreadable":
            self.unreadable.append(key)

    def extend(self, other: SkippedFiles) -> None:
        """Add what another listing has left out."""
        for kind, count in other._counts.items():
            known = self._counts.get(kind, 0)
            for key in other._names[kind]:
                self.add(kind, key)
            self._counts[kind] = known + count
        self.unreadable = list(dict.fromkeys((*self.unreadable, *other.unreadable)))

    def kinds(self) -> tuple[SkippedKind, ...]:
        """Return the files by kind, the most harmful first."""
        return tuple(
            SkippedKind(kind, self._counts[kind], tuple(map(_printable, sorted(self._names[kind])[:NUM_NAMED])))
            for kind in SKIP_KINDS
            if kind in self._counts
        )


def count_skipped(kinds: Sequence[SkippedKind]) -> int:
    """Return how many files were left out for any reason."""
    return sum(kind.count for kind in kinds)


def find_packed(kinds: Iterable[SkippedKind]) -> str | None:
    """Return the name of a file that was left out and may hold images: a container or a table; None without one."""
    names = (name for kind in kinds if kind.kind in ("container", "no_photo") for name in kind.names)
    return next(filter(is_packed, names), None)


def warn_of_skipped(place: str, kinds: Sequence[SkippedKind]) -> None:
    """Log what a listing left out although it may be photos."""
    for kind in kinds:
        if kind.kind in MAY_BE_PHOTOS:
            names = ", ".join(kind.names[:_NUM_LOGGED])
            logger.warning(
                "%s: %s skipped (%s): %s. %s", place, kind.count_text, kind.kind, names, SKIP_KINDS[kind.kind]
            )


def _printable(key: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in key)

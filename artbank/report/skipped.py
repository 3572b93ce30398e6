"""The files that a listing left out, as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from artbank.report.markdown import escape, table
from artbank.store.skipped import SKIP_KINDS, SkippedKind

_NUM_LISTED = 20  # names of one kind in a report
_NUM_SHOWN = 3  # names of one kind in a line


def skipped_markdown(kinds: Sequence[Mapping[str, Any]]) -> str:
    """Return the skipped files as a section of a report; empty if there are none.

    Args:
        kinds: `SkippedKind`s as JSON data.
    """
    if not kinds:
        return ""
    rows = [(kind["kind"], f"{kind['count']:,}", SKIP_KINDS[kind["kind"]]) for kind in kinds]
    names = [f"* {escape(kind['kind'])}: {_list_names(kind['names'], kind['count'], _NUM_LISTED)}" for kind in kinds]
    return (
        "## Skipped\n\nFiles that are no photos, or that cannot be listed; they have no rows.\n\n"
        + table(["kind", "files", "what it is, and what to do"], rows, numbers_from=3)
        + "\n\n"
        + "\n".join(names)
    )


def skipped_lines(kinds: Sequence[SkippedKind]) -> list[str]:
    """Return one line of plain text for each kind of skipped file."""
    lines = []
    for kind in kinds:
        names = ", ".join(kind.names[:_NUM_SHOWN])
        more = ", ..." if kind.count > _NUM_SHOWN else ""
        lines.append(f"skipped, {kind.kind}: {kind.count_text}, {names}{more}")
    return lines


def _list_names(names: Sequence[str], count: int, most: int) -> str:
    shown = ", ".join(escape(name) for name in names[:most])
    return shown if count <= most else f"{shown} and {count - most:,} more"

"""Rows that take the place of done ones, whose pictures do not count any more."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from artbank.records.photo_records import Failure, Result

VOIDED = "repair-"
"""Prefix of the ids of parts that void rows; they have no manifest."""

_CLEARED = dict.fromkeys(
    (*("file_name", "file_size", "file_sha256", "width_px", "height_px", "seed", "scorer", "ssim"),
     *("clip_style", "clip_style_floor", "clip_style_recoloured", "clip_text", "clip_content", "clip_direction"),
     *("dino_structure", "structure_model", "csd_style", "csd_style_floor", "style_model"),
     *("clip_texture", "clip_texture_floor"),
     *("structure", "lightness", "strength", "gain", "candidates"),
     *("kept_metadata", "photo_marks", "prompt"))
)  # fmt: skip


def void_row(row: Result, failure: Failure, reason: str, now: datetime) -> Result:
    """Return a failed row in place of a done one, without its picture and scores.

    Args:
        row: The done row.
        failure: Why its picture does not count any more.
        reason: The same in a sentence.
        now: The time of the new row; if the done row is newer, the new one comes just after it.
    """
    at = max(now, row.created_at + timedelta(microseconds=1))  # it must be the latest row, whatever any clock says
    failed = {"status": "failed", "failure": failure, "reason": reason, "created_at": at}
    return replace(row, **_CLEARED, flags=[], **exactly(row.mark, row.metadata), **failed)


def exactly(mark: str | None, metadata: str | None) -> dict[str, Any]:
    """Return the columns of a voided row that let a run draw its picture with the same mark and metadata.

    Older versions wrote neither, and their rows do not say so.
    """
    return {"mark": mark or "none", "metadata": metadata or "none"}

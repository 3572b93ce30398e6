"""The contact sheet of a run: some of the photos that it drew, each beside its pictures.

It is `runs/<manifest>/contact-sheet.jpg` of the output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artbank.archive.stores import RunStores
from artbank.images.codec import decode
from artbank.pages.outcome.thumbnails import LONG_SIDE_PX, draw_photos, draw_pictures, picture_name
from artbank.report.contact_sheet import MOST_SHEET_BYTES, draw_contact_sheet
from artbank.report.markdown import plain
from artbank.results import layout
from artbank.store.objects import Store

_MOST_PHOTOS = 4
_MOST_STYLES = 4
_COLUMNS = ("key", "style", "file_name", "created_at")


def write_contact_sheet(
    stores: RunStores, run_id: str, drawn: pa.Table, styles: Sequence[str], title: str, max_pixels: int
) -> str | None:
    """Write the contact sheet of a run; returns its key, None if no picture of the run can be shown.

    Args:
        stores: Stores of the run.
        run_id: Id of the run.
        drawn: The rows of the pictures that the run drew, also of those that failed.
        styles: Names of the styles, in the order of the columns; the first four are shown.
        title: Headline.
        max_pixels: Larger photos and pictures are not shown.

    Raises:
        OSError: The store failed.
    """
    shown = list(styles[:_MOST_STYLES])
    done = drawn.filter((pc.field("status") == "done") & pc.field("style").isin(shown))
    keys = _spread(sorted(pc.unique(done["key"]).to_pylist()))
    chosen = done.filter(pc.is_in(done["key"], value_set=pa.array(keys, pa.string())))
    pictures = {(row["key"], row["style"]): row for row in chosen.select(_COLUMNS).to_pylist()}
    small = dict(draw_pictures(stores.output, list(pictures.values()), (), max_pixels))
    if not small:
        return None
    photos = dict(draw_photos(stores.archive, {key: key for key in keys}, (), max_pixels))
    rows = [[photos.get(key), *(small.get(_name(pictures.get((key, style)))) for style in shown)] for key in keys]
    sheet = draw_contact_sheet([list(map(_read, row)) for row in rows], title, ["photo", *map(plain, shown)])
    key = layout.run_key(run_id, layout.CONTACT_SHEET)
    stores.output.write(key, sheet)
    return key


def read_contact_sheet(output: Store, run_id: str) -> bytes | None:
    """Return the contact sheet of a run; None if it has none, or one that is larger than they are.

    Raises:
        OSError: The store failed.
    """
    key = layout.run_key(run_id, layout.CONTACT_SHEET)
    listed = {stored.key: stored.size for stored in output.list_files(layout.run_key(run_id))}
    if not 0 < listed.get(key, 0) <= MOST_SHEET_BYTES:
        return None
    data = output.read_listed({key: listed[key]})[key]
    return data if isinstance(data, bytes) else None


def _spread(keys: Sequence[str]) -> list[str]:
    """Return some keys, evenly spread."""
    places = np.linspace(0, len(keys) - 1, min(len(keys), _MOST_PHOTOS)).round().astype(int)
    return [keys[int(place)] for place in places]


def _name(row: Mapping[str, Any] | None) -> str:
    return picture_name(row) if row else ""


def _read(jpeg: bytes | None) -> np.ndarray | None:
    """Return the pixels of a thumbnail."""
    return None if jpeg is None else decode(jpeg, max_pixels=LONG_SIDE_PX**2).rgb

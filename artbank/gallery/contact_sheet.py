"""The contact sheet of a training: the previews of the banks that it registered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from more_itertools import chunked

from artbank.catalog.bank_files import PREVIEW, file_key
from artbank.errors import ImageError
from artbank.images.codec import decode
from artbank.records.bank_records import BankRecord
from artbank.report.contact_sheet import draw_contact_sheet
from artbank.store.objects import Store

_MOST_BANKS = 4
_MAX_PIXELS = 10_000_000  # of a preview, which is 1080 px wide


def draw_previews(store: Store, banks: Sequence[BankRecord]) -> bytes | None:
    """Return the previews of the first four banks on one sheet, a JPEG; None if no preview can be read.

    Raises:
        OSError: The store failed.
    """
    keys = [file_key(bank, PREVIEW) for bank in banks[:_MOST_BANKS]]
    contents = store.read_many(keys)
    previews = [preview for key in keys if (preview := _read(contents[key])) is not None]
    if not previews:
        return None
    rows = [[*row, *[None] * (-len(row) % min(len(previews), 2))] for row in chunked(previews, 2)]
    num_more = len(banks) - len(previews)
    title = f"New banks, {len(previews)} of {len(banks)}" if num_more else "New banks"
    return draw_contact_sheet(rows, title, most_cell_px=960)


def _read(data: bytes | Exception) -> np.ndarray | None:
    """Return the pixels of a preview; None if there is none, or it is damaged.

    Raises:
        OSError: The store failed.
    """
    if isinstance(data, FileNotFoundError):
        return None
    if isinstance(data, Exception):
        raise data
    try:
        return decode(data, max_pixels=_MAX_PIXELS).rgb
    except ImageError:
        return None

"""Find the picture among the pages of a TIFF: the first page may be a preview, and camera raw files are TIFFs too.

Source: TIFF 6.0, section 2; TIFF/EP (ISO 12234-2) for reduced pages and SubIFDs; DNG 1.7 for photometric
interpretations.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from artbank.errors import ImageError

_SUBFILE_TYPE, _OLD_SUBFILE_TYPE, _PHOTOMETRIC, _SUB_IFDS, _MAKE = 254, 255, 262, 330, 271
_WIDTH, _HEIGHT, _ORIENTATION, _DNG_VERSION = 256, 257, 274, 50706
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_OLD_REDUCED = 2
_SENSOR_DATA = (32803, 34892)  # colour filter array, linear raw
_LAYOUTS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_ASCII = 2
_WANTED = frozenset((_SUBFILE_TYPE, _OLD_SUBFILE_TYPE, _PHOTOMETRIC, _SUB_IFDS, _WIDTH, _HEIGHT, _ORIENTATION))
_MAX_PAGES = 256
_MAX_TAGS = 4096
_MAX_VALUES = 256


@dataclass(frozen=True)
class Page:
    """One image of a TIFF.

    Attributes:
        offset: Position of its table in the file.
        values: Its tags, those that matter here.
        make: The camera's maker; empty if the page does not say.
    """

    offset: int
    values: dict[int, tuple[int, ...]]
    make: str

    @property
    def is_whole(self) -> bool:
        """Whether it is neither a preview nor a mask."""
        kind = self.read(_SUBFILE_TYPE)
        return not kind & (_REDUCED | _MASK) and self.read(_OLD_SUBFILE_TYPE) != _OLD_REDUCED

    @property
    def is_sensor_data(self) -> bool:
        """Whether it holds what a camera's sensor measured."""
        return self.read(_PHOTOMETRIC) in _SENSOR_DATA

    @property
    def says_that_it_is_whole(self) -> bool:
        """Whether a tag says so; without any, a page counts as whole."""
        return self.is_whole and (_SUBFILE_TYPE in self.values or _OLD_SUBFILE_TYPE in self.values)

    @property
    def num_pixels(self) -> int:
        """The page's size."""
        return self.read(_WIDTH) * self.read(_HEIGHT)

    @property
    def orientation(self) -> int:
        """Exif's orientation, 1..8; 1 if the page does not say."""
        return self.read(_ORIENTATION, 1)

    def read(self, tag: int, default: int = 0) -> int:
        """Return the first value of a tag."""
        return self.values.get(tag, (default,))[0]


class TiffPages:
    """The pages of a TIFF file, in the order of the file; the SubIFDs of a page come after it."""

    def __init__(self, data: bytes):
        """Read the tables of all pages; a page whose table is damaged ends the list.

        Args:
            data: Content of the file.
        """
        self._data = data
        self._order = "<" if data.startswith(b"II") else ">"
        self._is_big = data[2:4] in (b"+\0", b"\0+")
        self.pages = list(self._read_pages())

    @property
    def is_dng(self) -> bool:
        """Whether it is a Digital Negative."""
        return any(_DNG_VERSION in page.values for page in self.pages)

    @property
    def has_sensor_data(self) -> bool:
        """Whether its picture is what a sensor measured, so that it is a camera raw file."""
        return any(page.is_sensor_data and page.is_whole for page in self.pages)

    @property
    def make(self) -> str:
        """The camera's maker; empty if no page says it."""
        return next((page.make for page in self.pages if page.make), "")

    def find_picture(self) -> Page | None:
        """Return the page that holds the picture; None if no page can be read, or if the first one does.

        Raises:
            ImageError: All pages are previews or masks.
        """
        if not self.pages or self.pages[0].is_whole:
            return None
        full_pages = [page for page in self.pages if page.is_whole]
        if not full_pages:
            raise ImageError(
                "the TIFF file holds only a reduced-resolution preview of its picture; export the picture itself",
                "unsupported",
            )
        return max(full_pages, key=lambda page: page.num_pixels)

    def put_first(self, page: Page) -> bytes:
        """Return the file with a header that names a page as its first, for decoders that read only that."""
        if self._is_big:
            return self._data[:8] + struct.pack(f"{self._order}Q", page.offset) + self._data[16:]
        return self._data[:4] + struct.pack(f"{self._order}I", page.offset) + self._data[8:]

    def _read_pages(self) -> Iterator[Page]:
        seen: set[int] = set()
        try:
            waiting = [self._unpack("Q" if self._is_big else "I", 8 if self._is_big else 4)[0]]
            while waiting and len(seen) < _MAX_PAGES:
                offset = waiting.pop()
                if offset == 0 or offset in seen:
                    continue
                seen.add(offset)
                page, next_offset = self._read_page(offset)
                yield page
                waiting += [next_offset, *reversed(page.values.get(_SUB_IFDS, ()))]
        except (struct.error, OverflowError):
            return

    def _read_page(self, offset: int) -> tuple[Page, int]:
        """Return a page, and the offset of the next one."""
        count_layout, entry_size, offset_layout = ("Q", 20, "Q") if self._is_big else ("H", 12, "I")
        [count] = self._unpack(count_layout, offset)
        start = offset + struct.calcsize(f"={count_layout}")
        values: dict[int, tuple[int, ...]] = {}
        make = ""
        for index in range(min(count, _MAX_TAGS)):
            tag, kind = self._unpack("HH", start + index * entry_size)
            if tag == _MAKE and kind == _ASCII:
                make = bytes(self._read_values(start + index * entry_size, "B")).decode("ascii", "replace").strip(" \0")
            elif tag in (*_WANTED, _DNG_VERSION) and kind in _LAYOUTS:
                values[tag] = self._read_values(start + index * entry_size, _LAYOUTS[kind]) or (0,)
        [next_offset] = self._unpack(offset_layout, start + count * entry_size)
        return Page(offset, values, make), next_offset

    def _read_values(self, entry: int, layout: str) -> tuple[int, ...]:
        """Return the values of a tag's entry, of some hundreds at most."""
        offset_layout, room = ("Q", 8) if self._is_big else ("I", 4)
        [count] = self._unpack(offset_layout, entry + 4)
        place = entry + 4 + room
        if count * struct.calcsize(f"={layout}") > room:
            [place] = self._unpack(offset_layout, place)
        return self._unpack(f"{min(count, _MAX_VALUES)}{layout}", place)

    def _unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        return struct.unpack_from(self._order + layout, self._data, offset)

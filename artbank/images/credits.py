"""Find the maker, the date and the owner of a photo."""

from __future__ import annotations

from dataclasses import dataclass

from artbank.images.capture_dates import Moment


@dataclass(frozen=True)
class Credits:
    """The credits of a photo.

    Attributes:
        copyright: The copyright notice; empty if there is none.
        artists: Its authors.
        captured: When it was taken.
    """

    copyright: str
    artists: tuple[str, ...]
    captured: Moment | None

    @property
    def names(self) -> list[str]:
        """The names of the known ones, as rows have them."""
        known = {"copyright": self.copyright, "artist": self.artists, "capture_date": self.captured}
        return [name for name, value in known.items() if value]

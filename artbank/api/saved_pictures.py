"""Keep the pictures of a folder apart: there a picture has its photo's name, which other photos may have too.

Pictures that this process saved are known by photo and style, so drawing a photo again replaces its picture, and
nothing else. Files that were there before are known as pictures only by their mark.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from artbank.errors import ConfigError
from artbank.images.file_metadata import is_marked
from artbank.store.objects import Store
from artbank.store.places import is_same_file

_MOST = 65_536  # pictures that are remembered: a server may save for months


@dataclass(frozen=True)
class SavedPicture:
    """A picture's photo and style.

    Attributes:
        key: The photo's key.
        source: Path or URI of the photo's file; empty for an image or an array.
        style: The name of the style.
    """

    key: str
    source: str
    style: str

    @property
    def photo(self) -> str:
        """The photo, for people."""
        return self.source or self.key

    def is_of_photo(self, other: SavedPicture) -> bool:
        """Return whether two pictures are of one photo, however its path is spelled."""
        if not self.source or not other.source:
            return (self.key, self.source) == (other.key, other.source)
        return self.source == other.source or is_same_file(self.source, other.source)


_saved: OrderedDict[str, SavedPicture] = OrderedDict()


def check_replaceable(store: Store, name: str, picture: SavedPicture, *, has_mark: bool) -> None:
    """Check that a picture would not take the place of a photo, or of the picture of another photo or style.

    Args:
        store: The folder that it is saved to.
        name: The name that it gets there.
        picture: The picture.
        has_mark: Whether the recipe marks pictures; else no file tells whether it is one.

    Raises:
        ConfigError: It would.
        OSError: The store failed.
    """
    uri = store.uri_of(name)
    before = _saved.get(uri)
    if before is not None and before.is_of_photo(picture) and before.style == picture.style:
        return
    if not store.exists(name):
        return
    if before is None:
        if has_mark and not is_marked(store.read(name)):
            raise ConfigError(
                f"{uri} is there and has no mark of artbank, so it may be a photo, which would be lost; "
                "name another folder, or the file itself to replace it"
            )
        return
    if before.is_of_photo(picture):
        raise ConfigError(f"{uri} is the picture in {before.style}, which would be lost; name a folder for each style")
    raise ConfigError(
        f"{uri} is the picture of {before.photo}, which would be lost to that of {picture.photo}; draw photos of "
        "several folders with root=FOLDER, a folder above them all, or name another folder for each"
    )


def remember(uri: str, picture: SavedPicture) -> None:
    """Remember what was saved to a file."""
    _saved[uri] = picture
    _saved.move_to_end(uri)
    if len(_saved) > _MOST:
        _saved.popitem(last=False)

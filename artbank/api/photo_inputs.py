"""Photos as people name them in Python: paths, globs, folders, PIL images and arrays.

Every kind becomes the bytes of an image file, so that all are decoded as the files of an archive are. Images and arrays
are packed as PNG, which loses nothing.
"""

from __future__ import annotations

import glob
import io
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from artbank.api.places import place_text
from artbank.errors import ConfigError
from artbank.parameters.skip_rules import SkipRules
from artbank.runtime.hashing import short_hash
from artbank.store.objects import Store
from artbank.store.places import is_same_file, nothing_there

if TYPE_CHECKING:
    from typing_extensions import TypeIs

logger = logging.getLogger(__name__)

PhotoInput = str | os.PathLike[str] | Image.Image | np.ndarray
"""The path or URI of a file, a PIL image of 8 or 16 bits, or an array uint8 [H, W, 3] sRGB."""

_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_TIFF_MODES = ("CMYK", "LAB", "I;16B")  # which PNG has not, and Pillow converts without their profile or clips
_WITH_ALPHA = {"PA": "RGBA", "RGBa": "RGBA", "La": "LA"}
_WITHOUT_WHITE = ("I", "F")  # 32 bits, whose white may be 1, 255, 65535 or anything else
_CONTENT = (bytes, bytearray, memoryview, io.IOBase)  # of a file: what people may take for a photo
_ROOT = "a folder as root"
_FAST = 1  # level of compression: the PNG is read again at once


@dataclass(frozen=True)
class NamedPhoto:
    """A photo that has not been read yet.

    Attributes:
        key: Its name; the seed of its noise is derived from it and the recipe's seed.
        read: Returns the content of an image file; raises OSError.
        folder: Folder or URI in which files with its caption may be; empty for an image or an array.
        place: Its path in that folder.
        caption: That of a file; None without one.
    """

    key: str
    read: Callable[[], bytes] = field(repr=False)
    folder: str = ""
    place: str = ""
    caption: str | None = None

    @property
    def source(self) -> str:
        """The path or URI of its file; empty for an image or an array."""
        return f"{self.folder.rstrip('/')}/{self.place}" if self.folder else ""


def is_photo(photos: PhotoInput | Iterable[PhotoInput]) -> TypeIs[PhotoInput]:
    """Return whether something is one photo, and no list of photos."""
    return isinstance(photos, str | os.PathLike | Image.Image | np.ndarray)


def is_path(photos: object) -> TypeIs[str | os.PathLike[str]]:
    """Return whether something is the path or URI of a file or folder."""
    return isinstance(photos, str | os.PathLike)


def find_photo(photo: PhotoInput, root: str | os.PathLike[str] | None = None) -> NamedPhoto:
    """Return one photo; a file is not read yet, but must be there if it is on this machine.

    Args:
        photo: The photo.
        root: Folder that a file's key is relative to; by default the key is the name of the file.

    Raises:
        ConfigError: It is none of the kinds, an image of mode I or F, an array of another type or shape, a folder or a
            glob; no such file is there, or it lies outside `root`.
    """
    if isinstance(photo, Image.Image):
        return _name_image(photo)
    if isinstance(photo, np.ndarray):
        return _name_image(_to_image(photo))
    if not isinstance(photo, str | os.PathLike):
        raise _no_photo(photo)
    uri = os.fspath(photo)
    if not uri:
        raise ConfigError("expected a photo, found an empty path; name a file")
    if "://" in uri:
        return _name_object(uri, root)
    path = Path(uri).expanduser()
    if path.is_dir():
        raise ConfigError(f"expected a photo, found the folder {uri}; put it into a list: [{uri!r}]")
    if path.is_file():
        key = _relative_key(path, root)
        folder = path.parent if root is None else Path(root).expanduser()
        return NamedPhoto(key, path.read_bytes, str(folder), key)
    if glob.has_magic(uri):
        raise ConfigError(f"expected a photo, found the glob {uri}; put it into a list: [{uri!r}]")
    raise ConfigError(f"there is no photo {uri}; correct its name")


def find_photos(
    photos: Iterable[PhotoInput] | PhotoInput, root: str | os.PathLike[str] | None = None
) -> list[NamedPhoto]:
    """Return several photos in order; folders and globs of local files become their photos, sorted by key.

    The photos of a folder, at any depth, are those that a run over it as an archive would find, with the same keys.

    Args:
        photos: A list with photos, folders and globs, or one of these.
        root: See `find_photo`; also of folders and globs.

    Raises:
        ConfigError: See `find_photo`; or a folder or a glob has no photo.
        OSError: The store of a folder failed.
    """
    if isinstance(photos, (*_CONTENT, Mapping)):  # which can be iterated over
        raise _no_photo(photos)
    inputs = [photos] if is_photo(photos) or not isinstance(photos, Iterable) else list(photos)
    return [named for photo in inputs for named in _expand(photo, root)]


def warn_of_shared_keys(photos: Iterable[NamedPhoto]) -> None:
    """Warn of photos of several files that have one key, whose pictures one folder cannot hold."""
    first: dict[str, NamedPhoto] = {}
    for photo in photos:
        known = first.setdefault(photo.key, photo)
        is_same = known.source == photo.source or not (known.source and photo.source)
        if not is_same and not is_same_file(known.source, photo.source):
            logger.warning(
                "photos of several folders have the key %s, such as %s and %s: one folder cannot hold the pictures of "
                "both; pass root=FOLDER, a folder above them all, whose part then is in the keys",
                *(photo.key, known.source, photo.source),
            )
            return


def _no_photo(found: object) -> ConfigError:
    advice = ""
    if isinstance(found, _CONTENT):
        advice = "; open it with PIL.Image.open, and bytes through io.BytesIO"
    elif isinstance(found, list | tuple):
        advice = "; put all photos into one list, and convert lists of numbers with numpy.asarray"
    elif isinstance(found, Mapping):
        advice = "; pass its values, as a list"
    elif type(found).__name__ == "Tensor":
        advice = "; convert it with .numpy(), channels last and values 0..255, or with torchvision's to_pil_image"
    return ConfigError(
        f"expected a path, a PIL image or an array uint8 [H, W, 3], found {type(found).__name__}{advice}"
    )


def _expand(photo: PhotoInput, root: str | os.PathLike[str] | None) -> Iterator[NamedPhoto]:
    path = os.fspath(photo) if is_path(photo) else None
    if not path or "://" in path or Path(path).expanduser().is_file():
        yield find_photo(photo, root)
    elif Path(path).expanduser().is_dir():
        yield from _list_folder(Path(path).expanduser(), root)
    elif glob.has_magic(path):
        found = sorted(Path(path_found) for path_found in glob.glob(str(Path(path).expanduser()), recursive=True))  # noqa: PTH207
        files = [path_found for path_found in found if path_found.is_file()]
        if not files:
            raise ConfigError(f"the glob {path} matches no file; correct it")
        yield from (find_photo(file, root) for file in files)
    else:
        yield find_photo(photo, root)  # raises


def _list_folder(folder: Path, root: str | os.PathLike[str] | None) -> Iterator[NamedPhoto]:
    from artbank.results.archive_listing import list_archive

    store = Store.open(str(folder))
    keys: Sequence[str] = list_archive(store)["key"].to_pylist()
    if not keys:
        raise nothing_there(store, "photos")
    for key in keys:
        name = key if root is None else _relative_key(folder / key, root)
        yield NamedPhoto(name, (folder / key).read_bytes, str(folder), key)


def _name_object(uri: str, root: str | os.PathLike[str] | None) -> NamedPhoto:
    folder, _, name = uri.rpartition("/")
    if not name or SkipRules(()).skip(name):
        raise ConfigError(f"expected the URI of a photo, found {uri}; name each photo, or use `artbank stylize`")
    store = Store.open(folder)
    if root is None:
        return NamedPhoto(name, partial(store.read, name), folder, name)
    root_prefix = f"{Store.open(place_text(root, _ROOT)).uri}/"
    key = f"{store.uri}/{name}"
    if not key.startswith(root_prefix):
        raise ConfigError(f"{uri} does not lie in root={root}; name a folder that holds it")
    return NamedPhoto(key.removeprefix(root_prefix), partial(store.read, name), folder, name)


def _relative_key(path: Path, root: str | os.PathLike[str] | None) -> str:
    if root is None:
        return path.name
    folder = place_text(root, _ROOT)
    try:
        return path.absolute().relative_to(Path(folder).expanduser().absolute()).as_posix()
    except ValueError as error:
        raise ConfigError(f"{path} does not lie in root={root}; name a folder that holds it") from error


def _name_image(image: Image.Image) -> NamedPhoto:
    """Name an image by its pixels, so that its picture does not depend on the others.

    Raises:
        ConfigError: The image has no pixel, or its mode does not tell which value is white.
    """
    if not (image.width and image.height):
        raise ConfigError(f"expected a photo, found an image of {image.width} x {image.height} px")
    if image.mode in _WITHOUT_WHITE:
        raise ConfigError(
            f"expected an image of 8 or 16 bits, found one of mode {image.mode}, which does not tell what value is "
            "white; give the path of its file, or convert it to an array uint8 [H, W, 3] of values 0..255"
        )
    facts = f"{image.mode} {image.size}".encode()
    return NamedPhoto(f"{short_hash(facts + image.tobytes())}.png", partial(pack_image, image))


def pack_image(image: Image.Image) -> bytes:
    """Return an image as PNG, or TIFF if it needs that, with its colour profile and its EXIF with the orientation.

    The mode is none of 32 bits; those are refused when a photo is named.
    """
    file = io.BytesIO()
    exif = image.getexif()
    options = {"exif": exif.tobytes()} if exif else {}
    if image.mode in _TIFF_MODES:
        image.save(file, "TIFF", **options)
        return file.getvalue()
    kept = image if image.mode in _PNG_MODES else image.convert(_WITH_ALPHA.get(image.mode, "RGB"))
    kept.save(file, "PNG", compress_level=_FAST, **options)
    return file.getvalue()


def _to_image(array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise ConfigError(
            f"expected an array uint8 [H, W, 3], found {array.dtype} {list(array.shape)}; "
            "convert it to values 0..255 of three channels, and put several photos into a list"
        )
    return Image.fromarray(array)

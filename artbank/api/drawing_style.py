"""Draw photos in a style, whether that of one bank or of a mix of banks."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Unpack, overload

from artbank.api.progress import ProgressOption, open_progress
from artbank.api.settings import DrawSettings, read_drawing
from artbank.errors import ConfigError

if TYPE_CHECKING:  # these load torch, numpy or Pillow, which opening a store does without
    from artbank.api.drawing import PhotoDrawer
    from artbank.api.drawn_picture import DrawnPicture
    from artbank.api.photo_inputs import NamedPhoto, PhotoInput
    from artbank.parameters.draw_config import DrawConfig
    from artbank.parameters.run_config import RunConfig
    from artbank.scoring.style_reference import StyleReference
    from artbank.stylization.style import Style


class DrawingStyle(ABC):
    """A style that photos are drawn in: a `TrainedBank`, or a `StyleMix` of several.

    Attributes:
        config: The base model, device and scorer that it draws with.
    """

    config: RunConfig

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name, such as `monet@1`."""

    @abstractmethod
    def _load_style(self) -> tuple[Style, StyleReference]:
        """Return its banks with their weights, and the reference of their collections."""

    @overload
    def stylize(
        self,
        photos: PhotoInput,
        *,
        root: str | os.PathLike[str] | None = None,
        batch_size: int | None = None,
        progress: ProgressOption = None,
        **settings: Unpack[DrawSettings],
    ) -> DrawnPicture: ...

    @overload
    def stylize(
        self,
        photos: Iterable[PhotoInput],
        *,
        root: str | os.PathLike[str] | None = None,
        batch_size: int | None = None,
        progress: ProgressOption = None,
        **settings: Unpack[DrawSettings],
    ) -> list[DrawnPicture]: ...

    def stylize(
        self,
        photos: PhotoInput | Iterable[PhotoInput],
        *,
        root: str | os.PathLike[str] | None = None,
        batch_size: int | None = None,
        progress: ProgressOption = None,
        **settings: Unpack[DrawSettings],
    ) -> DrawnPicture | list[DrawnPicture]:
        """Draw one photo, or a list of photos, in this style.

        A photo is the path or URI of a file, a PIL image, or an array uint8 [H, W, 3] sRGB. A list may also hold
        folders and globs, such as `["photos"]` or `["photos/**/*.jpg"]`.

        Pictures are those that `artbank stylize` writes for the same photo, key, style, recipe, models and seed.

        Args:
            photos: One photo, or a list.
            root: Folder that keys are relative to, as those of an archive. The noise of a photo depends on the seed
                and its key, which is the name of its file by default; images and arrays have a hash of their pixels.
            batch_size: Photos that go through the model at once; by default 8, and 16 on CUDA.
            progress: Called with the number of pictures that are done, and their total. True shows a bar on standard
                error, False nothing; by default there is a bar at a terminal and in a notebook.
            settings: Those of `StylizeRecipe` (preset, strength, seed, candidates, photo_captions and so on);
                `control` and `lora`, each one text or several, as `--control` and `--lora` of `artbank stylize`;
                `depth_model` and `structure_model`, each a folder, store URI or hub id; `texture`, to score
                `clip_texture`.

        Returns:
            One picture for one photo. For a list, one for each photo in order; those that could not be drawn have an
            `error`.

        Raises:
            ConfigError: A setting is unknown or wrong, or a photo is not there; nothing is drawn.
            ImageError: The one photo cannot be drawn.
            BankError: A bank was trained on another base model.
            BaseModelError: A model is missing or damaged, or a LoRA or ControlNet is for another base model.
        """
        from artbank.api.photo_inputs import find_photo, find_photos, is_photo, warn_of_shared_keys

        config = read_drawing(settings, self.config)
        _check_batch_size(batch_size)
        open_drawer = partial(self._open_drawer, config)
        if not is_photo(photos):
            named_photos = _add_captions(find_photos(photos, root), config)
            warn_of_shared_keys(named_photos)
            drawn = dict(_draw(open_drawer, named_photos, batch_size, progress))
            return [drawn[number] for number in range(len(named_photos))]
        named_photos = _add_captions([find_photo(photos, root)], config)
        [(_, picture)] = _draw(open_drawer, named_photos, batch_size, progress)
        if picture.error is not None:
            raise picture.error
        return picture

    def stylize_each(
        self,
        photos: PhotoInput | Iterable[PhotoInput],
        *,
        root: str | os.PathLike[str] | None = None,
        batch_size: int | None = None,
        progress: ProgressOption = None,
        **settings: Unpack[DrawSettings],
    ) -> Iterator[DrawnPicture]:
        """Yield pictures of many photos as they are finished, so that they are never in memory together.

        Args:
            photos: A folder, a glob, or a list; see `stylize`.
            root: See `stylize`.
            batch_size: See `stylize`.
            progress: See `stylize`.
            settings: See `stylize`.

        Returns:
            Pictures in the order in which they are finished; `key` names the photo, and `error` says why a photo
            could not be drawn.

        Raises:
            ConfigError, BankError, BaseModelError: See `stylize`.
        """
        from artbank.api.photo_inputs import find_photos, warn_of_shared_keys

        config = read_drawing(settings, self.config)
        _check_batch_size(batch_size)
        named_photos = _add_captions(find_photos(photos, root), config)
        warn_of_shared_keys(named_photos)
        drawer = self._open_drawer(config)
        return (picture for _, picture in _draw(lambda: drawer, named_photos, batch_size, progress))

    def _open_drawer(self, config: DrawConfig) -> PhotoDrawer:
        from artbank.api.drawing import PhotoDrawer

        return PhotoDrawer(config, *self._load_style())


def _draw(
    open_drawer: Callable[[], PhotoDrawer],
    photos: Sequence[NamedPhoto],
    batch_size: int | None,
    progress: ProgressOption,
) -> Iterator[tuple[int, DrawnPicture]]:
    """Yield the number of each photo and its picture, and show the progress, also of the loading."""
    with open_progress(progress, "picture") as report:
        yield from open_drawer().draw(photos, batch_size, report)


def _check_batch_size(batch_size: object) -> None:
    if batch_size is not None and not (isinstance(batch_size, Integral) and int(batch_size) >= 1):
        raise ConfigError(
            f"batch_size={batch_size!r}: expected a whole number from 1 on, or None for what suits the device"
        )


def _add_captions(photos: Sequence[NamedPhoto], config: DrawConfig) -> Sequence[NamedPhoto]:
    """Return the photos with the captions of the files beside them, if the recipe asks for captions."""
    if not config.recipe.photo_captions:
        return photos
    from artbank.api.photo_captions import add_file_captions

    return add_file_captions(photos, config.max_bytes)

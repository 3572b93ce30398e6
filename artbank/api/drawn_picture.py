"""A picture that the API has drawn: its pixels, its scores, and the settings that it was drawn with.

Shape legend: H x W the picture's file; pictures uint8 [H, W, 3] sRGB, 0..255.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from artbank.api import notebook_html
from artbank.api.places import place_text
from artbank.api.saved_pictures import SavedPicture, check_replaceable, remember
from artbank.errors import ConfigError, ImageError
from artbank.images.codec import Picture
from artbank.images.codec_jobs import EncodeJob, encode_picture, finish_picture
from artbank.images.suffixes import WRITTEN_SUFFIXES
from artbank.recipes import StylizeRecipe
from artbank.results.filenames import output_name
from artbank.scoring.optional_measures import OptionalScores
from artbank.scoring.scores import Scores
from artbank.store.objects import Store
from artbank.store.places import is_same_file


@dataclass(frozen=True, repr=False, eq=False)
class DrawnPicture:
    """One photo in one style, or the reason that it could not be drawn.

    Attributes:
        key: The photo's key: the name of its file, or a hash of its pixels.
        style: The bank's name and version, such as `monet@1`.
        recipe: All settings, those of the preset included.
        seed: Seed of the photo's noise, made from the recipe's seed and the key; None if it was not drawn.
        scores: CLIP scores -1..1, `ssim` and flags, as in the rows of an output; None if it was not drawn.
        gain: Position of `clip_style` between the photo (0) and held-out artworks (1); None if it cannot be measured.
        gain_beyond_colours: The same with the photo in the collection's colours at 0: what is more than recolouring.
        more_scores: `dino_structure`, `csd_style` and `clip_texture`, as far as they were asked for; None if it was not
            drawn.
        candidates: The mean of style and content score of each candidate, if there were several.
        caption: The photo's own caption that took the place of the prompt, if there was one.
        found_settings: The settings that `keep_structure` or `reach_style` found for the photo, by name.
        notes: Sentences that the photo's owner should know.
        seconds: Its share of the time of its batch, s.
        error: Why it was not drawn; None if it was.
        source: Path or URI of the photo's file; empty for an image or an array.
    """

    key: str
    style: str
    recipe: StylizeRecipe
    seed: int | None = None
    scores: Scores | None = None
    gain: float | None = None
    gain_beyond_colours: float | None = None
    more_scores: OptionalScores | None = None
    candidates: tuple[float, ...] = ()
    caption: str | None = None
    found_settings: Mapping[str, float | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    error: ImageError | None = None
    job: EncodeJob | None = field(default=None)
    source: str = ""

    @property
    def image(self) -> Image.Image:
        """The picture as a PIL image, RGB, or RGBA where the recipe keeps transparency.

        Raises:
            ImageError: The photo could not be drawn.
        """
        picture = self._picture
        if picture.alpha is None:
            return Image.fromarray(picture.rgb)
        return Image.fromarray(np.dstack([picture.rgb, picture.alpha]))  # pyright: ignore[reportArgumentType, reportCallIssue]

    @property
    def array(self) -> np.ndarray:
        """The picture, uint8 [H, W, 3], without transparency.

        Raises:
            ImageError: The photo could not be drawn.
        """
        return self._picture.rgb

    @property
    def photo(self) -> Image.Image:
        """The photo at its working size.

        Raises:
            ImageError: The photo could not be drawn.
        """
        return Image.fromarray(self._drawn.photo)

    def save(self, path: str | os.PathLike[str], *, quality: int | None = None) -> str:
        """Write the picture with its mark and its photo's metadata, as a run over an archive does.

        Args:
            path: Path or URI of a .jpg, .png or .webp file, which is replaced; or a folder, which gets a file of the
                photo's key. There it replaces an earlier picture of the photo in the style, and no other file.
            quality: 1..100, of JPEG and WebP; that of the recipe by default.

        Returns:
            The path or URI of the file.

        Raises:
            ConfigError: The path is empty or that of the photo itself, the file has another suffix, the quality is
                out of range, or a folder has another file of that name: a photo, or what this process saved of another
                photo or in another style.
            ImageError: The photo could not be drawn, or the format cannot hold its picture.
            OSError: The file cannot be written.
        """
        folder, name, is_chosen = self._split(place_text(path, "a file or a folder for the picture"))
        suffix = Path(name).suffix.lower()
        if suffix not in WRITTEN_SUFFIXES:
            raise ConfigError(f"expected a file that ends in {', '.join(WRITTEN_SUFFIXES)}, found {name}; rename it")
        store = Store.open(folder)
        if self.source and is_same_file(self.source, store.uri_of(name)):
            raise ConfigError(
                f"{store.uri_of(name)} is the photo itself, which would be lost; name another file or folder"
            )
        saved = SavedPicture(self.key, self.source, self.style)
        if is_chosen:
            check_replaceable(store, name, saved, has_mark=self.recipe.mark != "none")
        store.write(name, self.to_bytes(suffix, quality=quality))
        remember(store.uri_of(name), saved)
        return store.uri_of(name)

    def to_bytes(self, suffix: str = ".png", *, quality: int | None = None) -> bytes:
        """Return the content of the file that `save` writes.

        Args:
            suffix: .jpg, .png or .webp.
            quality: See `save`.

        Raises:
            ConfigError, ImageError: See `save`.
        """
        if quality is not None and not 1 <= quality <= 100:
            raise ConfigError(f"expected a quality of 1..100, found {quality}")
        job = replace(self._drawn, suffix=suffix, quality=quality or self.recipe.quality)
        return encode_picture(job).data

    @property
    def _drawn(self) -> EncodeJob:
        if self.job is None:
            assert self.error is not None
            raise ImageError(f"{self.key} was not drawn: {self.error.reason}", self.error.failure)
        return self.job

    @cached_property
    def _picture(self) -> Picture:
        return finish_picture(self._drawn)

    def _split(self, path: str) -> tuple[str, str, bool]:
        """Return the folder and the name of the file to write, and whether the name is the photo's."""
        if path.endswith("/") or ("://" not in path and Path(path).expanduser().is_dir()):
            return path.rstrip("/") or path[:1], output_name(self.key), True  # an empty path is refused
        folder, separator, name = path.rpartition("/")
        return folder or separator or ".", name, False

    def __repr__(self) -> str:
        """Return its photo, style and scores in one line."""
        if self.scores is None:
            return f"<DrawnPicture {self.key} in {self.style}: not drawn, {self.error}>"
        size = f"{self._drawn.size[0]} x {self._drawn.size[1]} px"
        return f"<DrawnPicture {self.key} in {self.style}, {size}: {self._describe_scores()}>"

    def _describe_scores(self) -> str:
        assert self.scores is not None
        gain = "" if self.gain is None else f"style gain {self.gain:.2f}, "
        flags = "".join(f", {flag}" for flag in self.scores.flags)
        return f"{gain}clip_content {self.scores.clip_content:.2f}, ssim {self.scores.ssim:.2f}{flags}"

    def _repr_png_(self) -> bytes | None:
        return None if self.job is None else self.to_bytes(".png")

    def _repr_html_(self) -> str:
        if self.job is None:
            return notebook_html.text_block(repr(self))
        caption = f"{self.key} in {self.style}: {self._describe_scores()}"
        return notebook_html.pair(self.photo, self.image, caption)

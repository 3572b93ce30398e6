"""Resize and pad a photo to the working image that goes through the model, and cut the padding off again.

Shape legend: H x W the photo, h x w the working image, H' x W' the working image padded to the model's multiple.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from artbank.images.codec import resize
from artbank.parameters.control_specs import ControlKind

MAX_ASPECT = 3.0
"""Aspect from which on photos get working images of the same area, by default: those of panoramas would be too long."""


@dataclass(frozen=True)
class Frame:
    """The working size of one photo: it is scaled without distortion, then padded by reflection.

    Attributes:
        width_px: Width of the working image.
        height_px: Height of the working image.
        padded_width_px: `width_px` rounded up to the model's multiple.
        padded_height_px: `height_px` rounded up to the model's multiple.
    """

    width_px: int
    height_px: int
    padded_width_px: int
    padded_height_px: int

    @classmethod
    def for_photo(
        cls, width_px: int, height_px: int, *, short_px: int, multiple_px: int, max_aspect: float = MAX_ASPECT
    ) -> Frame:
        """Return the frame that gives the short side `short_px`, or less if the photo is longer than `max_aspect`.

        Photos of that aspect and of all longer ones have working images of one area.
        """
        short, long = sorted((width_px, height_px))
        scale = short_px / short * min(1.0, (max_aspect * short / long) ** 0.5)
        width = max(round(width_px * scale), 1)
        height = max(round(height_px * scale), 1)
        return cls(width, height, _round_up(width, multiple_px), _round_up(height, multiple_px))

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the working image."""
        return self.width_px, self.height_px

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        """Return the padded working image, uint8 [H', W', 3], of a photo uint8 [H, W, 3]."""
        working = resize(rgb, self.width_px, self.height_px)
        below = self.padded_height_px - self.height_px
        right = self.padded_width_px - self.width_px
        return np.pad(working, ((0, below), (0, right), (0, 0)), mode="symmetric")

    def cut(self, rgb: np.ndarray) -> np.ndarray:
        """Return the working image [h, w, 3] without its padding."""
        return rgb[: self.height_px, : self.width_px]


@dataclass(frozen=True)
class Photo:
    """One photo at its working size, which is all that stays in memory, however large the file was.

    Attributes:
        key: Key of the photo in the archive.
        frame: The working size.
        padded: The padded working image, uint8 [H', W', 3].
        width_px: Width of the photo itself.
        height_px: Height of the photo itself.
        caption: Stands in the prompt in place of the recipe's text; empty to follow the recipe.
        control_images: What ControlNets see of it, uint8 [H', W'], where it was computed with the photo; by kind.
    """

    key: str
    frame: Frame
    padded: np.ndarray = field(repr=False)
    width_px: int
    height_px: int
    caption: str = ""
    control_images: Mapping[ControlKind, np.ndarray] = field(default_factory=dict, repr=False)

    @classmethod
    def prepare(
        cls,
        key: str,
        rgb: np.ndarray,
        *,
        short_px: int,
        multiple_px: int,
        max_aspect: float = MAX_ASPECT,
        whole_px: tuple[int, int] | None = None,
    ) -> Photo:
        """Bring a photo uint8 [H, W, 3], at least 1 px a side, to its working size; see `Frame.for_photo`.

        Args:
            key: Key of the photo in the archive.
            rgb: The photo.
            short_px: Short side of the working image.
            multiple_px: The padded sides are multiples of this.
            max_aspect: Longer photos get a smaller short side.
            whole_px: Width and height in the file, if the photo was decoded at a smaller size.
        """
        height, width = rgb.shape[:2] if whole_px is None else whole_px[::-1]
        frame = Frame.for_photo(width, height, short_px=short_px, multiple_px=multiple_px, max_aspect=max_aspect)
        return cls(key, frame, frame.apply(rgb), width, height)

    @property
    def working(self) -> np.ndarray:
        """The working image, uint8 [h, w, 3]."""
        return self.frame.cut(self.padded)

    @property
    def blank(self) -> Photo:
        """A black photo in its place."""
        return replace(self, padded=np.zeros_like(self.padded), control_images={})

    @property
    def bucket(self) -> tuple[int, int]:
        """Padded width and height, px, which all photos of a batch share."""
        return self.frame.padded_width_px, self.frame.padded_height_px


def _round_up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple

"""CLIP image preprocessing on the device of the picture: resize, crop the centre, normalise.

transformers does the same with Pillow on the host; here pictures stay on the GPU.

Shape legend: n pictures; pictures uint8 [3, H, W] sRGB; S side of the preprocessed picture, px (128 for the embedded
CLIP, 224 for ViT-L/14).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from artbank.diffusion.tensors import copy_to_device

_FILTERS = {2: "bilinear", 3: "bicubic"}  # by Pillow's numbers, which image processors use
_STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")


@dataclass(frozen=True)
class ClipPreprocessor:
    """The settings of a CLIP's image processor.

    Attributes:
        short_px: Short side of a resized picture.
        height_px: Height of the crop from its centre.
        width_px: Width of the crop.
        filter: Resize filter, which averages when it shrinks.
        scale: Factor of the 8-bit values before they are normalised.
        mean: Mean of each channel, subtracted.
        std: Standard deviation of each channel, divided by.
    """

    short_px: int
    height_px: int
    width_px: int
    filter: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_processor(cls, processor: Any) -> ClipPreprocessor:
        """Read the settings of an image processor of transformers.

        Raises:
            ValueError: It does anything but resize the short side, crop, scale and normalise.
        """
        resize_filter = _FILTERS.get(int(processor.resample))
        does_all_steps = all(getattr(processor, step) for step in _STEPS)
        short_px = processor.size.get("shortest_edge")
        if resize_filter is None or not does_all_steps or not short_px:
            raise ValueError(
                "expected an image processor that resizes the shortest edge bilinearly or bicubically, crops "
                f"the centre, rescales and normalises, as CLIP's does; found {processor.to_json_string()}"
            )
        return cls(
            short_px=short_px,
            height_px=processor.crop_size["height"],
            width_px=processor.crop_size["width"],
            filter=resize_filter,
            scale=processor.rescale_factor,
            mean=tuple(processor.image_mean),
            std=tuple(processor.image_std),
        )

    def preprocess(self, pictures: Sequence[Tensor]) -> Tensor:
        """Return pictures of any sizes as CLIP takes them, float32 [n, 3, S, S]; resized ones are rounded to 8 bit."""
        return self._normalize([self._crop(self._resize(self._reduce(picture))) for picture in pictures])

    def preprocess_whole(self, pictures: Sequence[Tensor], height_px: int, width_px: int) -> Tensor:
        """Return whole pictures of any sizes, stretched to one size, float32 [n, 3, height_px, width_px]."""
        return self._normalize([self._stretch(picture, (height_px, width_px)) for picture in pictures])

    def _normalize(self, pictures: Sequence[Tensor]) -> Tensor:
        pixels = torch.stack(list(pictures)).float()
        mean, std = (
            copy_to_device(torch.tensor(numbers), pixels.device).view(-1, 1, 1) for numbers in (self.mean, self.std)
        )
        return (pixels * self.scale - mean) / std

    def _reduce(self, picture: Tensor) -> Tensor:
        """Shrink a large picture by a whole factor, to at least twice `short_px`: far cheaper than the filter."""
        factor = min(picture.shape[1:]) // (2 * self.short_px)
        if factor < 2:
            return picture
        values = picture.float().contiguous()  # pooling takes twice as long with the channels last in memory
        return _to_8_bit(avg_pool2d(values, factor, ceil_mode=True, count_include_pad=False))

    def _resize(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[1:]
        long_px = int(self.short_px * max(height, width) / min(height, width))
        size = (self.short_px, long_px) if height <= width else (long_px, self.short_px)
        return self._stretch(picture, size)

    def _stretch(self, picture: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize a picture to height and width, rounded to 8 bit."""
        if size == tuple(picture.shape[1:]):
            return picture
        batch = picture[None]
        if batch.device.type != "cpu":
            batch = batch.float()  # only CPUs resize 8-bit values
        resized = interpolate(batch, size=size, mode=self.filter, antialias=True, align_corners=False)[0]
        return resized if resized.dtype == torch.uint8 else _to_8_bit(resized)

    def _crop(self, picture: Tensor) -> Tensor:
        """Crop the centre; a picture that is smaller gets a black border."""
        height, width = picture.shape[1:]
        above = (height - self.height_px) // 2
        left = (width - self.width_px) // 2
        return pad(picture, (-left, self.width_px - width + left, -above, self.height_px - height + above))


def _to_8_bit(values: Tensor) -> Tensor:
    """Round values of any range to uint8; works in place."""
    return values.add_(0.5).clamp_(0, 255).to(torch.uint8)

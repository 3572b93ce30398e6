"""What a CLIP sees of a picture: resized, cut at the centre, normalised, all on the device where the picture is.

Shape legend: n pictures; pictures uint8 [3, H, W] sRGB; S the side of what is seen, px (128 for the embedded CLIP, 224
for ViT-L/14).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

_MODES = {2: "bilinear", 3: "bicubic"}  # by Pillow's numbers, in which processors tell their filter
_STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")


@dataclass(frozen=True)
class ClipPreprocessor:
    """How pictures are brought to what a CLIP was trained on, by its folder's own settings.

    Attributes:
        short_px: Of a picture after it was resized.
        height_px: Of what is cut from its centre.
        width_px: Likewise.
        mode: The filter, which averages where it shrinks.
        scale: Makes the values what `mean` and `std` are of.
        mean: Of each channel.
        std: Likewise.
    """

    short_px: int
    height_px: int
    width_px: int
    mode: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_processor(cls, processor: Any) -> ClipPreprocessor:
        """Read the settings of a CLIP's image processor.

        Raises:
            ValueError: It does anything but resize the short side, cut, scale and normalise.
        """
        size, crop, mode = processor.size, processor.crop_size, _MODES.get(int(processor.resample))
        if mode is None or not all(getattr(processor, step) for step in _STEPS) or not size.get("shortest_edge"):
            raise ValueError(
                "expected an image processor that resizes the shortest edge bilinearly or bicubically, cuts "
                f"the centre, rescales and normalises, as CLIP's does; found {processor.to_json_string()}"
            )
        facts = (processor.rescale_factor, tuple(processor.image_mean), tuple(processor.image_std))
        return cls(size["shortest_edge"], crop["height"], crop["width"], mode, *facts)

    def preprocess(self, pictures: Sequence[Tensor]) -> Tensor:
        """Return what is seen of pictures of any sizes, float32 [n, 3, S, S]; resized ones are rounded to 8 bit."""
        seen = torch.stack([self._cut(self._resize(self._reduce(picture))) for picture in pictures]).float()
        mean, std = (torch.tensor(values, device=seen.device).view(-1, 1, 1) for values in (self.mean, self.std))
        return (seen * self.scale - mean) / std

    def _reduce(self, picture: Tensor) -> Tensor:
        """Shrink a large picture by a whole factor, to no less than twice what is seen: far cheaper than a filter."""
        factor = min(picture.shape[1:]) // (2 * self.short_px)
        if factor < 2:
            return picture
        values = picture.float().contiguous()  # of a picture in rows of pixels it takes twice as long
        return _to_8_bit(avg_pool2d(values, factor, ceil_mode=True, count_include_pad=False))

    def _resize(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[1:]
        long = int(self.short_px * max(height, width) / min(height, width))
        size = (self.short_px, long) if height <= width else (long, self.short_px)
        if size == (height, width):
            return picture
        batch = picture[None] if picture.device.type == "cpu" else picture[None].float()  # 8 bit are for CPUs only
        resized = interpolate(batch, size=size, mode=self.mode, antialias=True, align_corners=False)[0]
        return resized if resized.dtype == torch.uint8 else _to_8_bit(resized)

    def _cut(self, picture: Tensor) -> Tensor:
        """Cut the centre, in black where the picture is smaller."""
        height, width = picture.shape[1:]
        above, left = ((own - wanted) // 2 for own, wanted in ((height, self.height_px), (width, self.width_px)))
        return pad(picture, (-left, self.width_px - width + left, -above, self.height_px - height + above))


def _to_8_bit(picture: Tensor) -> Tensor:
    """Round values of any range, in place."""
    return picture.add_(0.5).clamp_(0, 255).to(torch.uint8)

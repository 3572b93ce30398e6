"""Crops of the corpus's pictures, as networks take them.

Shape legend: B batch, S side of a picture, px; pictures uint8 [S, S, 3] sRGB, crops -1..1.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from artbank.pretraining.networks import NATIVE_PX


def crop_images(
    images: Sequence[np.ndarray],
    picks: Tensor,
    size: int | tuple[int, int],
    generator: torch.Generator,
    *,
    window: tuple[int, int] | None = None,
) -> Tensor:
    """Cut random crops -1..1, mirrored half the time, from pictures uint8, each [S, S, 3].

    Args:
        images: The pictures, all of one size.
        picks: Numbers of the pictures to crop, [B].
        size: Side, or height and width, of the crops, px.
        generator: Draws places and mirroring.
        window: Height and width that a crop covers in the picture, px; `size` by default, else the crop is resized.

    Returns:
        [B, 3, height, width] float32.
    """
    height, width = (size, size) if isinstance(size, int) else size
    rows, columns = window or (height, width)
    side = images[0].shape[0]
    tops = torch.randint(side - rows + 1, (len(picks),), generator=generator).tolist()
    lefts = torch.randint(side - columns + 1, (len(picks),), generator=generator).tolist()
    mirrored = (torch.rand(len(picks), generator=generator) < 0.5).tolist()
    crops = []
    for pick, top, left, flip in zip(picks.tolist(), tops, lefts, mirrored, strict=True):
        crop = images[pick][top : top + rows, left : left + columns]
        if (rows, columns) != (height, width):
            crop = cv2.resize(np.ascontiguousarray(crop), (width, height), interpolation=cv2.INTER_AREA)
        crops.append(crop[:, ::-1] if flip else crop)
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1


def crop_near_whole(images: Sequence[np.ndarray], picks: Tensor, generator: torch.Generator) -> Tensor:
    """Cut one size of window for the batch, from 5/8 of a side to whole pictures, and resize it to the native size.

    Strokes get 0.7 to 1.1 times their size: pictures that are drawn at the native size are among what is seen.
    """
    side = images[0].shape[0]
    window = int(torch.randint(5 * side // 8, side + 1, (), generator=generator))
    return crop_images(images, picks, NATIVE_PX, generator, window=(window, window))

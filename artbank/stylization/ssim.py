"""Structural similarity of lumas on any device: what `images.similarity.ssim_luma`, the column `ssim`, is on the host.

Window, constants and the size of the comparison are taken from there. Nothing here is a convolution or a matrix
product, which a GPU may round to the 10 bits of TF32: a variance is a small difference of large numbers, and would be
lost.

Shape legend: pictures uint8 [3, H, W] sRGB; lumas [h, w] at the size of the comparison, at least 11 px or padded to it.

Source: Wang et al., "Image quality assessment", IEEE TIP 2004, with a Gaussian window of 11 px and sigma 1.5.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from artbank.diffusion.tensors import copy_to_device
from artbank.images.similarity import C1, C2, SIGMA_PX, WINDOW_PX, find_compared_size

_LUMA = (0.299, 0.587, 0.114)


def measure_ssim(picture: Tensor, photo: Tensor) -> Tensor:
    """Return the similarity, -1..1, of two pictures of one size, as a tensor without dimensions.

    Both are compared at no more than 1024 px a side: finer detail is brushwork, not structure.
    """
    first, second = _luma(picture), _luma(photo)
    total, difference = first + second, first - second  # see `images.similarity`
    maps = torch.stack([total, difference, total * total, difference * difference])  # [4, h, w]
    mean_sum, mean_difference, square_sum, square_difference = _blur(maps)
    squared_sum, squared_difference = mean_sum.square(), mean_difference.square()
    variance_sum, variance_difference = square_sum - squared_sum, square_difference - squared_difference
    likeness = (squared_sum - squared_difference + 2 * C1) * (variance_sum - variance_difference + 2 * C2)
    most = (squared_sum + squared_difference + 2 * C1) * (variance_sum + variance_difference + 2 * C2)
    return (likeness / most).mean()


def _luma(picture: Tensor) -> Tensor:
    """Return the luma [h, w], 0..1, in steps of 1/255; sides below the window are padded with their edge."""
    width, height = find_compared_size(*picture.shape[1:])
    shrunk = (_average(_average(picture.float(), width, 2), height, 1) + 0.5).floor()  # 8 bits, as on the host
    red, green, blue = (share * channel for share, channel in zip(_LUMA, shrunk, strict=True))
    luma = (red + green + blue).round() / 255
    below, right = (max(WINDOW_PX - side, 0) for side in luma.shape)
    return functional.pad(luma[None, None], (0, right, 0, below), mode="replicate")[0, 0]


def _average(pictures: Tensor, count: int, dim: int) -> Tensor:
    """Shrink pictures along a dimension to means over `count` equal stretches of it, which end between pixels."""
    side = pictures.shape[dim]
    if side == count:
        return pictures
    places, shares = _divide(side, count, pictures.device)  # each [K, count]
    shape = [count if axis == dim else 1 for axis in range(pictures.dim())]
    first, *others = (
        pictures.index_select(dim, indices).mul_(share.view(shape))
        for indices, share in zip(places, shares, strict=True)
    )
    for part in others:
        first.add_(part)
    return first


def _blur(maps: Tensor) -> Tensor:
    """Return the windowed means of maps [N, h, w] wherever the whole window lies within them."""
    for dim in (1, 2):
        count = maps.shape[dim] - WINDOW_PX + 1
        first, *others = (maps.narrow(dim, offset, count) for offset in range(WINDOW_PX))
        means = first * _list_weights()[0]
        for part, weight in zip(others, _list_weights()[1:], strict=True):
            means.add_(part, alpha=weight)
        maps = means
    return maps


@lru_cache(maxsize=32)
def _divide(side: int, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the pixels of a side that lie in each of `count` equal stretches, and the share of each in its mean.

    Returns:
        Numbers of pixels, and shares that sum to 1 for each stretch; both [K, count], K pixels at most in one.
    """
    length = side / count
    starts = torch.arange(count, dtype=torch.float64) * length
    most = math.ceil(length) + 1
    places = starts.floor() + torch.arange(most)[:, None]  # [K, count]
    covered = torch.minimum(places + 1, starts + length) - torch.maximum(places, starts)
    shares = (covered.clamp_min(0) / length).float()
    numbers = places.long().clamp_max(side - 1)
    return copy_to_device(numbers, device), copy_to_device(shares, device)


@cache
def _list_weights() -> tuple[float, ...]:
    """Return the Gaussian window along one side, 11 weights."""
    bell = [math.exp(-((offset - WINDOW_PX // 2) ** 2) / (2 * SIGMA_PX**2)) for offset in range(WINDOW_PX)]
    return tuple(weight / sum(bell) for weight in bell)

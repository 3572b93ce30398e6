"""Structural similarity of lumas on any device, equal to `images.similarity.ssim_luma` at the size of the pictures.

Shape legend: pictures uint8 [3, H, W] sRGB, H and W at least 11 px or padded to it.

Source: Wang et al., "Image quality assessment", IEEE TIP 2004, with a Gaussian window of 11 px and sigma 1.5.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from artbank.diffusion.tensors import copy_to_device

_WINDOW_PX = 11
_SIGMA_PX = 1.5
_LUMA = (0.299, 0.587, 0.114)
_C1 = 0.01**2
_C2 = 0.03**2


def measure_ssim(picture: Tensor, photo: Tensor) -> Tensor:
    """Return the similarity, -1..1, of two pictures of one size, as a tensor without dimensions."""
    lumas = torch.stack([_luma(picture), _luma(photo)])[:, None]  # [2, 1, H, W]
    first, second = lumas
    maps = torch.stack([first, second, first * first, second * second, first * second])
    mean_1, mean_2, square_1, square_2, product = _blur(maps)
    variance = square_1 - mean_1**2 + square_2 - mean_2**2
    covariance = product - mean_1 * mean_2
    likeness = (2 * mean_1 * mean_2 + _C1) * (2 * covariance + _C2)
    return (likeness / ((mean_1**2 + mean_2**2 + _C1) * (variance + _C2))).mean()


def _luma(picture: Tensor) -> Tensor:
    """Return the luma [H, W], 0..1, in steps of 1/255; sides below the window are padded with their edge."""
    luma = torch.einsum("c,chw->hw", _weights(picture.device), picture.float()).round() / 255
    below, right = (max(_WINDOW_PX - side, 0) for side in luma.shape)
    return functional.pad(luma[None, None], (0, right, 0, below), mode="replicate")[0, 0]


def _blur(maps: Tensor) -> Tensor:
    """Return the windowed means of maps [N, 1, H, W] wherever the whole window lies within them."""
    window = _window(maps.device)
    rows = functional.conv2d(maps, window.view(1, 1, -1, 1))
    return functional.conv2d(rows, window.view(1, 1, 1, -1))


@cache
def _weights(device: torch.device) -> Tensor:
    """Return the shares of red, green and blue in the luma, [3]."""
    return copy_to_device(torch.tensor(_LUMA), device)


@cache
def _window(device: torch.device) -> Tensor:
    """Return the Gaussian window along one side, [11]."""
    offsets = torch.arange(_WINDOW_PX, device=device) - _WINDOW_PX // 2
    window = torch.exp(-(offsets**2) / (2 * _SIGMA_PX**2))
    return window / window.sum()

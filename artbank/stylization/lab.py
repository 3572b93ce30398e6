"""CIE L*a*b* on any device.

Shape legend: pictures uint8 [..., 3, H, W] sRGB; Lab float32 [..., 3, H, W], L 0..100, white point D65.

Source: IEC 61966-2-1 (sRGB) and CIE 15:2004, section 8.2.1.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from artbank.diffusion.tensors import copy_to_device

_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.950456, 1.0, 1.088754)
_LINEAR_BELOW = 0.008856  # of Y / Yn
_SLOPE = 7.787
_OFFSET = 16 / 116


def to_lab(pictures: Tensor) -> Tensor:
    """Convert pictures to Lab."""
    linear = _linear_values(pictures.device).index_select(0, pictures.flatten().int()).view(pictures.shape)
    xyz = _mix(_matrix(pictures.device), linear)
    curve = torch.where(xyz > _LINEAR_BELOW, xyz.clamp_min(_LINEAR_BELOW) ** (1 / 3), _SLOPE * xyz + _OFFSET)
    x, y, z = curve.unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)


def from_lab(lab: Tensor) -> Tensor:
    """Convert Lab to pictures; colours that sRGB cannot show are clipped."""
    lightness, a, b = lab.unbind(-3)
    y = (lightness + 16) / 116
    curve = torch.stack([y + a / 500, y, y - b / 200], dim=-3)
    cubed = curve**3
    xyz = torch.where(cubed > _LINEAR_BELOW, cubed, (curve - _OFFSET) / _SLOPE)
    linear = _mix(_inverse(lab.device), xyz).clamp(0, 1)
    encoded = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp_min(1e-8) ** (1 / 2.4) - 0.055)
    return (encoded * 255).round().byte()


@cache
def _linear_values(device: torch.device) -> Tensor:
    """Return linear sRGB, 0..1, of the values 0..255 of a channel, [256]."""
    encoded = torch.arange(256, device=device) / 255
    return torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


@cache
def _matrix(device: torch.device) -> Tensor:
    """Return the matrix from linear sRGB to X, Y, Z over those of white."""
    return copy_to_device(torch.tensor(_TO_XYZ) / torch.tensor(_WHITE)[:, None], device)


@cache  # an inverse makes the host wait for the device
def _inverse(device: torch.device) -> Tensor:
    return torch.linalg.inv(_matrix(device))


def _mix(matrix: Tensor, channels: Tensor) -> Tensor:
    """Multiply a matrix [3, 3] by the channels of [..., 3, H, W]."""
    return torch.einsum("ij,...jhw->...ihw", matrix, channels)

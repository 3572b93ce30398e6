"""Pictures to the device and back: as 8 bit, which is a quarter of the bytes, and scaled where they are.

Shape legend: B pictures of one size; uint8 [B, H, W, 3] here, uint8 [B, 3, H, W] on a device; images are -1..1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def upload(pictures: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """Return pictures [H, W, 3] of one size on a device, as [B, 3, H, W]; a GPU gets them while this goes on."""
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return stacked.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else stacked.to(device)


def to_images(pictures: Tensor) -> Tensor:
    """Return pictures as images, float32."""
    return pictures.float() / 127.5 - 1


def to_8_bit(images: Tensor) -> Tensor:
    """Return images of about -1..1 as pictures; not finite becomes black."""
    return ((images.nan_to_num(-1, 1, -1).clamp(-1, 1) + 1) * 127.5).round().byte()


def download(pictures: Tensor) -> np.ndarray:
    """Return pictures of a device as [B, H, W, 3]."""
    rows = pictures.permute(0, 2, 3, 1).contiguous()
    if rows.device.type != "cuda":
        return rows.cpu().numpy()
    return torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True).copy_(rows).numpy()

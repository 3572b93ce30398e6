"""Copies between host and device, and between 8-bit pictures and the images of the model.

Pictures travel as 8 bit, which is a quarter of the bytes of float32, and are scaled on the device.

Shape legend: B pictures of one size; uint8 [B, H, W, 3] on the host, uint8 [B, 3, H, W] on a device; images are -1..1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor


def copy_to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device, if it is not there; on CUDA the copy is queued and the host does not wait for it."""
    if device.type != "cuda" or tensor.device.type == "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def upload(pictures: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """Copy pictures [H, W, 3] of one size to a device, as [B, 3, H, W]."""
    return copy_to_device(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), device)


def to_images(pictures: Tensor) -> Tensor:
    """Convert pictures to images, float32."""
    return pictures.float() / 127.5 - 1


def to_8_bit(images: Tensor) -> Tensor:
    """Convert images of about -1..1 to pictures; values that are not finite become black or white."""
    return ((images.nan_to_num(-1, 1, -1).clamp(-1, 1) + 1) * 127.5).round().byte()


def copy_to_host(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    """Copy tensors from their device to the host, which waits once for all of them."""
    return start_copying(tensors)()


def start_copying(tensors: Sequence[Tensor]) -> Callable[[], list[np.ndarray]]:
    """Start to copy tensors from their device to the host; the returned function waits for them and returns them.

    Args:
        tensors: One or more, of any shapes, on one device.
    """
    device = tensors[0].device
    if device.type != "cuda":
        return lambda: [tensor.cpu().numpy() for tensor in tensors]
    copies = [
        torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
        for tensor in tensors
    ]
    arrived = torch.cuda.current_stream(device).record_event()

    def wait() -> list[np.ndarray]:
        arrived.synchronize()
        return [copy.numpy() for copy in copies]

    return wait


def start_reading(values: Tensor) -> Callable[[], list[float]]:
    """Start to copy values [n] from their device; the returned function waits for the copy and returns them."""
    wait = start_copying([values])
    return lambda: wait()[0].tolist()

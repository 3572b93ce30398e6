"""The similarity that `keep_structure` asks for is that of the column `ssim`, on every device."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from artbank.images.similarity import ssim_luma
from artbank.mini.drawing.scenes import draw_scene
from artbank.stylization.ssim import measure_ssim
from artbank.stylization.structure import reach_similarity


class TF32(TorchDispatchMode):
    """Rounds what goes into convolutions and matrix products as the tensor cores of a GPU do, to 10 bits."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in ("convolution", "mm", "bmm", "addmm", "baddbmm"):
            args = tree_map(_round, args)
        return func(*args, **(kwargs or {}))


def _round(value: Any) -> Any:
    if not isinstance(value, Tensor) or value.dtype != torch.float32:
        return value
    return ((value.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def draw(seed: int, width_px: int, height_px: int) -> np.ndarray:
    scene = draw_scene(91_000_000 + seed, width_px=192, height_px=128).image
    return add_grain(cv2.resize(scene, (width_px, height_px), interpolation=cv2.INTER_CUBIC), 4, seed)


def add_grain(rgb: np.ndarray, spread: float, seed: int = 0) -> np.ndarray:
    """Return a picture with brushwork that is far finer than its shapes."""
    grain = np.random.default_rng(seed).normal(0, spread, rgb.shape)
    return np.clip(rgb + grain, 0, 255).astype(np.uint8)


def measure(picture: np.ndarray, photo: np.ndarray) -> float:
    return float(measure_ssim(*(torch.from_numpy(rgb).permute(2, 0, 1) for rgb in (picture, photo))))


@pytest.mark.parametrize("size", [(96, 64), (40, 9), (1024, 700), (1365, 768), (2048, 512), (800, 1600), (1030, 3)])
def test_it_is_that_of_the_rows(size: tuple[int, int]) -> None:
    first, second = draw(4, *size), draw(5, *size)
    for one, other in ((first, second), (first, first), (first, 255 - first), (add_grain(first, 30), first)):
        assert measure(one, other) == pytest.approx(ssim_luma(one, other), abs=1e-4)


def test_a_large_picture_is_held_by_its_shapes_and_not_by_its_brushwork() -> None:
    photo = draw(6, 1365, 768)
    picture = cv2.blur(add_grain(photo, 60), (3, 3))
    wanted = 0.02 + ssim_luma(picture, photo)
    held, weight, is_reached = reach_similarity(
        *(torch.from_numpy(rgb).permute(2, 0, 1) for rgb in (picture, photo)), wanted, 0.8
    )
    found = ssim_luma(held.permute(1, 2, 0).numpy(), photo)
    assert is_reached and 0 < float(weight) < 0.6
    assert wanted - 1e-3 <= found < wanted + 0.02, "no more of the photo's lightness than it takes"


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.02])
def test_it_bears_the_rounding_of_tensor_cores(scale: float) -> None:
    photo = (200 + scale * (draw(7, 256, 192).astype(float) - 128)).clip(0, 255).astype(np.uint8)  # plain, if faint
    picture = cv2.GaussianBlur(photo, (0, 0), 1.2)
    with TF32():
        found = measure(picture, photo)
    assert found == pytest.approx(ssim_luma(picture, photo), abs=1e-3)

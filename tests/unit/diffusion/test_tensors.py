from __future__ import annotations

import numpy as np
import torch

from artbank.diffusion.tensors import copy_to_host, start_reading, to_8_bit, to_images, upload

CPU = torch.device("cpu")


def test_pictures_survive_the_way_to_a_device_and_back() -> None:
    pictures = np.arange(2 * 8 * 16 * 3, dtype=np.uint8).reshape(2, 8, 16, 3)
    there = upload(list(pictures), CPU)
    assert there.dtype == torch.uint8 and there.shape == (2, 3, 8, 16)
    assert torch.equal(to_images(there)[0, 1], torch.from_numpy(pictures[0, ..., 1]) / 127.5 - 1)
    assert np.array_equal(to_8_bit(to_images(there)).permute(0, 2, 3, 1), pictures)


def test_what_is_not_finite_is_black_and_what_is_too_bright_is_white() -> None:
    values = torch.tensor([float("nan"), float("-inf"), float("inf"), -3.0, 3.0]).expand(1, 3, 1, 5)
    assert to_8_bit(values)[0, 0, 0].tolist() == [0, 0, 255, 0, 255]


def test_tensors_of_any_kind_come_to_the_host_together() -> None:
    pictures, flags, number = (
        torch.arange(12, dtype=torch.uint8).view(2, 2, 3),
        torch.tensor([True, False]),
        torch.ones(()),
    )
    found = copy_to_host([pictures, flags, number])
    assert [(own.shape, own.dtype) for own in found] == [((2, 2, 3), np.uint8), ((2,), bool), ((), np.float32)]
    assert np.array_equal(found[0].ravel(), np.arange(12)) and found[1].tolist() == [True, False] and found[2] == 1
    assert start_reading(torch.tensor([0.5, 2.0]))() == [0.5, 2.0]

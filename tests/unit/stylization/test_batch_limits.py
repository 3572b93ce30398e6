"""A batch that does not fit in memory is split, and how many photos fit is remembered for their size."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from artbank.bank.bank import Bank
from artbank.diffusion.base_model import BaseModel
from artbank.recipes import StylizeRecipe
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylized, Stylizer

MOST = 2
"""The photos that fit, where a picture is wider than 32 px."""


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all batches that were tried; there is memory for `MOST` photos."""
    sizes: list[int] = []
    encode = BaseModel.encode_images

    def encode_few(self: BaseModel, images: Tensor) -> tuple[Tensor, Tensor]:
        sizes.append(len(images))
        if len(images) > MOST and images.shape[-1] > 32:
            raise torch.OutOfMemoryError("out of memory")
        return encode(self, images)

    monkeypatch.setattr(BaseModel, "encode_images", encode_few)
    return sizes


@pytest.fixture(scope="module")
def stylizer(base: BaseModel, make_bank: Callable[..., Bank]) -> Stylizer:
    recipe = StylizeRecipe(steps=1, guidance=1, inversion="gaussian", resolution_px=32, colour="free", structure=0.0)
    return Stylizer(base, [Style("novak", ((make_bank(), 1.0),)), Style("alone")], recipe)


@pytest.fixture
def fresh(stylizer: Stylizer) -> Iterator[Stylizer]:
    """A stylizer that has seen no batch."""
    yield Stylizer(stylizer.base, stylizer.styles, stylizer.recipe)


def draw(stylizer: Stylizer, count: int, width_px: int = 64, styles: Sequence[str] = ("alone",)) -> list[Stylized]:
    rgb = np.full((32, width_px, 3), 90, np.uint8)
    photos = [stylizer.prepare(str(number), rgb) for number in range(count)]
    drawn = list(stylizer.stylize_batch(photos, styles))
    assert sorted((one.key, one.style) for one in drawn) == sorted((p.key, name) for p in photos for name in styles)
    assert all(one.rgb is not None for one in drawn)
    return drawn


def test_the_next_batches_begin_with_what_fits(
    fresh: Stylizer, attempts: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        drawn = draw(fresh, 8)
    assert [one.key for one in drawn] == list("01234567")
    assert attempts == [8, 4, 2, 2, 2, 2], "four photos are not tried again"
    attempts.clear()
    draw(fresh, 8, styles=("novak", "alone"))
    assert attempts == [2, 2, 2, 2]
    attempts.clear()
    draw(fresh, 3)
    assert attempts == [2, 1]
    assert [text.partition(":")[0] for text in caplog.messages] == [
        f"a batch of {count} pictures does not fit in memory" for count in (8, 4)
    ]


def test_photos_of_another_size_and_other_settings_of_one_model(fresh: Stylizer, attempts: list[int]) -> None:
    draw(fresh, 8)
    attempts.clear()
    draw(fresh, 8, width_px=32)
    assert attempts == [8], "smaller photos fit"
    attempts.clear()
    draw(fresh.with_settings(seed=1), 8)
    assert attempts == [2, 2, 2, 2], "another seed takes as much memory"


def test_what_was_drawn_before_memory_ran_out_is_not_drawn_again(
    fresh: Stylizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    decode: Any = BaseModel.decode_latents

    def decode_few(self: BaseModel, latents: Tensor) -> Tensor:
        decoded.append(len(latents))
        if decoded == [4, 4]:
            raise MemoryError
        return decode(self, latents)

    monkeypatch.setattr(BaseModel, "decode_latents", decode_few)
    draw(fresh, 4, styles=("novak", "alone"))
    assert decoded == [4, 4, 2, 2], "the first style is there, the second is drawn in two parts"

"""No more is kept of a prompt, and no prompt is encoded more often, than the recipe takes."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from artbank.bank.bank import Bank
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.prompted_network import PromptCache
from artbank.recipes import StylizeRecipe
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer


@pytest.fixture(scope="module")
def styles(make_bank: Callable[..., Bank]) -> list[Style]:
    return [Style(str(seed), ((make_bank(seed=seed), 1.0),)) for seed in range(3)]


def measure_cached() -> int:
    """Return the bytes of the keys and values of all prompts that are cached anywhere, ControlNets' too."""
    gc.collect()
    caches = [one for one in gc.get_objects() if isinstance(one, PromptCache)]
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for cache in caches
        for tensor in (tensor for pair in cache.pairs for tensor in pair)
    }
    return sum(storages.values())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 2 * 3),
        ({"guidance": 1.0}, 3),
        ({"inversion": "gaussian"}, 2 * 3),
        ({"inversion": "ddim"}, 2 * 3 + 1),
        ({"inversion": "ddim", "guidance": 1.0}, 3 + 1),
    ],
    ids=str,
)
def test_a_style_keeps_its_prompt_and_the_negative_one_where_steps_are_guided(
    base: BaseModel, styles: list[Style], settings: dict[str, Any], expected: int
) -> None:
    before = measure_cached()
    stylizer = Stylizer(base, styles, StylizeRecipe.model_validate({"guidance": 3.0, "colour": "free", **settings}))
    others = [stylizer.with_settings(seed=seed) for seed in (1, 2)]
    added = measure_cached() - before
    prompt = base.denoiser.cache_prompts(base.encode_prompts(["a hill"]))
    assert added == expected * sum(tensor.nbytes for pair in prompt.pairs for tensor in pair)
    assert len(others) == 2


@pytest.mark.parametrize("rows", [1, 3])
def test_the_last_prompts_of_a_cache_are_those_that_are_cached_alone(sdxl: BaseModel, rows: int) -> None:
    prompts = sdxl.encode_prompts(["a hill", "a harbour", "snow", "fog", "rain", "a road"][: 2 * rows])
    found = sdxl.denoiser.cache_prompts(prompts).last(rows)
    alone = sdxl.denoiser.cache_prompts(prompts[rows:])
    assert found.pooled is not None and alone.pooled is not None and torch.equal(found.pooled, alone.pooled)
    for own, other in zip(found.pairs, alone.pairs, strict=True):
        assert all(map(torch.equal, own, other))


def test_captions_are_encoded_once_without_a_style_and_once_in_each(
    base: BaseModel, styles: list[Style], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = StylizeRecipe(
        steps=1, photo_captions=True, resolution_px=32, colour="free", structure=0.0, inversion="ddim"
    )
    stylizer = Stylizer(base, styles, recipe)
    rgb = np.full((32, 32, 3), 90, np.uint8)
    photos = [replace(stylizer.prepare(key, rgb), caption=f"a boat {key}") for key in "ab"]
    encode = BaseModel.encode_prompts
    encoded: list[tuple[int, bool]] = []

    def note(self: BaseModel, prompts: Sequence[str], vectors: Tensor | None = None, *others: Any) -> Tensor:
        encoded.append((len(prompts), vectors is not None))
        return encode(self, prompts, vectors, *others)

    monkeypatch.setattr(BaseModel, "encode_prompts", note)
    assert all(one.error is None for one in stylizer.stylize(photos))
    assert encoded == [(2, False)] + [(2, True)] * 3

"""Banks for the two text encoders of an SDXL: trained together, resumed, continued, registered."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from artbank.bank.bank import Bank
from artbank.bank.checkpoint import TrainResult
from artbank.bank.dataset import LatentDataset, encode_dataset
from artbank.bank.train_state import TrainState
from artbank.bank.trainable_bank import TrainableBank
from artbank.bank.trainer import train
from artbank.catalog.album import ALBUM
from artbank.catalog.bank_files import CARD, file_key, load_bank
from artbank.diffusion.base_model import BaseModel
from artbank.errors import BankError
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.store.objects import Store
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer
from tests.support.bank_training import train_one
from tests.support.joint_training import succeed
from tests.support.memory_checkpoint import Killed, Memory
from tests.support.small_inputs import add_collection, train_all, training

RECIPE = BankRecipe(num_tokens=2, max_steps=4, batch_size=2, num_crops=2, validate_every=2, learning_rate=0.1)


@pytest.fixture(scope="module")
def views(sdxl: BaseModel) -> list[tuple[LatentDataset, LatentDataset]]:
    """Crops of two collections, to learn from and held out."""
    pictures = [draw_scene(80_000_000 + i, width_px=96, height_px=80).image for i in range(4)]
    both = [encode_dataset(sdxl, [picture], ["a house"], RECIPE) for picture in pictures]
    return [(both[0], both[1]), (both[2], both[3])]


def make_bank(base: BaseModel, end: TrainResult) -> Bank:
    facts = {"training_state": end.state, "units": end.units, "family": "sdxl", "encoders": base.text_widths}
    return dataclasses.replace(Bank("0" * 16, "monet", base.id, base.hash, "f", RECIPE, end.vectors), **facts)


def test_crops_know_the_size_of_their_artwork_and_their_place_in_it(views: list[tuple[LatentDataset, ...]]) -> None:
    whole, mirrored, zoomed = views[0][0].sizes[:3].tolist()
    assert whole == mirrored == [80, 96, 0, 6, 64, 64]  # the centre of 64 x 77 px
    assert zoomed[:2] == [80, 96] and zoomed[4:] == [64, 64] and zoomed[2:4] != [0, 6]


def test_banks_trained_together_equal_those_trained_alone_and_one_that_was_killed_has_the_same_bits(
    sdxl: BaseModel, views: list[tuple[LatentDataset, LatentDataset]]
) -> None:
    def open_bank(number: int) -> TrainState:
        return TrainState(sdxl, *views[number], RECIPE, f"bank {number}")

    alone = [train_one(open_bank(number)) for number in (0, 1)]
    for found, expected in zip(succeed(train([open_bank(0), open_bank(1)])), alone, strict=True):
        assert torch.allclose(found.vectors, expected.vectors, rtol=1e-3, atol=1e-4)
        start = TrainableBank.start(RECIPE, sdxl)().detach()
        changes = (expected.vectors - start).split([24, 40], dim=1)
        assert all(change.abs().max() > 1e-3 for change in changes), "both text encoders learn"

    def die(step: int, steps: int, loss: float) -> None:
        if step == 3:
            raise Killed

    keeper = Memory()
    with pytest.raises(Killed):
        train_one(open_bank(0), keeper, checkpoint_every=2, on_step=die)
    resumed = train_one(open_bank(0), keeper, checkpoint_every=2)
    assert torch.equal(resumed.vectors, alone[0].vectors)
    bank = Bank.from_bytes(make_bank(sdxl, resumed).to_bytes())
    next_one = TrainableBank.start(RECIPE.model_copy(update={"seed": 1}), sdxl)
    next_one.continue_from(bank)
    assert torch.equal(next_one().detach(), bank.vectors)


def test_each_text_encoder_has_an_attention_of_its_own(sdxl: BaseModel) -> None:
    bank = TrainableBank.start(RECIPE, sdxl)
    before = bank().detach().split([24, 40], dim=1)
    bank.attention.each[1].spatial_gate.data.fill_(0.5)
    after = bank().detach().split([24, 40], dim=1)
    assert torch.equal(before[0], after[0]) and not torch.allclose(before[1], after[1], atol=1e-3)
    sizes = [part.square().mean().sqrt().item() for part in before]
    assert sizes == pytest.approx([0.3 * unit for unit in bank.units], rel=0.1)


@pytest.mark.parametrize("preset", ["balanced", "faithful", "bold", "fast", "paper", "exact"])
def test_every_preset_draws_photos_of_any_aspect(
    sdxl: BaseModel, views: list[tuple[LatentDataset, LatentDataset]], preset: str
) -> None:
    end = TrainState(sdxl, *views[0], RECIPE, "a bank").finish()
    style = Style("monet", ((make_bank(sdxl, end), 1.0),))
    steps = {} if preset == "paper" else {"steps": 3}
    recipe = StylizeRecipe.model_validate({"preset": preset, "colour": "free", **steps})
    if preset == "paper":
        recipe = recipe.model_copy(update={"steps": 3})
    stylizer = Stylizer(sdxl, [style], recipe)
    rng = np.random.default_rng(0)
    photos = [stylizer.prepare(f"{w}", rng.integers(0, 256, (60, w, 3), np.uint8)) for w in (60, 240)]
    assert [photo.frame.size_px for photo in photos] == [(64, 64), (128, 32)]  # the same area
    assert [photo.bucket for photo in photos] == [(64, 64), (128, 64)]
    drawn = {one.key: one.rgb for one in stylizer.stylize(photos)}
    shapes = {key: None if rgb is None else rgb.shape for key, rgb in drawn.items()}
    assert shapes == {"60": (64, 64, 3), "240": (32, 128, 3)}


def test_a_bank_for_one_text_encoder_does_not_fit(sdxl: BaseModel) -> None:
    bank = Bank("0" * 16, "monet", "sd", sdxl.hash, "f", BankRecipe(num_tokens=2), torch.zeros(2, 64))
    with pytest.raises(BankError, match=r"expected vectors of width 24 \(clip_l\) and 40 \(clip_g\) .* found 64"):
        bank.check_fits(sdxl)


def test_a_collection_trained_on_an_sdxl_is_registered_with_both_widths(tiny_sdxl: Path, tmp_path: Path) -> None:
    gallery = str(tmp_path / "gallery")
    add_collection(Store.open(gallery), "novak", count=3)
    model = {"base_model": str(tiny_sdxl), "scorer": "mini", "num_milestones": 2}
    config = training(gallery, str(tmp_path / "store"), recipe=RECIPE, **model)
    [record] = train_all(config)
    assert (record.kind, record.base_family, record.width, record.encoder_widths) == ("tokens", "sdxl", 64, [24, 40])
    store = Store.open(config.store_uri)
    assert list(load_bank(store, record).tensors) == ["clip_l", "clip_g"]
    assert b'"words"' in store.read(file_key(record, ALBUM))
    assert "24 and 40" in store.read(file_key(record, CARD)).decode()

"""Milestones of a training are bounded, the same after a resume, and do not change the bank."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from artbank.bank.bank import Bank
from artbank.bank.checkpoint import Checkpoint, choose_milestones
from artbank.bank.dataset import LatentDataset, encode_dataset
from artbank.bank.train_state import TrainState
from artbank.catalog.album import ALBUM, COVER, Album
from artbank.catalog.bank_files import file_key, load_reference
from artbank.diffusion.base_model import BaseModel
from artbank.errors import TrainingError
from artbank.gallery import samples
from artbank.gallery.samples import SampleDrawer
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.scoring.clip import Scorer
from artbank.scoring.spread import ScoreBounds
from artbank.scoring.style_reference import measure_reference
from artbank.store.objects import Store
from artbank.stylization.controls import NO_CONTROLS, Controls
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer
from tests.support.bank_training import train_one
from tests.support.controlnets import load
from tests.support.memory_checkpoint import Killed, Memory
from tests.support.small_inputs import add_collection, train_all, training

RECIPE = BankRecipe(num_tokens=2, max_steps=5, batch_size=1, num_crops=1, resolution_px=32, validate_every=1)
SMALL = StylizeRecipe(preset="fast", resolution_px=32, steps=4)
MOST = 3  # of the 6 validations above


@pytest.fixture(scope="module")
def views(base: BaseModel) -> tuple[LatentDataset, LatentDataset]:
    pictures = [draw_scene(81_000_000 + i, width_px=48, height_px=40).image for i in range(3)]
    return encode_dataset(base, pictures[:2], [None] * 2, RECIPE), encode_dataset(base, pictures[2:], [None], RECIPE)


def open_training(base: BaseModel, views: tuple[LatentDataset, LatentDataset], most: int = MOST) -> TrainState:
    return TrainState(base, *views, RECIPE, "a bank", num_milestones=most)


def run_twice(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset], keeper: Memory, *, killed_at: int
) -> TrainState:
    """Kill a training after a step and return another one that has gone on from its checkpoint."""

    def die(step: int, steps: int, loss: float) -> None:
        if step == killed_at:
            raise Killed

    with pytest.raises(Killed):
        train_one(open_training(base, views), keeper, checkpoint_every=1, on_step=die)
    return open_training(base, views)


@given(num_validated=st.integers(1, 400), most=st.integers(1, 32))
def test_milestones_are_few_evenly_spread_and_never_come_back(num_validated: int, most: int) -> None:
    validated = [25 * number for number in range(num_validated)]
    chosen, earlier = choose_milestones(validated, most), choose_milestones(validated[:-1], most)
    assert chosen[0] == 0 and min(num_validated, (most + 1) // 2) <= len(chosen) <= most
    assert len({after - before for before, after in zip(chosen, chosen[1:], strict=False)}) <= 1
    assert set(chosen) <= {*earlier, validated[-1]}


def test_a_resumed_training_has_the_milestones_of_one_that_was_not_killed(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset]
) -> None:
    whole, keeper = train_one(open_training(base, views)), Memory()
    resumed = train_one(run_twice(base, views, keeper, killed_at=4), keeper, checkpoint_every=1)
    assert list(whole.milestones) == list(resumed.milestones) == [0, 2, 4]
    assert all(torch.equal(vectors, resumed.milestones[step]) for step, vectors in whole.milestones.items())
    assert not torch.equal(whole.milestones[0], whole.milestones[4])


def test_a_bank_has_the_same_bits_with_and_without_milestones(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset]
) -> None:
    kept, plain = train_one(open_training(base, views)), train_one(open_training(base, views, 0))
    assert kept.milestones and not plain.milestones
    assert torch.equal(kept.vectors, plain.vectors)
    assert all(torch.equal(kept.state[name], plain.state[name]) for name in plain.state)
    assert (kept.history.train, kept.history.validation) == (plain.history.train, plain.history.validation)


def test_a_checkpoint_of_an_older_version_is_resumed_from_with_the_milestones_that_are_left(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset]
) -> None:
    whole, keeper = train_one(open_training(base, views)), Memory()
    again = run_twice(base, views, keeper, killed_at=3)
    kept = Checkpoint.from_bytes(keeper.data or b"", "a bank")
    older = safetensors.torch.load(dataclasses.replace(kept, milestones={}).to_bytes())
    assert kept.milestones and not [name for name in older if name.startswith("milestone")]
    keeper.data = dataclasses.replace(kept, milestones={}).to_bytes()
    resumed = train_one(again, keeper, checkpoint_every=1)
    assert list(resumed.milestones) == [4]
    assert torch.equal(resumed.vectors, whole.vectors)


@pytest.mark.parametrize("milestones", [{2: torch.zeros(3, 3)}, {99: torch.zeros(2, 192)}])
def test_a_checkpoint_with_milestones_that_make_no_sense_says_so(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset], milestones: dict[int, torch.Tensor]
) -> None:
    training = open_training(base, views)
    training.record_validation(1.0)
    kept = Checkpoint.from_bytes(training.checkpoint(), "a bank")
    with pytest.raises(TrainingError, match="milestones"):
        training.restore(dataclasses.replace(kept, milestones=milestones).to_bytes())


@pytest.mark.usefixtures("full_samples")
def test_every_milestone_is_drawn_on_the_same_photographs_and_the_best_step_is_the_finished_bank(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MILESTONE_RECIPE", SMALL)
    trained = train_one(open_training(base, views))
    best = trained.history.best[0]
    bank = Bank("0" * 16, "Novak", base.id, base.hash, "f", RECIPE, trained.vectors, metrics={"best_step": best})
    scorer = Scorer.load("mini", base.device)
    artworks = [draw_scene(81_000_000 + i, width_px=48, height_px=40).image for i in range(2)]
    reference = measure_reference(scorer, "Novak", artworks[:1], artworks[1:])
    drawer = SampleDrawer(base, scorer)
    found = drawer.draw_milestones(bank, reference, trained.milestones)
    assert list(found) == sorted({0, 2, 4, best})
    [alone] = drawer.draw_samples([bank], reference, 1)
    assert all(own.subjects == found[0].subjects and len(own.pictures) == 2 for own in found.values())
    assert (found[0].photos[0] == alone.photos[0]).all()
    first, last = (found[step].pictures[0].astype(int) for step in (0, 4))
    assert abs(first - last).max() > 0
    assert drawer.draw_milestones(bank, reference, {}) == {}
    style = Style(str(list(found).index(best)), ((bank, 1.0),), reference.palette)

    def differ(controls: Controls) -> int:
        stylizer = Stylizer(base, [style], SMALL, controls)
        [picture] = stylizer.stylize([stylizer.prepare("0", found[best].photos[0])])
        assert picture.rgb is not None
        return abs(found[best].pictures[0].astype(int) - picture.rgb).max()

    assert differ(load(base, "gray=mini:0.7")) <= 1, "as `artbank stylize` draws"
    assert differ(NO_CONTROLS) > 30


@pytest.mark.usefixtures("full_samples")
def test_a_training_leaves_an_album_whose_every_picture_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MILESTONE_RECIPE", SMALL)
    store = Store.open(str(tmp_path / "store"))
    add_collection(Store.open(str(tmp_path / "gallery")), "novak")
    config = training(str(tmp_path / "gallery"), store.uri, num_milestones=2)
    [record] = train_all(config)
    assert record.clip_style is not None and record.clip_style_recoloured not in (None, record.clip_style_floor)
    bounds = ScoreBounds(record.clip_style_recoloured, load_reference(store, record).ceiling)
    assert record.gain_beyond_colours == bounds.gain(record.clip_style)
    album = Album.from_bytes(store.read(file_key(record, ALBUM)))
    assert {milestone.step for milestone in album.milestones} >= {0} and len(album.milestones) in (2, 3)
    drawn = [shown for milestone in album.milestones for shown in milestone.pictures]
    shown = [*album.artworks, *album.photos, *drawn, *(s.photo for s in album.samples), album.samples[0].picture]
    assert all(store.exists(file_key(record, one.file)) for one in shown)
    assert store.exists(file_key(record, COVER))
    assert [artwork.text for artwork in album.artworks] == [f"novak/{i}.png" for i in range(4)]
    assert (album.num_held_out, sum(artwork.is_held_out for artwork in album.artworks)) == (1, 1)
    assert len(album.contents or {}) == 4 and len(set((album.contents or {}).values())) == 4
    assert [note.kind for note in album.notes] == ["few"] and album.notes[0].message == record.warnings[0]
    assert [len(words) for words in album.words] == [5] * 2

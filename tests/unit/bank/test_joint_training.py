"""Banks that are trained in the same batches come to what each comes to alone.

Tolerances are for float32: sums of other sizes round otherwise, and AdamW passes that on to what has tiny gradients.
"""

from __future__ import annotations

import dataclasses

import pytest

from artbank.bank.call_size import MICRO_BATCH_SIZES
from artbank.bank.dataset import LatentDataset
from artbank.bank.train_state import TrainState
from artbank.bank.trainer import train
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.compilation import Compiler
from tests.support.bank_training import train_one
from tests.support.joint_training import (
    RECIPE,
    TrainAlone,
    assert_same,
    open_all,
    succeed,
    vary,
    watch_sizes,
)
from tests.support.memory_checkpoint import Killed, Memory


@pytest.mark.parametrize("attention", ["ssam", "none", "self", "released"])
def test_banks_trained_together_equal_those_trained_alone(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]], train_alone: TrainAlone, attention: str
) -> None:
    recipe = vary(attention=attention)
    alone = train_alone(recipe)
    together = succeed(train(open_all(base, views, recipe)))
    assert max(one.history.best[0] for one in alone) > 0
    for found, expected in zip(together, alone, strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("attention", ["ssam", "none"])
def test_a_bank_that_ends_early_leaves_the_others_as_they_are_alone(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]], train_alone: TrainAlone, attention: str
) -> None:
    hasty = vary(attention=attention, patience=1, validate_every=1, learning_rate=0.5)
    recipes = (vary(attention=attention), hasty, vary(attention=attention, max_steps=3))
    alone = train_alone(*recipes)
    together = succeed(train(open_all(base, views, *recipes)))
    assert len(alone[1].history.train) < 6  # by patience; the third by its number of steps
    for found, expected in zip(together, alone, strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("attention", ["ssam", "none"])
def test_banks_resumed_at_other_steps_than_the_others_equal_those_trained_alone(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]], train_alone: TrainAlone, attention: str
) -> None:
    recipe = vary(attention=attention)
    alone = train_alone(recipe)
    keepers = [Memory(checkpoint_at(training, place)) for place, training in enumerate(open_all(base, views, recipe))]
    members = open_all(base, views, recipe)
    together = succeed(train(members, keepers))
    for found, expected in zip(together, alone, strict=True):
        assert_same(found, expected)


def checkpoint_at(training: TrainState, step: int) -> bytes:
    """Return the checkpoint of a training that is killed after a step."""
    keeper = Memory()

    def die(done: int, most: int, loss: float) -> None:
        if keeper.saved:
            raise Killed

    if step == 0:
        return training.checkpoint()
    with pytest.raises(Killed):
        train_one(training, keeper, checkpoint_every=step, on_step=die)
    assert keeper.data
    return keeper.data


def test_banks_that_are_killed_together_go_on_together(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]], train_alone: TrainAlone
) -> None:
    recipes = (RECIPE, vary(max_steps=2), RECIPE)
    alone = train_alone(*recipes)
    keepers = [Memory() for _ in views]

    def die(done: int, most: int, loss: float) -> None:
        if done == 12:
            raise Killed

    with pytest.raises(Killed):
        train(open_all(base, views, *recipes), keepers, checkpoint_every=3, on_step=die)
    assert [keeper.saved for keeper in keepers] == [1, 1, 1]  # the second as it ended, while the others went on
    members = open_all(base, views, *recipes)
    together = succeed(train(members, keepers, checkpoint_every=3))
    for found, expected in zip(together, alone, strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize(("most", "met"), [(4, {4}), (32, {16, 32})])
def test_a_compiled_model_meets_few_numbers_of_samples(
    base: BaseModel,
    views: list[tuple[LatentDataset, LatentDataset]],
    train_alone: TrainAlone,
    most: int,
    met: set[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = train_alone(RECIPE)
    monkeypatch.setitem(MICRO_BATCH_SIZES, "cpu", most)
    sizes = watch_sizes(monkeypatch)
    compiled = dataclasses.replace(base, compiler=Compiler("on"))
    vars(compiled)["denoiser"] = base.denoiser  # to compile it takes minutes, and changes no number of samples
    together = succeed(train(open_all(compiled, views, RECIPE)))
    assert set(sizes) == met
    for found, expected in zip(together, alone, strict=True):
        assert_same(found, expected)

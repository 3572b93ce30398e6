"""A trainer's checkpoints, stops, errors and progress: each bank fails for itself, and nothing broken is kept."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from artbank.bank import trainer
from artbank.bank.dataset import LatentDataset
from artbank.bank.train_state import TrainState
from artbank.bank.trainer import Trainer, train
from artbank.diffusion.base_model import BaseModel
from artbank.errors import StopRequested, TrainingError
from artbank.runtime.stages import take_stops
from tests.support.bank_training import train_one
from tests.support.joint_training import (
    RECIPE,
    TrainAlone,
    assert_same,
    open_all,
    succeed,
    vary,
)
from tests.support.memory_checkpoint import Memory


@pytest.mark.parametrize("stopped_at", [1, 2, 4, 5])  # before, at and after validations, which are every 2 steps
def test_a_training_that_is_asked_to_stop_keeps_its_step_and_ends_in_the_same_bits(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]], train_alone: TrainAlone, stopped_at: int
) -> None:
    memory = Memory()

    def stop(done: int, total: int, loss: float) -> None:
        if done == stopped_at:
            raise StopRequested("asked to stop")

    take_stops()
    with pytest.raises(StopRequested):
        train_one(TrainState(base, *views[0], RECIPE, "alone"), memory, on_step=stop)
    taken = min(stopped_at + 1, RECIPE.max_steps)  # a step's loss is read while the next one runs
    assert take_stops() in ([f"stopped at step {stopped_at}, kept"], [f"stopped at step {taken}, kept"])
    assert memory.saved == 1 and memory.data is not None
    resumed = train_one(TrainState(base, *views[0], RECIPE, "alone"), memory)
    [whole] = train_alone(RECIPE)[:1]
    assert torch.equal(resumed.vectors, whole.vectors)
    assert (resumed.history.train, resumed.history.validation) == (whole.history.train, whole.history.validation)


def test_a_stop_at_a_store_that_fails_ends_the_training_all_the_same(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]]
) -> None:
    class Broken(Memory):
        def save(self, data: bytes) -> None:
            raise OSError("the store is gone")

    def stop(*_: object) -> None:
        raise StopRequested("asked to stop")

    take_stops()
    with pytest.raises(StopRequested):
        train_one(TrainState(base, *views[0], RECIPE, "alone"), Broken(), on_step=stop)
    assert take_stops() == ["stopped at step 2, kept up to the last checkpoint"]


@pytest.mark.parametrize(("seconds", "num_saved"), [(0.0, RECIPE.max_steps), (1e9, 0)])
def test_a_checkpoint_is_also_written_by_time_and_changes_nothing(
    base: BaseModel,
    views: list[tuple[LatentDataset, LatentDataset]],
    train_alone: TrainAlone,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    num_saved: int,
) -> None:
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", seconds)
    memory = Memory()
    kept = train_one(TrainState(base, *views[0], RECIPE, "alone"), memory)
    assert memory.saved == num_saved
    assert torch.equal(kept.vectors, train_alone(RECIPE)[0].vectors)


@pytest.mark.parametrize("checkpoint_every", [1, 2, 3, 4])
def test_a_loss_that_is_not_finite_ends_its_bank_alone_and_nothing_broken_is_kept(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]], train_alone: TrainAlone, checkpoint_every: int
) -> None:
    alone = train_alone(RECIPE)
    members, keepers, gradients = open_all(base, views, RECIPE), [Memory() for _ in views], []

    def break_third(gradient: Tensor) -> Tensor:
        gradients.append(gradient)
        return gradient * float("inf") if len(gradients) == 3 else gradient

    members[1].bank.vectors.register_hook(break_third)
    first, broken, last = train(members, keepers, checkpoint_every=checkpoint_every)
    assert isinstance(broken, TrainingError)
    assert str(broken).endswith(f"at step 3; lower learning_rate (now {RECIPE.learning_rate}) or use dtype=float32")
    for found, expected in zip(succeed([first, last]), (alone[0], alone[2]), strict=True):
        assert_same(found, expected)
    if keepers[1].data is not None:
        members[1].restore(keepers[1].data)
        assert members[1].step <= 2


def test_a_bank_that_somebody_else_has_taken_over_ends_alone(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]], train_alone: TrainAlone
) -> None:
    alone = train_alone(RECIPE)
    members, keepers = open_all(base, views, RECIPE), [Memory() for _ in views]
    ends = train(members, keepers, checkpoint_every=4, is_lost=lambda bank: bank == "bank 1" and members[1].step == 3)
    assert isinstance(ends[1], TrainingError) and "another process has taken it over" in str(ends[1])
    assert (members[1].step, keepers[1].saved) == (3, 0)
    for found, expected in zip(succeed([ends[0], ends[2]]), (alone[0], alone[2]), strict=True):
        assert_same(found, expected)
    assert isinstance(train(open_all(base, views[:1], RECIPE), is_lost=lambda _: True)[0], TrainingError)


def test_a_damaged_checkpoint_ends_its_bank_alone(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]]
) -> None:
    keepers = [None, Memory(b"\0" * 40), None]
    first, broken, last = train(open_all(base, views, RECIPE), keepers)
    assert isinstance(broken, TrainingError) and "delete it to start anew" in str(broken)
    assert len(succeed([first, last])) == 2
    assert isinstance(train(open_all(base, views[:1], RECIPE), keepers[1:2])[0], TrainingError)


def test_progress_counts_the_steps_of_all_banks_and_what_ended_early_is_no_longer_awaited(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]]
) -> None:
    told: list[tuple[int, int, float]] = []
    members = open_all(base, views, RECIPE, vary(patience=1, validate_every=1, learning_rate=0.5))
    ends = succeed(train(members, on_step=lambda *facts: told.append(facts)))
    taken = [len(end.history.train) for end in ends]
    assert taken[1] < 6
    assert [done for done, _, _ in told] == [sum(min(step, most) for most in taken) for step in range(1, 7)]
    assert (told[0][1], told[-1][1]) == (18, sum(taken))
    assert told[0][2] == pytest.approx(sum(end.history.train[0] for end in ends) / 3)


def test_banks_share_the_time(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, optimizer_step = [0.0], TrainState.optimizer_step

    def take_a_second(self: TrainState) -> None:
        now[0] += 1.0
        optimizer_step(self)

    monkeypatch.setattr(TrainState, "optimizer_step", take_a_second)
    monkeypatch.setattr("artbank.bank.trainer.time", SimpleNamespace(monotonic=lambda: now[0]))
    ends = succeed(train(open_all(base, views, RECIPE, vary(max_steps=1))))
    assert [end.history.seconds for end in ends] == pytest.approx([6.0, 1.0, 6.0])


def test_the_compiler_knows_the_steps_of_all_banks_that_are_left(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]]
) -> None:
    ahead: list[float] = []
    together = Trainer(open_all(base, views[:2], vary(max_steps=2), RECIPE))
    together.resume()
    while together.active:
        together.step()
        ahead.append(base.compiler.calls_ahead)
    assert ahead == [6 / 2, 4 / 4, 3 / 5, 2 / 6, 1 / 7, 0], "of 8 steps; the last four are those of one bank"

"""Banks that are trained in the same batches come to what each comes to alone, and fail each for itself.

Tolerances are for float32: sums of other sizes round otherwise, and AdamW passes that on to what has tiny gradients.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from artbank.bank import trainer
from artbank.bank.call_size import MICRO_BATCH_SIZES
from artbank.bank.checkpoint import TrainResult
from artbank.bank.dataset import LatentDataset, encode_dataset
from artbank.bank.loss import backward_losses, diffusion_loss
from artbank.bank.train_state import TrainState
from artbank.bank.trainable_bank import forward_banks
from artbank.bank.trainer import train
from artbank.diffusion.base_model import BaseModel
from artbank.errors import StopRequested, TrainingError
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import BankRecipe
from artbank.runtime.stages import take_stops
from tests.support.bank_training import train_one
from tests.support.memory_checkpoint import Killed, Memory

RECIPE = BankRecipe(num_tokens=2, max_steps=6, batch_size=3, num_crops=1, resolution_px=32, validate_every=2)
CAPTIONS = (
    ("a house", "a long caption of a lake, with trees, two boats and a tower behind it", None),
    (None, None, None),
    ("a cat", "a dog", "a horse in a field"),
)
TrainAlone = Callable[..., list[TrainResult]]
OF_LOSSES, OF_VECTORS = 1e-5, 1e-3  # of a loss itself; of the spread of a bank's vectors


@pytest.fixture(scope="module")
def views(base: BaseModel) -> list[tuple[LatentDataset, LatentDataset]]:
    """Learned and held-out views of three collections."""
    return [show(base, 80_000_000 + 10 * number, said) for number, said in enumerate(CAPTIONS)]


@pytest.fixture(scope="module")
def train_alone(base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]]) -> TrainAlone:
    """Trains one bank a collection, each alone; by the recipes in turn."""

    @cache
    def train(number: int, recipe: BankRecipe) -> TrainResult:
        return train_one(TrainState(base, *views[number], recipe, "alone"))

    return lambda *recipes: [train(i, recipes[i % len(recipes)]) for i in range(len(views))]


def show(base: BaseModel, seed: int, captions: Sequence[str | None]) -> tuple[LatentDataset, LatentDataset]:
    pictures = [draw_scene(seed + i, width_px=48, height_px=40).image for i in range(4)]
    return encode_dataset(base, pictures[:3], captions, RECIPE), encode_dataset(
        base, pictures[3:], captions[:1], RECIPE
    )


def open_all(
    base: BaseModel, views: Sequence[tuple[LatentDataset, LatentDataset]], *recipes: BankRecipe
) -> list[TrainState]:
    """Open one training a collection, by the recipes in turn."""
    return [TrainState(base, *own, recipes[i % len(recipes)], f"bank {i}") for i, own in enumerate(views)]


def vary(**values: Any) -> BankRecipe:
    return RECIPE.model_copy(update=values)


def succeed(ends: Sequence[TrainResult | TrainingError]) -> list[TrainResult]:
    assert all(isinstance(end, TrainResult) for end in ends), ends
    return [end for end in ends if isinstance(end, TrainResult)]


def assert_same(found: TrainResult, alone: TrainResult) -> None:
    assert len(found.history.train) == len(alone.history.train)
    assert found.history.train == pytest.approx(alone.history.train, rel=OF_LOSSES)
    assert [step for step, _ in found.history.validation] == [step for step, _ in alone.history.validation]
    losses = [loss for _, loss in alone.history.validation]
    assert [loss for _, loss in found.history.validation] == pytest.approx(losses, rel=OF_LOSSES)
    assert found.history.best[0] == alone.history.best[0]
    assert spread(found.vectors - alone.vectors) < OF_VECTORS * spread(alone.vectors)


def spread(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


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


@pytest.mark.parametrize("gamma", [None, 5.0])
def test_gradients_among_others_are_those_of_each_banks_own_mean_loss(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]], gamma: float | None
) -> None:
    recipes = [vary(batch_size=size, min_snr_gamma=gamma) for size in (3, 1, 4)]
    found = learn_once(base, open_all(base, views, *recipes), gamma)
    losses, gradients = [], []
    for member in open_gates(open_all(base, views, *recipes)):
        batch = member.draw_batch()
        prompts = base.encode_prompts(batch.prompts, member.bank())
        loss = diffusion_loss(base, batch.latents, batch.noise, batch.timesteps, prompts, gamma).mean()
        loss.backward()
        losses.append(loss.detach())
        gradients += [p.grad.flatten() for p in member.bank.parameters() if p.grad is not None]
    assert torch.allclose(found, torch.cat([torch.stack(losses), *gradients]), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("most", [1, 4, 5, 100])
def test_gradients_do_not_depend_on_how_many_samples_go_through_at_once(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = learn_once(base, open_all(base, views, RECIPE))
    monkeypatch.setitem(MICRO_BATCH_SIZES, "cpu", most)
    sizes = watch_sizes(monkeypatch)
    found = learn_once(base, open_all(base, views, RECIPE))
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert sum(sizes) == 9 and max(sizes) == {1: 1, 4: 3, 5: 5, 100: 9}[most]


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
    compiled = dataclasses.replace(base, compile_after=0)
    vars(compiled)["denoiser"] = base.denoiser  # to compile it takes minutes, and changes no number of samples
    together = succeed(train(open_all(compiled, views, RECIPE)))
    assert set(sizes) == met
    for found, expected in zip(together, alone, strict=True):
        assert_same(found, expected)


def test_each_step_and_each_validation_encodes_every_banks_distinct_prompts_in_one_call(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[tuple[str, int]]] = []
    encode = BaseModel.encode_prompts

    def watch(self: BaseModel, prompts: Any, vectors: Any, places: Any) -> Tensor:
        calls.append(list(zip(prompts, places, strict=True)))
        return encode(self, prompts, vectors, places)

    monkeypatch.setattr(BaseModel, "encode_prompts", watch)
    train(open_all(base, views, vary(batch_size=8)))
    assert len(calls) == 1 + 6 + 3
    assert all(len(set(call)) == len(call) and {place for _, place in call} == {0, 1, 2} for call in calls)
    assert [len(call) for call in calls].count(3) >= 4  # a validation asks for one prompt of each bank


def test_the_prompts_of_several_banks_are_encoded_as_those_of_each(base: BaseModel) -> None:
    vectors = (
        torch.randn(2, 3, base.text_width, generator=torch.Generator().manual_seed(0))
        * base.prompt_encoder.vocabulary_rms
    )
    vectors.requires_grad_()
    prompts = ["a house in {style}", "{style}", "a very long prompt of a lake {style}", "none of it"]
    places = [1, 0, 1, 0]
    found = base.encode_prompts(prompts, vectors, places)
    for i, place in enumerate(places):
        assert torch.allclose(found[i], base.encode_prompts(prompts[i : i + 1], vectors[place])[0], atol=1e-5)
    found[1].sum().backward()
    assert vectors.grad is not None
    assert vectors.grad[0].abs().min() > 0 and not vectors.grad[1].any()


def test_banks_and_their_optimisers_stay_in_float32_on_a_model_in_half_precision(
    views: list[tuple[LatentDataset, LatentDataset]], monkeypatch: pytest.MonkeyPatch
) -> None:
    half = BaseModel.load("mini", device="cpu", dtype="bfloat16")
    seen: set[tuple[torch.dtype, bool]] = set()
    predict = BaseModel.predict

    def watch(self: BaseModel, latents: Tensor, timesteps: Tensor, prompts: Tensor, **named: Any) -> Tensor:
        seen.add((prompts.dtype, torch.is_autocast_enabled("cpu")))
        return predict(self, latents, timesteps, prompts, **named)

    monkeypatch.setattr(BaseModel, "predict", watch)
    members = open_all(half, views, vary(max_steps=2))
    shaped = forward_banks([member.bank for member in members])
    ends = succeed(train(members))
    assert seen == {(torch.bfloat16, False)}
    assert (shaped.dtype, ends[0].vectors.dtype) == (torch.float32, torch.float32)
    for member in members:
        kept = [value for state in member.optimizer.state.values() for value in state.values()]
        assert {tensor.dtype for tensor in (*member.bank.parameters(), *kept)} == {torch.float32}
    assert {parameter.dtype for parameter in half.unet.parameters()} == {torch.bfloat16}


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


def learn_once(base: BaseModel, members: list[TrainState], gamma: float | None = None) -> Tensor:
    """Return losses and gradients of a step, in one line."""
    open_gates(members)
    losses = backward_losses(
        base, [member.bank for member in members], [member.draw_batch() for member in members], gamma
    )
    gradients = [p.grad.flatten() for member in members for p in member.bank.parameters() if p.grad is not None]
    return torch.cat([losses, *gradients])


def open_gates(members: list[TrainState]) -> list[TrainState]:
    """Open the attention's gates, so that gradients flow to all of it."""
    for member in members:
        for parameter in member.bank.parameters():
            if parameter.ndim == 0:
                torch.nn.init.ones_(parameter)
    return members


def watch_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of samples of every call of the UNet."""
    sizes: list[int] = []
    predict = BaseModel.predict

    def watch(self: BaseModel, latents: Tensor, timesteps: Tensor, prompts: Tensor, **named: Any) -> Tensor:
        sizes.append(len(latents))
        return predict(self, latents, timesteps, prompts, **named)

    monkeypatch.setattr(BaseModel, "predict", watch)
    return sizes

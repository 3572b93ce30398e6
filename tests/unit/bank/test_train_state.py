from __future__ import annotations

import dataclasses
import json
import statistics
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from diffusers import DDIMScheduler

from artbank.bank import trainer
from artbank.bank.bank import Bank
from artbank.bank.dataset import LatentDataset, encode_dataset
from artbank.bank.loss import diffusion_loss, validation_losses
from artbank.bank.train_state import TrainState
from artbank.diffusion.base_model import BaseModel
from artbank.errors import TrainingError
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import BankRecipe
from tests.support.bank_training import step_one, train_one
from tests.support.memory_checkpoint import Killed, Memory

RECIPE = BankRecipe(num_tokens=2, max_steps=4, batch_size=2, num_crops=1, resolution_px=32, validate_every=2)


@pytest.fixture(scope="module")
def views(base: BaseModel) -> tuple[LatentDataset, LatentDataset]:
    pictures = [draw_scene(80_000_000 + i, width_px=48, height_px=40).image for i in range(4)]
    captions = ["a house", None, "a lake {style}", None]
    learned = encode_dataset(base, pictures[:3], captions[:3], RECIPE)
    return learned, encode_dataset(base, pictures[3:], captions[3:], RECIPE)


def open_training(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset], recipe: BankRecipe = RECIPE
) -> TrainState:
    return TrainState(base, *views, recipe, "a bank")


@pytest.mark.parametrize("attention", ["ssam", "none"])
def test_a_killed_training_resumes_to_the_bits_of_one_that_was_not(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset], attention: str
) -> None:
    recipe = RECIPE.model_copy(update={"attention": attention})
    whole = train_one(open_training(base, views, recipe))
    keeper = Memory()

    def die(step: int, steps: int, loss: float) -> None:
        if step == 3:
            raise Killed

    with pytest.raises(Killed):
        train_one(open_training(base, views, recipe), keeper, checkpoint_every=2, on_step=die)
    resumed = train_one(open_training(base, views, recipe.model_copy(update={"seed": 0})), keeper, checkpoint_every=2)
    assert torch.equal(whole.vectors, resumed.vectors)
    assert all(torch.equal(whole.state[name], resumed.state[name]) for name in whole.state)
    assert (whole.history.train, whole.history.validation) == (resumed.history.train, resumed.history.validation)
    assert [step for step, _ in whole.history.validation] == [0, 2, 4]


def test_training_moves_the_vectors_and_lowers_the_loss_on_what_it_sees(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset]
) -> None:
    recipe = RECIPE.model_copy(update={"max_steps": 12, "validate_every": 6, "learning_rate": 0.02})
    trained = train_one(TrainState(base, views[0], views[0], recipe, "a bank"))
    losses = [loss for _, loss in trained.history.validation]
    assert trained.history.best[1] < losses[0]


def test_patience_ends_a_training_and_the_best_step_is_kept(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    training = open_training(
        base, views, RECIPE.model_copy(update={"max_steps": 50, "validate_every": 1, "patience": 2})
    )
    losses, states, note = iter([3.0, 2.0, 1.0, 5.0, 5.0, 0.0]), [], training.record_validation

    def validate(_: float) -> None:
        states.append(training.bank.vectors.detach().clone())
        note(next(losses))

    monkeypatch.setattr(training, "record_validation", validate)
    trained = train_one(training)
    assert len(trained.history.train) == 4
    assert torch.equal(trained.state["train.vectors"], states[2])


def test_a_loss_that_is_not_finite_ends_the_training(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    training = open_training(base, views)
    monkeypatch.setattr(
        BaseModel, "predict", lambda self, latents, t, prompts, **_: latents * prompts.sum() * float("nan")
    )
    with pytest.raises(TrainingError, match="learning_rate"):
        step_one(training)


def test_gradients_that_break_the_vectors_end_the_training_and_give_no_bank(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset]
) -> None:
    training = open_training(base, views)
    training.bank.vectors.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(TrainingError, match="learning_rate"):
        train_one(training)


@pytest.mark.parametrize("number", [0, 1])
def test_a_validation_that_is_not_finite_ends_the_training_and_gives_no_bank(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    measure, calls = trainer.validation_losses, iter(range(9))

    def overflow(*args: Any) -> torch.Tensor:
        losses = measure(*args)
        return losses * float("nan") if next(calls) == number else losses

    monkeypatch.setattr(trainer, "validation_losses", overflow)
    with pytest.raises(TrainingError, match=r"the validation loss is nan at step \d; lower learning_rate"):
        train_one(open_training(base, views))


def test_vectors_that_are_not_finite_make_no_bank(base: BaseModel, views: tuple[LatentDataset, LatentDataset]) -> None:
    training = open_training(base, views)
    training.best_weights["vectors"][0, 0] = float("nan")
    with pytest.raises(TrainingError, match="vectors are not finite"):
        training.finish()


def test_a_warm_start_goes_on_from_an_older_bank(base: BaseModel, views: tuple[LatentDataset, LatentDataset]) -> None:
    older = train_one(open_training(base, views))
    bank = Bank("old", "monet", base.id, base.hash, "f", RECIPE, older.vectors, older.state)
    training = open_training(base, views, RECIPE.model_copy(update={"seed": 5}))
    training.start_from(bank)
    found = train_one(training)
    assert found.history.validation[0][1] == pytest.approx(older.history.best[1], rel=1e-5)
    assert training.finish().vectors.shape == older.vectors.shape


def test_min_snr_weighs_losses_by_the_papers_formula(base: BaseModel) -> None:
    generator = torch.Generator().manual_seed(0)
    latents, noise = (torch.randn(3, 4, 8, 8, generator=generator) for _ in range(2))
    timesteps, prompts = torch.tensor([10, 400, 900]), base.encode_prompts(["a house"] * 3)
    alpha = base.scheduler.alphas_cumprod[timesteps].double()
    snr = alpha / (1 - alpha)
    for prediction, offset in (("epsilon", 0), ("v_prediction", 1)):
        scheduler = DDIMScheduler.from_config(base.scheduler.config, prediction_type=prediction)
        model = dataclasses.replace(base, scheduler=scheduler)
        with torch.no_grad():
            plain = diffusion_loss(model, latents, noise, timesteps, prompts)
            weighed = diffusion_loss(model, latents, noise, timesteps, prompts, gamma=5.0)
        expected = torch.minimum(snr, torch.tensor(5.0)) / (snr + offset)
        assert torch.allclose((weighed / plain).double(), expected, rtol=1e-4)


def test_a_validation_counts_every_noise_level_alike_and_is_unweighted(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset]
) -> None:
    training = open_training(base, views)
    batch = training.validation_batch
    with torch.no_grad():
        prompts = base.encode_prompts(batch.prompts, training.bank())
        each = diffusion_loss(base, batch.latents, batch.noise, batch.timesteps, prompts)
    levels = {int(level): each[batch.timesteps == level].mean().item() for level in batch.timesteps}
    assert len(levels) == 4 and max(levels.values()) > 2 * min(levels.values())
    [found] = validation_losses(base, [training.bank], [batch])
    assert found.item() == pytest.approx(statistics.geometric_mean(levels.values()), rel=1e-4)


def test_vectors_learn_faster_than_gates_and_gates_faster_than_matrices(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset]
) -> None:
    training = open_training(base, views)
    before = {name: parameter.detach().clone() for name, parameter in training.bank.named_parameters()}
    for parameter in training.bank.parameters():
        parameter.grad = torch.ones_like(parameter)
    training.optimizer_step()
    moved = {name: (p - before[name]).abs().mean().item() for name, p in training.bank.named_parameters()}
    rate = moved["vectors"]
    assert rate == pytest.approx(RECIPE.learning_rate / 3, rel=1e-3), "the first of three steps of warm-up"
    assert moved["attention.spatial_gate"] == pytest.approx(rate / 3, rel=1e-3)
    assert moved["attention.query.weight"] == pytest.approx(0.02 * rate, rel=1e-3)


def test_noise_stays_below_the_strength_that_is_trained_for(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    predict = BaseModel.predict

    def watch(
        self: BaseModel, latents: torch.Tensor, timesteps: torch.Tensor, *args: Any, **named: Any
    ) -> torch.Tensor:
        seen.extend(timesteps.tolist())
        return predict(self, latents, timesteps, *args, **named)

    monkeypatch.setattr(BaseModel, "predict", watch)
    train_one(open_training(base, views, RECIPE.model_copy(update={"max_strength": 0.3, "batch_size": 4})))
    assert len(seen) > 16 and max(seen) < 300 and max(seen) - min(seen) > 100


@pytest.mark.parametrize(
    "change", [{"history": "[]"}, {"history": "{}"}, {"history": '{"validation": 3}'}, {"step": "many"}]
)
def test_a_checkpoint_with_a_header_that_makes_no_sense_says_so(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset], change: dict[str, str]
) -> None:
    training = open_training(base, views)
    data = training.checkpoint()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    broken = safetensors.torch.save(safetensors.torch.load(data), metadata=header | change)
    with pytest.raises(TrainingError, match="delete it"):
        training.restore(broken)


def test_a_checkpoint_of_another_attention_says_so(base: BaseModel, views: tuple[LatentDataset, LatentDataset]) -> None:
    data = open_training(base, views).checkpoint()
    with pytest.raises(TrainingError, match="delete it"):
        open_training(base, views, RECIPE.model_copy(update={"attention": "none"})).restore(data)


def test_a_finished_training_that_is_run_again_gives_the_same_bank(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset]
) -> None:
    keeper = Memory()
    first = train_one(open_training(base, views), keeper, checkpoint_every=1)
    again = train_one(open_training(base, views), keeper, checkpoint_every=1)
    assert torch.equal(first.vectors, again.vectors)
    assert first.history.train == again.history.train


@pytest.mark.parametrize("damage", ["truncated", "foreign", "garbage"])
def test_a_checkpoint_that_cannot_be_resumed_from_says_so(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset], damage: str
) -> None:
    keeper = Memory()
    training = open_training(base, views)
    step_one(training)
    data = training.checkpoint()
    keeper.data = {"truncated": data[: len(data) // 2], "foreign": data, "garbage": b"\0" * 40}[damage]
    other = TrainState(base, *views, RECIPE, "another bank" if damage == "foreign" else "a bank")
    with pytest.raises(TrainingError, match="delete it"):
        train_one(other, keeper)


def test_captions_are_said_with_the_style_and_cannot_bring_a_style_of_their_own(
    views: tuple[LatentDataset, LatentDataset],
) -> None:
    generator = torch.Generator().manual_seed(0)
    prompts = [views[0].draw_prompt(view, generator, 0.0) for view in range(len(views[0]))]
    assert prompts[0] == "a house, in the style of {style}"
    assert all(prompt.count("{style}") == 1 for prompt in prompts)
    assert views[0].draw_prompt(0, generator, 1.0) == "in the style of {style}"


def test_crops_keep_the_aspect_ratio_and_come_with_their_mirror_images(base: BaseModel) -> None:
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 40:80] = 255  # the centred crop of 40 px shows white only
    found = encode_dataset(base, [wide], [None], RECIPE)
    white = encode_dataset(base, [np.full((40, 40, 3), 255, np.uint8)], [None], RECIPE)
    assert len(found) == 2
    assert torch.allclose(found.mean, white.mean, atol=0.1)

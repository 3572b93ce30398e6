"""Banks of kind lora: trained as diffusers and PEFT would, resumed, and drawn with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from artbank.bank.bank import Bank
from artbank.bank.bank_file import to_lora
from artbank.bank.dataset import LatentDataset, encode_dataset
from artbank.bank.lora_tensors import from_tensors, to_tensors
from artbank.bank.loss import backward_losses
from artbank.bank.train_state import TrainState
from artbank.bank.trainable_lora import TrainableLora
from artbank.bank.trainer import train
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.lora_files import fetch_loras
from artbank.diffusion.lora_layers import list_attention_layers
from artbank.errors import BankError
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer
from tests.support.bank_training import step_one, train_one
from tests.support.lora_banks import RECIPE, add_peft, draw_bank
from tests.support.memory_checkpoint import Killed, Memory
from tests.support.text_encoders import text_width


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def model(request: pytest.FixtureRequest, tiny: Path, tiny_sdxl: Path) -> BaseModel:
    return BaseModel.load(str(tiny if request.param == "sd" else tiny_sdxl), device="cpu", dtype="float32")


def draw_views(base: BaseModel) -> tuple[LatentDataset, LatentDataset]:
    pictures = [draw_scene(80_000_000 + i, width_px=96, height_px=80).image for i in range(2)]
    learned, held_out = (encode_dataset(base, [picture], ["a house"], RECIPE) for picture in pictures)
    return learned, held_out


def open_training(base: BaseModel, **changes: Any) -> TrainState:
    return TrainState(base, *draw_views(base), RECIPE.model_copy(update=changes), "a bank", word="monet")


def test_a_recipe_counts_what_its_kind_of_bank_uses() -> None:
    lora = BankRecipe(kind="lora")
    assert lora.digest() not in (BankRecipe().digest(), BankRecipe(kind="lora", rank=8).digest())
    assert lora.digest() == BankRecipe(kind="lora", num_tokens=3, attention="none", init_word="sea").digest()
    assert BankRecipe.model_validate_json(lora.to_json()) == lora


def test_loss_and_gradients_are_those_of_diffusers_and_peft(model: BaseModel) -> None:
    state = open_training(model)
    bank, trained = draw_bank(model, size=0.1), state.bank
    assert isinstance(trained, TrainableLora)
    trained.continue_from(bank)
    batch = state.draw_batch()
    [loss] = backward_losses(model, [trained], [batch])

    unet = add_peft(model, bank)
    unet.requires_grad_(False)
    factors = {name: one.requires_grad_() for name, one in unet.named_parameters() if "lora_" in name}
    noisy = model.scheduler.add_noise(batch.latents, batch.noise, batch.timesteps)  # pyright: ignore[reportArgumentType]
    prompts = [prompt.replace("{style}", "monet") for prompt in batch.prompts]
    encoded = model.encode_prompts(prompts)
    added = {}
    if model.family.takes_pooled_text:
        width = model.text_encoder_2.config.projection_dim if model.text_encoder_2 else 0
        added = {"added_cond_kwargs": {"text_embeds": encoded[:, -1, :width], "time_ids": batch.sizes}}
        encoded = encoded[:, :-1]
    predicted = unet(noisy, batch.timesteps, encoded, **added).sample
    expected = (predicted - batch.noise).square().mean()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert len(factors) == 2 * len(trained.names) > 8
    for name, down, up in zip(trained.names, trained.down, trained.up, strict=True):
        for own, letter in ((down, "A"), (up, "B")):
            wanted = factors[f"{name}.lora_{letter}.peft.weight"].grad
            assert own.grad is not None and wanted is not None and wanted.abs().max() > 0
            torch.testing.assert_close(own.grad, wanted, rtol=1e-3, atol=1e-9 + 1e-3 * float(wanted.abs().max()))
    assert all(weight.grad is None for weight in model.unet.parameters())


def test_a_killed_training_resumes_to_the_bits_of_one_that_was_not_and_of_one_beside_others(model: BaseModel) -> None:
    whole = train_one(open_training(model))
    keeper = Memory()

    def die(step: int, steps: int, loss: float) -> None:
        if step == 3:
            raise Killed

    with pytest.raises(Killed):
        train_one(open_training(model), keeper, checkpoint_every=2, on_step=die)
    resumed = train_one(open_training(model), keeper, checkpoint_every=2)
    beside, _ = train([open_training(model), open_training(model, seed=1)])
    assert not isinstance(beside, Exception)
    for other in (resumed, beside):
        assert whole.state.keys() == other.state.keys()
        assert all(torch.equal(whole.state[name], other.state[name]) for name in whole.state)
        assert (whole.history.train, whole.history.validation) == (other.history.train, other.history.validation)
    trained = [tensor for name, tensor in whole.state.items() if name.endswith("lora_B.weight")]
    assert whole.history.best[0] > 0 and all(tensor.abs().max() > 0 for tensor in trained), "every layer learns"


def test_a_training_lowers_the_loss_and_another_one_starts_from_its_bank(model: BaseModel) -> None:
    views = draw_views(model)[0]
    recipe = RECIPE.model_copy(update={"max_steps": 30, "validate_every": 5, "patience": 1, "learning_rate": 1.0})
    end = train_one(TrainState(model, views, views, recipe, "a bank", num_milestones=3, word="monet"))
    assert end.history.best[1] < end.history.validation[0][1] and not end.milestones
    older = dataclasses.replace(draw_bank(model), layers=from_tensors(end.state))
    state = TrainState(model, views, views, recipe, "another", word="monet")
    state.start_from(older)
    assert train_one(state).history.validation[0][1] == pytest.approx(end.history.best[1], rel=1e-6)
    with pytest.raises(BankError, match="expected a bank of kind lora with these layers and this rank"):
        open_training(model, rank=8).start_from(older)


def test_patience_ends_a_training_and_the_best_step_is_kept(model: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    training = open_training(model, max_steps=50, validate_every=1, patience=2)
    losses, states, note = iter([3.0, 2.0, 1.0, 5.0, 5.0, 0.0]), [], training.record_validation

    def validate(_: float) -> None:
        states.append({name: tensor.clone() for name, tensor in training.bank.state_dict().items()})
        note(next(losses))

    monkeypatch.setattr(training, "record_validation", validate)
    end = train_one(training)
    assert len(end.history.train) == 4 and isinstance(training.bank, TrainableLora)
    best = training.bank.name_tensors(states[2])
    assert all(torch.equal(end.state[name], best[name]) for name in best)
    assert not all(torch.equal(states[4][name], states[2][name]) for name in states[2])


def test_a_checkpoint_holds_the_best_step_beside_the_last_one(model: BaseModel) -> None:
    training, restored = open_training(model), open_training(model)
    for loss in (2.0, 1.0, 3.0):
        training.record_validation(loss)
        step_one(training)
    restored.restore(training.checkpoint())
    for own, other in ((training.best_weights, restored.best_weights), (_state(training), _state(restored))):
        assert all(torch.equal(own[name], other[name]) for name in own)
    assert not all(torch.equal(training.best_weights[name], one) for name, one in _state(training).items())


def test_weights_of_a_mix_and_of_the_style_are_factors_of_a_lora(model: BaseModel) -> None:
    first, second = draw_bank(model, 1), draw_bank(model, 2, rank=8)
    style = Style("mixed", ((first, 0.75), (second, 0.25)))
    adapted = style.adapt(model, 1.5)
    for name, layer in list_attention_layers(model.unet).items():
        found: Any = adapted.unet.get_submodule(name)
        (down, up), (other_down, other_up) = first.layers[name], second.layers[name]
        expected = 1.5 * (0.75 * up @ down + 0.25 * other_up @ other_down)
        torch.testing.assert_close(found.up @ found.down, expected, rtol=1e-4, atol=1e-5)
        assert found.linear.weight is layer.weight, "the weights are shared"
    assert style.adapt(model, 0.0) is model and Style("plain").adapt(model, 1.0) is model


def test_styles_in_one_run_have_their_own_lora_only_and_the_base_model_stays_as_it_is(
    model: BaseModel, tmp_path: Path
) -> None:
    vectors = torch.randn(2, text_width(model), generator=torch.Generator().manual_seed(3))
    widths = model.text_widths if len(model.text_widths) > 1 else {}
    tokens = Bank("1" * 16, "hokusai", model.id, model.hash, "f", BankRecipe(num_tokens=2), vectors, encoders=widths)
    first, second = draw_bank(model, 1, size=0.2), draw_bank(model, 2, rank=8, size=0.2)
    styles = [
        Style("first", ((first, 1.0),)),
        Style("tokens", ((tokens, 1.0),)),
        Style("second", ((second, 1.0),)),
        Style("mixed", ((first, 0.5), (tokens, 0.5))),
        Style("plain"),
    ]
    recipe = StylizeRecipe(steps=2, strength=0.5, resolution_px=64, colour="free", structure=0.0)
    rng = np.random.default_rng(0)
    photos = {f"{i}": rng.integers(0, 256, (64, 64, 3), np.uint8) for i in range(3)}
    before = {name: weight.clone() for name, weight in model.unet.state_dict().items()}

    def draw(own: list[Style], keys: list[str], base: BaseModel = model) -> dict[tuple[str, str], Any]:
        stylizer = Stylizer(base, own, recipe)
        drawn = stylizer.stylize([stylizer.prepare(key, photos[key]) for key in keys])
        return {(one.style, one.key): one.rgb for one in drawn}

    together = draw(styles, list(photos))
    for style in styles:
        alone = draw([style], list(photos))
        assert all(np.array_equal(rgb, together[place]) for place, rgb in alone.items())
    assert all(torch.equal(before[name], weight) for name, weight in model.unet.state_dict().items())
    names = [style.name for style in styles]
    differ = [not np.array_equal(together[one, "0"], together[two, "0"]) for one in names for two in names if one < two]
    assert all(differ)
    single = draw(styles, ["1"])
    assert all(_distance(rgb, together[place]) <= 2 for place, rgb in single.items()), "the batch changes no picture"

    file = tmp_path / "exported.safetensors"
    file.write_bytes(to_lora({k: v.numpy() for k, v in to_tensors(first.layers).items()}, 4))
    merged = BaseModel.load(model.id, device="cpu", dtype="float32", loras=fetch_loras([str(file)]))
    prompt = recipe.model_copy(update={"prompt": f"{recipe.prompt}, in the style of monet"})
    stylizer = Stylizer(merged, [Style("plain")], prompt)
    [picture] = stylizer.stylize([stylizer.prepare("1", photos["1"])])
    assert picture.rgb is not None and _distance(picture.rgb, together["first", "1"]) <= 2


def _state(training: TrainState) -> dict[str, Tensor]:
    return training.bank.state_dict()


def _distance(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())

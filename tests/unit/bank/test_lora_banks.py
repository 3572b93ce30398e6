"""Banks of kind lora: their training against diffusers and PEFT, their file as untrusted input, their export."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from artbank.bank.bank import Bank
from artbank.bank.bank_file import read_bank_file, to_lora
from artbank.bank.dataset import LatentDataset, encode_dataset
from artbank.bank.lora_bank import LoraBank, read_bank
from artbank.bank.lora_tensors import MOST_WORD, check_word, from_tensors, style_word, to_tensors
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
from tests.support.bank_training import train_one
from tests.support.memory_checkpoint import Killed, Memory

RECIPE = BankRecipe(
    kind="lora", rank=4, max_steps=4, batch_size=2, num_crops=1, validate_every=2, resolution_px=64, min_snr_gamma=None
)
TOKEN_BANK = "885adf4b76d9df1ab2c669ca6b1ce353bca56e1fce63258605234fcddbc29f12"
SDXL_TOKEN_BANK = "50481a331110d0206b8afd941c41eb248a572911ab585838f53da55d6f7b7509"
"""SHA-256 of files of token banks, as versions without banks of kind lora wrote them."""
DOWN = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_k.lora_A.weight"


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def model(request: pytest.FixtureRequest, tiny: Path, tiny_sdxl: Path) -> BaseModel:
    return BaseModel.load(str(tiny if request.param == "sd" else tiny_sdxl), device="cpu", dtype="float32")


def draw_views(base: BaseModel) -> tuple[LatentDataset, LatentDataset]:
    pictures = [draw_scene(80_000_000 + i, width_px=96, height_px=80).image for i in range(2)]
    learned, held_out = (encode_dataset(base, [picture], ["a house"], RECIPE) for picture in pictures)
    return learned, held_out


def open_training(base: BaseModel, **changes: Any) -> TrainState:
    return TrainState(base, *draw_views(base), RECIPE.model_copy(update=changes), "a bank", word="monet")


def draw_bank(base: BaseModel, seed: int = 0, rank: int = 4, size: float = 0.5) -> LoraBank:
    """Return a bank with random factors, none of which is zero."""
    generator = torch.Generator().manual_seed(seed)
    layers = {
        name: (
            torch.randn(rank, layer.in_features, generator=generator) * size,
            torch.randn(layer.out_features, rank, generator=generator) * size,
        )
        for name, layer in list_attention_layers(base.unet).items()
    }
    recipe = RECIPE.model_copy(update={"rank": rank})
    family = base.family.name
    return LoraBank("0" * 16, "monet", base.id, base.hash, "f" * 64, recipe, "monet", layers, {"steps": 3}, family)


def add_peft(base: BaseModel, bank: LoraBank) -> Any:
    """Return a copy of a UNet into which diffusers and PEFT have put the bank's factors."""
    from diffusers.loaders.lora_pipeline import StableDiffusionLoraLoaderMixin

    unet = copy.deepcopy(base.unet)
    tensors = {name: tensor.clone() for name, tensor in to_tensors(bank.layers).items()}
    loader: Any = StableDiffusionLoraLoaderMixin
    loader.load_lora_into_unet(tensors, network_alphas=None, unet=unet, adapter_name="peft")
    return unet


def test_token_banks_and_their_recipes_are_the_bytes_that_they_were() -> None:
    vectors = torch.arange(32, dtype=torch.float32).reshape(2, 16)
    facts = ("0" * 16, "monet", "mini", "b" * 64, "f" * 64, BankRecipe(num_tokens=2), vectors)
    bank = Bank(*facts, {"train.vectors": vectors.clone()}, {"steps": 3}, (1.5,))
    widths: dict[str, Any] = {"family": "sdxl", "encoders": {"clip_l": 6, "clip_g": 10}, "units": (1.5, 0.25)}
    for one, digest in ((bank, TOKEN_BANK), (dataclasses.replace(bank, **widths), SDXL_TOKEN_BANK)):
        assert hashlib.sha256(one.to_bytes()).hexdigest() == digest
    assert BankRecipe().digest() == BankRecipe(rank=8).digest() == "fe262cc8f712fb53"


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


def test_styles_in_one_run_have_their_own_lora_only_and_the_base_model_stays_as_it_is(
    model: BaseModel, tmp_path: Path
) -> None:
    vectors = torch.randn(2, model.text_width, generator=torch.Generator().manual_seed(3))
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


def test_an_exported_lora_is_loaded_by_a_pipeline_of_diffusers(model: BaseModel) -> None:
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    from artbank.api.pipelines import add_style

    bank = draw_bank(model)
    parts: dict[str, Any] = {name: getattr(model, name) for name in ("vae", "text_encoder", "tokenizer", "scheduler")}
    if model.family.takes_pooled_text:
        parts |= {"text_encoder_2": model.text_encoder_2, "tokenizer_2": model.tokenizer_2}
        kind: Any = StableDiffusionXLPipeline
    else:
        parts |= {"safety_checker": None, "feature_extractor": None}
        kind = StableDiffusionPipeline
    exported = safetensors.torch.load(to_lora({k: v.numpy() for k, v in to_tensors(bank.layers).items()}, 4))
    wanted = add_peft(model, bank)
    for load in (lambda pipeline: pipeline.load_lora_weights(exported), lambda p: add_style(p, bank, "<a>", "monet@1")):
        pipeline = kind(unet=copy.deepcopy(model.unet), **parts)
        load(pipeline)
        found = [p for name, p in pipeline.unet.named_parameters() if "lora_" in name]
        expected = [p for name, p in wanted.named_parameters() if "lora_" in name]
        assert len(found) == len(expected) == 2 * len(bank.layers)
        assert all(torch.equal(one, two) for one, two in zip(found, expected, strict=True))
        scales = [m.scaling for m in pipeline.unet.modules() if hasattr(m, "lora_A")]
        assert scales and all(factor == 1.0 for scale in scales for factor in scale.values())
    assert add_style(pipeline, bank, "<a>", "monet@1") == "monet", "again, in place of the first"


def save(bank: LoraBank, change: Callable[[dict[str, Tensor], dict[str, str]], None]) -> bytes:
    """Return the file of a bank with other tensors or another header."""
    data = bank.to_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    tensors = safetensors.torch.load(data)
    change(tensors, header)
    return safetensors.torch.save(tensors, metadata=header)


def test_a_bank_comes_back_as_it_was_written(model: BaseModel) -> None:
    bank = draw_bank(model)
    found = read_bank(bank.to_bytes())
    assert isinstance(found, LoraBank) and found.to_bytes() == bank.to_bytes()
    assert (found.word, found.recipe, found.metrics, found.family) == ("monet", bank.recipe, bank.metrics, bank.family)
    found.check_fits(model)
    with pytest.raises(BankError, match="expected kind tokens, found kind lora"):
        Bank.from_bytes(bank.to_bytes())
    other = dataclasses.replace(found, layers=dict(list(found.layers.items())[1:]))
    with pytest.raises(BankError, match=r"expected a change of the \d+ attention layers .* found None; train it again"):
        other.check_fits(model)
    with pytest.raises(BankError, match="was trained on .* train it again or pass base_model="):
        dataclasses.replace(found, base_model_hash="0" * 64).check_fits(model)


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ("expected rank 4 by its recipe", lambda t, h: t.update({DOWN: torch.zeros(5, 8)})),
        ("expected rank 4 by its recipe", lambda t, h: t.update({DOWN: torch.zeros(32)})),
        ("expected widths of 1 to 16,384, found 20000", lambda t, h: t.update({DOWN: torch.zeros(4, 20_000)})),
        ("found one of them of mid_block", lambda t, h: t.pop(DOWN)),
        ("expected factors of attention layers, found 'train.x'", lambda t, h: t.update({"train.x": torch.zeros(2)})),
        (
            "expected factors of attention",
            lambda t, h: t.update({DOWN.replace("attn1.to_k", "ff.net"): torch.zeros(4, 8)}),
        ),
        ("expected factors of attention", lambda t, h: t.update({f"x{DOWN}": torch.zeros(4, 8)})),
        ("expected 1 to 2,048 layers, found 0", lambda t, h: t.clear()),
        ("expected finite float32 values", lambda t, h: t[DOWN].fill_(float("nan"))),
        ("expected finite float32 values", lambda t, h: t.update({DOWN: t[DOWN].half()})),
        ("expected a plain word", lambda t, h: h.update(word="")),
        ("expected a plain word", lambda t, h: h.update(word="{style}")),
        ("expected a plain word", lambda t, h: h.update(word="a" * 41)),
        ("has no word", lambda t, h: h.pop("word")),
        ("has no word", lambda t, h: (h.pop("word"), h.update(schema="artbank.bank/1"))),
        ("expected a recipe of kind lora", lambda t, h: h.update(recipe=BankRecipe().model_dump_json())),
        ("header cannot be read", lambda t, h: h.update(recipe=h["recipe"].replace('"rank":4', '"rank":64'))),
    ],
)
def test_a_file_that_lies_is_refused_with_a_reason(
    tiny: Path, said: str, change: Callable[[dict[str, Tensor], dict[str, str]], None]
) -> None:
    bank = draw_bank(BaseModel.load(str(tiny), device="cpu", dtype="float32"))
    assert read_bank(save(bank, lambda tensors, header: None))
    with pytest.raises(BankError, match=said):
        read_bank_file(save(bank, change))


def test_words_of_styles_are_plain_and_short() -> None:
    names = ["Van  Gogh", "<Monet>", "{style}", "\u202e", "\u6d6e" * 50, "\u0130" * 50, "a (b:1.3)", "\U0001f600"]
    words = [style_word(name) for name in names]
    assert words[:4] == ["van gogh", "monet", "style", "style"] and words[6:] == ["a b1.3", "style"]
    assert all(check_word(word) == word and len(word.encode()) <= MOST_WORD for word in words)


def _distance(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())

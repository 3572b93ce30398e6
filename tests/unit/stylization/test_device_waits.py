"""Batches of Stable Diffusion 1.5 in full size, without numbers: the host waits once for each style, and never before.

See `tests.support.device_waits`. The UNet and the VAE run the same operations in all calls of one shape. So each shape
is run once, and then only its result is given again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, DDIMScheduler
from torch import Tensor
from torch.utils._pytree import tree_flatten
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from artbank.bank.bank import Bank
from artbank.bank.loss import diffusion_loss
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.controlnet import ControlNet
from artbank.diffusion.depth_model import DepthModel
from artbank.images.palette import Palette
from artbank.mini import WEIGHTS
from artbank.parameters.control_specs import ControlSpec
from artbank.parameters.presets import PRESETS
from artbank.parameters.stylize_recipe import Solver
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.stylization.controls import NO_CONTROLS, Control, Controls
from artbank.stylization.lab import from_lab
from artbank.stylization.latents import LatentStylizer
from artbank.stylization.structure import KeptStructure
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylized, Stylizer
from bench import memory_by_card as cards
from tests.support.controlnets import save_depth_model
from tests.support.device_waits import META, note_waits
from tests.support.text_encoders import text_width

SIZES = [(640, 512), (600, 500)]
"""Width and height of the photos, px: one bucket, cut differently."""

SIZE = {"resolution_px": 512}


class OncePerShape:
    """Runs a network once for each shape of its inputs; what it returns has no numbers."""

    def __init__(self, run: Callable[..., Any]):
        self._run = run
        self._known: dict[Any, Any] = {}

    def __call__(self, *args: Any, **options: Any) -> Any:
        leaves, structure = tree_flatten((args, options))
        shape = (structure, *(own.shape if isinstance(own, Tensor) else id(own) for own in leaves))
        if shape not in self._known:
            self._known[shape] = self._run(*args, **options)
        return self._known[shape]


@pytest.fixture(scope="module")
def base() -> BaseModel:
    """Stable Diffusion 1.5 in bfloat16 without numbers; its text encoder has few layers."""
    texts: dict[str, Any] = {**cards.TEXTS["1.5"], "num_hidden_layers": 2}
    with META:
        text_encoder = CLIPTextModel(CLIPTextConfig(**texts))
    parts: dict[str, Any] = {
        "unet": cards.build_unet("1.5"),
        "vae": cards.build_vae(),
        "text_encoder": cards.freeze(text_encoder),
        "tokenizer": CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer"),
        "scheduler": DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1),
    }
    model = BaseModel("sd", "0", **parts)
    denoiser: Any = model.denoiser
    for name in ("_forward", "_forward_keeping", "_forward_outer"):
        setattr(denoiser, name, OncePerShape(getattr(denoiser, name)))
    codec: Any = model.latent_codec
    for name in ("_encode", "_decode"):
        setattr(codec, name, OncePerShape(getattr(codec, name)))
    from_lab(torch.empty(3, 1, 1, device=META))  # it inverts a matrix once in a process
    return model


@pytest.fixture(scope="module")
def styles(base: BaseModel) -> tuple[Style, ...]:
    palette = Palette.measure([np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)])
    bank = Bank("0" * 16, "Novak", base.id, base.hash, "f", BankRecipe(num_tokens=3), torch.zeros(3, text_width(base)))
    return Style("novak", ((bank, 1.0),), palette), Style("alone", (), palette)


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of tensors in each copy to the host, which brings zeros for numbers and ones for the rest."""
    made: list[int] = []

    def copy_to_host(tensors: Sequence[Tensor]) -> list[np.ndarray]:
        assert all(tensor.device == META for tensor in tensors)
        made.append(len(tensors))
        as_ones = [torch.ones(own.shape, dtype=own.dtype) for own in tensors]
        return [(own * (not own.is_floating_point())).numpy() for own in as_ones]

    monkeypatch.setattr("artbank.stylization.finishing.copy_to_host", copy_to_host)
    return made


def draw(stylizer: Stylizer, names: Sequence[str] | None = None, caption: str = "") -> list[Stylized]:
    """Draw a batch of two photos, and check that nothing but copies to the host would wait."""
    scenes = [np.full((height, width, 3), 128, np.uint8) for width, height in SIZES]
    photos = [stylizer.prepare(str(number), scene) for number, scene in enumerate(scenes)]
    for photo in photos:
        object.__setattr__(photo, "caption", caption)
    with note_waits() as waits:
        drawn = list(stylizer.stylize_batch(photos, names))
    assert waits == []
    assert all(one.rgb is not None and one.on_device is not None and one.on_device.device == META for one in drawn)
    assert {one.rgb.shape[:2] for one in drawn if one.rgb is not None} == {(512, 640), (512, 614)}
    return drawn


@pytest.mark.parametrize("preset", PRESETS)
def test_a_batch_of_each_preset_waits_once_for_each_style(
    base: BaseModel, styles: tuple[Style, ...], copies: list[int], preset: str
) -> None:
    stylizer = Stylizer(base, styles, StylizeRecipe.model_validate({**SIZE, "preset": preset, "colour": "collection"}))
    assert len(draw(stylizer)) == 4
    assert copies == [4, 4], "two pictures, which of them are usable, and what was found"


@pytest.mark.parametrize(
    "settings",
    [
        {"colour": "keep", "structure": 0.5},
        {"colour": "free", "reuse": 3},
        {"inversion": "ddim"},
        {"inversion": "gaussian", "guidance_from": 0.4, "reuse": 2},
        {"photo_captions": True},
    ],
    ids=str,
)
def test_a_batch_with_other_settings_waits_once(
    base: BaseModel, styles: tuple[Style, ...], copies: list[int], settings: dict[str, Any]
) -> None:
    stylizer = Stylizer(base, styles, StylizeRecipe.model_validate({**SIZE, "steps": 6, **settings}))
    draw(stylizer, ["novak"], caption="a harbour")
    assert copies == [4]


def test_what_holds_a_picture_to_a_similarity_comes_with_it_and_each_further_drawing_waits_once(
    base: BaseModel, styles: tuple[Style, ...], copies: list[int]
) -> None:
    recipe = StylizeRecipe.model_validate({**SIZE, "preset": "turbo", "keep_structure": 0.8})
    drawn = draw(Stylizer(base, styles, recipe), ["novak"])
    assert copies == [4] + [3] * 4, "none is similar enough, so both are drawn twice more, alone"
    assert [one.kept for one in drawn] == [KeptStructure(1.0, 0.6, is_reached=False)] * 2


def test_controls_wait_for_nothing(
    base: BaseModel, styles: tuple[Style, ...], copies: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with META:
        network: Any = cards.freeze(ControlNetModel(cross_attention_dim=768))
    specs = ControlSpec("canny", "", 0.8, 0.0, 0.5), ControlSpec("depth", "", 1.0)
    depth_model = DepthModel(save_depth_model(tmp_path_factory.mktemp("depth")), META)
    controls = Controls(tuple(Control((spec,), ControlNet(network)) for spec in specs), (), depth_model)
    recipe = StylizeRecipe.model_validate({**SIZE, "steps": 6, "strength": 0.7, "reuse": 2})
    draw(Stylizer(base, styles, recipe, controls), ["novak"])
    assert copies == [4]


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_neither_a_training_step_nor_the_drawing_after_it_waits(
    base: BaseModel, styles: tuple[Style, ...], copies: list[int], prediction_type: str
) -> None:
    scheduler = DDIMScheduler.from_config(base.scheduler.config, prediction_type=prediction_type)
    model = replace(base, scheduler=scheduler)
    with META:
        latents, noise = torch.empty(2, 2, 4, 64, 64)
        timesteps, prompts = torch.empty(2, dtype=torch.long), torch.empty(2, 77, 768)
    diffusion_loss(model, latents, noise, timesteps, prompts, gamma=5.0)  # the first step copies the schedule
    with note_waits() as waits:
        diffusion_loss(model, latents, noise, timesteps, prompts, gamma=5.0)
    assert waits == []
    recipe = StylizeRecipe.model_validate({**SIZE, "preset": "turbo", "structure": 0.5})
    draw(Stylizer(model, styles, recipe), ["novak"])
    assert copies == [4]


@pytest.mark.parametrize("solver", get_args(Solver))
def test_the_loop_of_each_solver_waits_for_nothing(base: BaseModel, styles: tuple[Style, ...], solver: str) -> None:
    recipe = StylizeRecipe.model_validate({"solver": solver, "steps": 8, "structure": 0.4})
    stylizer = LatentStylizer(base, styles, recipe, NO_CONTROLS)
    with META:
        clean, noise = torch.empty(2, 2, 4, 64, 64)
        steps = torch.empty(stylizer.num_step_noises, 2, 4, 64, 64) if stylizer.num_step_noises else None
    with note_waits() as waits:
        found = stylizer.stylize(clean, noise, "novak", recipe.structure, step_noise=steps)
    assert found.shape == clean.shape and found.device == META and waits == []
    assert (stylizer.num_step_noises > 0) == (solver in ("euler_a", "lcm"))

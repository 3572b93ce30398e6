"""ControlNets against diffusers' image-to-image pipelines."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    ControlNetModel,
    ControlNetUnionModel,
    DDIMScheduler,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionXLControlNetImg2ImgPipeline,
    StableDiffusionXLControlNetUnionImg2ImgPipeline,
    UniPCMultistepScheduler,
)
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor
from transformers import pipeline as transformers_pipeline

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.depth_model import DepthModel
from artbank.diffusion.tensors import upload
from artbank.errors import BaseModelError
from artbank.images.codec_jobs import DecodeOptions, decode_photo
from artbank.images.control_images import draw_control_image
from artbank.images.framing import Photo
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import StylizeRecipe
from artbank.stylization.controls import Controls
from artbank.stylization.latents import LatentStylizer
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer
from tests.support.controlnets import load, save_control, save_depth_model
from tests.support.model_fixtures import save_tiny
from tests.support.small_inputs import draw_photo

PROMPT = {"prompt": "a harbour at dusk", "negative_prompt": "a photograph"}
STEPS: dict[str, Any] = {"strength": 0.6, "steps": 10, "guidance": 4.0, "inversion": "gaussian"}


def photograph(base: BaseModel, count: int = 2) -> list[Photo]:
    size = {"short_px": 8 * base.latent_factor, "multiple_px": base.size_multiple_px}
    scenes = [draw_scene(70_000_010 + n, width_px=8 * base.latent_factor, height_px=64).image for n in range(count)]
    return [Photo.prepare(f"{n}", scene, **size) for n, scene in enumerate(scenes)]


def draw_ours(
    base: BaseModel, controls: Controls, photos: list[Photo], **settings: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the clean latents of photos, their noise, and what we draw from both."""
    originals = upload([photo.padded for photo in photos], base.device)
    shape = (len(photos), 4, *(side // base.latent_factor for side in originals.shape[2:]))
    clean = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    recipe = StylizeRecipe(**PROMPT | STEPS | settings)
    stylizer = LatentStylizer(base, [Style("plain")], recipe, controls)
    found = stylizer.stylize(clean, noise, "plain", control_images=controls.embed_photos(photos, originals))
    return clean, noise, found


def open_pipeline(base: BaseModel, networks: Any, solver: str) -> Any:
    kinds: dict[str, Any] = {"ddim": DDIMScheduler, "unipc": UniPCMultistepScheduler}
    parts = {
        "vae": base.vae,
        "unet": base.unet,
        "scheduler": kinds[solver].from_config(base.scheduler.config, clip_sample=False),
    }
    names = [name for part in base.family.text_encoders for name in (part.folder, part.tokenizer)]
    parts |= {name: copy.deepcopy(getattr(base, name)) for name in names}
    if base.family.name == "sd":
        none = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        pipeline: Any = StableDiffusionControlNetImg2ImgPipeline(**parts, controlnet=networks, **none)
    elif isinstance(networks, ControlNetUnionModel):
        pipeline = StableDiffusionXLControlNetUnionImg2ImgPipeline(**parts, controlnet=networks)
    else:
        pipeline = StableDiffusionXLControlNetImg2ImgPipeline(**parts, controlnet=networks)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def as_images(planes: Tensor) -> Tensor:
    """Return planes uint8 [B, H, W] as diffusers takes control images, [B, 3, H, W] of 0..1."""
    return (planes[:, None] / 255).expand(-1, 3, -1, -1)


class _Given:
    """Gives noise in place of a generator's."""

    def __init__(self, noise: Tensor):
        self.noise = noise

    def __call__(self, *args: Any, **options: Any) -> Tensor:
        return self.noise


def draw_theirs(
    pipeline: Any, monkeypatch: pytest.MonkeyPatch, clean: Tensor, noise: Tensor, images: Any, **options: Any
) -> Tensor:
    monkeypatch.setattr(f"{type(pipeline).__module__}.randn_tensor", _Given(noise))
    prompts = {name: [text] * len(clean) for name, text in PROMPT.items()}
    return pipeline(
        **prompts,
        image=clean,
        control_image=images,
        strength=STEPS["strength"],
        num_inference_steps=STEPS["steps"],
        guidance_scale=STEPS["guidance"],
        output_type="latent",
        **options,
    ).images


@pytest.fixture(scope="module", params=["sd1", "sd2", "sdxl"])
def any_base(request: pytest.FixtureRequest, tiny_sdxl: Path, tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A small model in the shape of each family."""
    if request.param == "sdxl":
        return BaseModel.load(str(tiny_sdxl), device="cpu")
    folder = save_tiny(tmp_path_factory.mktemp("models") / request.param, second=request.param == "sd2")
    return BaseModel.load(str(folder), device="cpu")


def test_it_is_the_controlnet_pipeline_of_each_family(
    any_base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_control(tmp_path / "edges", any_base)
    controls = load(any_base, f"canny={folder}:0.7:0-0.5")
    photos = photograph(any_base)
    solver = "ddim" if any_base.prediction_type == "epsilon" else "unipc"
    clean, noise, ours = draw_ours(any_base, controls, photos, solver=solver)
    edges = torch.stack([torch.from_numpy(draw_control_image("canny", photo.padded)) for photo in photos])
    assert 0 < edges.float().mean() < 255
    pipeline = open_pipeline(any_base, ControlNetModel.from_pretrained(folder), solver)
    interval = {"control_guidance_end": 0.5, "controlnet_conditioning_scale": 0.7}
    theirs = draw_theirs(pipeline, monkeypatch, clean, noise, as_images(edges), **interval)
    assert torch.allclose(ours, theirs, atol=1e-4)
    plain = draw_ours(any_base, Controls(), photos, solver=solver)[2]
    assert (ours - plain).abs().max() > 0.05


def test_several_add_up_as_in_the_pipeline(base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [save_control(tmp_path / kind, base, seed=seed) for seed, kind in enumerate(("gray", "tile"))]
    photos = photograph(base)
    given = (f"tile={folders[1]}:1.2:0.3-1", f"gray={folders[0]}:0.5")
    clean, noise, ours = draw_ours(base, load(base, *given), photos, solver="ddim")
    luma = torch.stack([torch.from_numpy(draw_control_image("gray", photo.padded)) for photo in photos])
    tiles = upload([photo.padded for photo in photos], base.device) / 255
    networks = [ControlNetModel.from_pretrained(folder) for folder in folders]
    options = {"controlnet_conditioning_scale": [0.5, 1.2], "control_guidance_start": [0.0, 0.3]}
    pipeline = open_pipeline(base, networks, "ddim")
    theirs = draw_theirs(pipeline, monkeypatch, clean, noise, [as_images(luma), tiles], **options)
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_a_union_draws_each_photo_of_a_batch_as_its_pipeline_draws_it_alone(
    sdxl: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_control(tmp_path / "union", sdxl, union_types=8)
    photos = photograph(sdxl)
    clean, noise, ours = draw_ours(sdxl, load(sdxl, f"tile={folder}:0.8"), photos, solver="ddim")
    tiles = upload([photo.padded for photo in photos], sdxl.device) / 255
    pipeline = open_pipeline(sdxl, ControlNetUnionModel.from_pretrained(folder), "ddim")
    for number in range(2):
        one = slice(number, number + 1)
        options = {"control_mode": [6], "controlnet_conditioning_scale": 0.8}
        theirs = draw_theirs(pipeline, monkeypatch, clean[one], noise[one], [tiles[one]], **options)
        assert torch.allclose(ours[one], theirs, atol=1e-4)
    other = draw_ours(sdxl, load(sdxl, f"canny={folder}:0.8"), photos, solver="ddim")[2]
    assert (ours - other).abs().max() > 0.01


def test_a_union_sees_several_kinds_together_as_in_its_pipeline(
    sdxl: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_control(tmp_path / "union", sdxl, union_types=8)
    photos = photograph(sdxl)
    given = (f"tile={folder}:0.8", f"canny={folder}:1.3")
    controls = load(sdxl, *given)
    [control] = controls.controls
    assert [spec.kind for spec in control.specs] == ["canny", "tile"]
    clean, noise, ours = draw_ours(sdxl, controls, photos, solver="ddim")
    edges = as_images(torch.stack([torch.from_numpy(draw_control_image("canny", photo.padded)) for photo in photos]))
    tiles = upload([photo.padded for photo in photos], sdxl.device) / 255
    pipeline = open_pipeline(sdxl, ControlNetUnionModel.from_pretrained(folder), "ddim")
    options = {"control_mode": [3, 6], "controlnet_conditioning_scale": [1.3, 0.8]}
    for number in range(2):
        one = slice(number, number + 1)
        theirs = draw_theirs(pipeline, monkeypatch, clean[one], noise[one], [edges[one], tiles[one]], **options)
        assert torch.allclose(ours[one], theirs, atol=1e-4)
    other = draw_ours(sdxl, load(sdxl, given[0], f"canny={folder}:1.3:0-0.5"), photos, solver="ddim")[2]
    assert (ours - other).abs().max() > 0.01, "each kind acts in an interval of its own"


def test_only_a_union_takes_several_kinds_and_only_kinds_that_it_sees_together_count_as_such(
    sdxl: BaseModel, tmp_path: Path
) -> None:
    plain = save_control(tmp_path / "plain", sdxl)
    with pytest.raises(
        BaseModelError, match="control canny and tile: expected a Union at .*plain, .* a plain one; nam"
    ):
        load(sdxl, f"canny={plain}", f"tile={plain}")
    union = save_control(tmp_path / "union", sdxl, union_types=8)
    copied = shutil.copytree(union, tmp_path / "copy")
    alone, together = load(sdxl, f"canny={union}"), load(sdxl, f"canny={union}", f"tile={copied}")
    assert len(together.controls) == 1, "copies of one Union are one network"
    assert together.used[0].facts == [*alone.used[0].facts, "joint"]


@pytest.mark.parametrize("goal", [{}, {"keep_structure": 1.0}])
def test_a_picture_does_not_depend_on_its_batch(
    base: BaseModel, tmp_path: Path, make_bank: Any, goal: dict[str, Any]
) -> None:
    depth_model = save_depth_model(tmp_path / "depth-model")
    kinds = ("canny", "depth", "tile")
    given = [f"{kind}={save_control(tmp_path / kind, base, seed=n)}" for n, kind in enumerate(kinds)]
    controls = load(base, *given, depth_model=depth_model, num_steps=2)
    facts = {"steps": 4, "strength": 0.5, "guidance": 2.0, "resolution_px": 32, "solver": "lcm", "structure": 0.4}
    style = Style("novak", ((make_bank(), 1.0),))
    stylizer = Stylizer(base, [style], StylizeRecipe(**facts | {"colour": "free"} | goal), controls)
    scenes = [draw_scene(70_000_020 + n, width_px=48, height_px=32).image for n in range(3)]
    photos = [stylizer.prepare(f"{n}", scene) for n, scene in enumerate(scenes)]
    together = list(stylizer.stylize_batch(photos))
    for photo, found in zip(photos, together, strict=True):
        [alone] = stylizer.stylize_batch([photo])
        assert found.rgb is not None and alone.rgb is not None
        assert np.abs(found.rgb.astype(int) - alone.rgb).max() <= 2
        assert found.kept == alone.kept
    [blank] = Stylizer(base, [style], stylizer.recipe, controls).stylize_batch([photos[0].blank])
    assert blank.rgb is not None
    [plain] = Stylizer(base, [style], stylizer.recipe).stylize_batch(photos[:1])
    assert plain.rgb is not None and np.abs(plain.rgb.astype(int) - together[0].rgb).max() > 2


def test_depth_is_that_of_transformers(tmp_path: Path) -> None:
    folder = save_depth_model(tmp_path / "depth-model")
    scene = draw_scene(70_000_030, width_px=64, height_px=48).image
    theirs = transformers_pipeline(
        "depth-estimation", model=str(folder), image_processor=AutoImageProcessor.from_pretrained(folder)
    )
    expected = np.asarray(theirs(Image.fromarray(scene))["depth"]).astype(int)  # pyright: ignore
    model = DepthModel(folder, torch.device("cpu"))
    found = model.estimate(scene)
    assert found.shape == (48, 64) and np.abs(found.numpy().astype(int) - expected).max() <= 1
    assert (expected.min(), expected.max()) == (0, 255)
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
    assert torch.equal(DepthModel(folder, torch.device("cpu")).estimate(scene), found)
    meters = save_depth_model(tmp_path / "meters", depth_estimation_type="metric")
    with pytest.raises(BaseModelError, match="expected a model of relative depth, .* found one of meters; take"):
        DepthModel(meters, torch.device("cpu"))


def test_the_images_of_a_photo_are_computed_where_it_is_decoded() -> None:
    data = draw_photo(1)
    options = DecodeOptions(10**7, "white", "working", 32, 16, 10.0, control_kinds=("canny", "gray"))
    photo = decode_photo("a.jpg", data, options).photo
    for kind in ("canny", "gray"):
        assert np.array_equal(photo.control_images[kind], draw_control_image(kind, photo.padded))
    assert set(np.unique(photo.control_images["canny"])) == {0, 255}
    edges = draw_control_image("canny", np.pad(np.full((8, 8, 3), 255, np.uint8), ((4, 4), (4, 4), (0, 0))))
    assert edges[4:12, 3:5].any() and not edges[7:9, 7:9].any()

"""Build the inputs of a benchmark: weights, photos, artworks, a bank in a catalog.

`mini` is the embedded base model. `sd15` is random weights in the shapes of Stable Diffusion 1.5 and of CLIP ViT-L/14,
drawn on the device in bfloat16, and `tiny` is a small version of it for tests. Pictures of random weights mean nothing,
but they cost the same.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from PIL import Image, ImageOps
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPVisionConfig

from artbank.catalog.bank_files import load_bank, load_reference
from artbank.catalog.catalog import Catalog
from artbank.config import TrainConfig
from artbank.diffusion.devices import pick_device
from artbank.gallery.plan import plan_training
from artbank.gallery.train import train_collections
from artbank.mini import WEIGHTS
from artbank.mini.drawing.painters import HELD_OUT, paint
from artbank.mini.drawing.scenes import SUBJECTS, draw_scene
from artbank.recipes import BankRecipe
from artbank.records.bank_records import BankRecord
from artbank.store.objects import Store
from bench.peers.kit import Kit

PHOTO_PX = 3464  # a square of 12 megapixels, so that no peer has to stretch it
_PHOTO_SEED, _ARTWORK_SEED = 61_000_000, 51_000_000
_DRAWN_PX, _GRAIN, _GRAIN_PX = 192, 5.0, 512
_COLLECTION = "bench"


@dataclass(frozen=True)
class Shapes:
    """Sizes of the random networks."""

    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    vae_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers: int = 2
    heads: int = 8
    groups: int = 32
    width: int = 768
    text_layers: int = 12
    text_heads: int = 12
    vocabulary: int = 49408
    latent_px: int = 64
    clip_width: int = 1024
    clip_layers: int = 24
    clip_heads: int = 16
    clip_px: int = 224
    clip_patch: int = 14


SD15 = Shapes()
TINY = Shapes((8, 16, 16, 16), (8, 8, 8, 8), 1, 2, 4, 24, 1, 2, 1100, 8, 32, 1, 2, 32, 8)


def make_kit(
    scratch: Path,
    device: str,
    shapes: Shapes | None,
    *,
    num_photos: int = 16,
    photo_px: int = PHOTO_PX,
    own_photos: Path | None = None,
    steps: int = 60,
    num_artworks: int = 16,
) -> Kit:
    """Build the inputs that all contenders share.

    Args:
        scratch: An empty folder.
        device: Device of all contenders.
        shapes: Shapes of random weights; None for the embedded model.
        num_photos: Number of photos, which are JPEG files.
        photo_px: Their side, px.
        own_photos: Folder of pictures to use as photos, cropped square.
        steps: Training steps of the bank.
        num_artworks: Artworks in its collection.
    """
    place = pick_device(device)
    folder = WEIGHTS if shapes is None else save_random(scratch / "model", shapes, place)
    photos = _write_photos(scratch / "photos", num_photos, photo_px, own_photos)
    artworks = _write_artworks(scratch / "gallery" / _COLLECTION, num_artworks, 4 * _side(folder))
    source = "mini" if shapes is None else str(folder)
    store = str(scratch / "store")
    recipe = BankRecipe(max_steps=steps, patience=10**6, num_crops=2, validate_every=50, learning_rate=1e-2)
    facts = {"gallery_uri": str(scratch / "gallery"), "store_uri": store, "base_model": source, "recipe": recipe}
    config = TrainConfig(**facts, device=str(place), num_samples=1, num_milestones=0)
    record = train_bank(config)
    opened = Store.open(store)
    bank = load_bank(opened, record)
    reference = load_reference(opened, record)
    assert Catalog(opened).find(_COLLECTION) == record
    return Kit(source, folder, place, scratch, _side(folder), photos, artworks, store, bank, reference)


def train_bank(config: TrainConfig) -> BankRecord:
    """Train the bank of the only collection of a gallery."""
    [end] = train_collections(config, plan_training(config).jobs).values()
    if isinstance(end, Exception):
        raise end
    return end


def save_random(folder: Path, shapes: Shapes, device: torch.device) -> Path:
    """Draw random networks on a device, and save them in diffusers' layout in bfloat16, with a CLIP beside them."""
    torch.manual_seed(0)
    with device:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        try:
            networks = {"unet": _make_unet(shapes), "vae": _make_vae(shapes), "text_encoder": _make_text(shapes)}
            networks["clip"] = _make_clip(shapes)
        finally:
            torch.set_default_dtype(before)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: networks[name].to(torch.bfloat16).save_pretrained(folder / name), networks))
    shutil.copytree(WEIGHTS / "tokenizer", folder / "tokenizer")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(WEIGHTS / "clip" / name, folder / "clip" / name)
    size = {"size": {"shortest_edge": shapes.clip_px}, "crop_size": {"height": shapes.clip_px, "width": shapes.clip_px}}
    CLIPImageProcessorPil(**size).save_pretrained(folder / "clip")
    schedule = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    PNDMScheduler(**schedule, skip_prk_steps=True, set_alpha_to_one=False).save_pretrained(folder / "scheduler")
    return folder


def _make_unet(shapes: Shapes) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=shapes.latent_px,
        block_out_channels=shapes.channels,
        layers_per_block=shapes.layers,
        norm_num_groups=shapes.groups,
        cross_attention_dim=shapes.width,
        attention_head_dim=shapes.heads,
    )


def _make_vae(shapes: Shapes) -> AutoencoderKL:
    levels = len(shapes.vae_channels)
    return AutoencoderKL(
        block_out_channels=shapes.vae_channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=shapes.layers,
        norm_num_groups=shapes.groups,
        sample_size=shapes.latent_px * 2 ** (levels - 1),
    )


def _text_config(shapes: Shapes) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=shapes.vocabulary,
        hidden_size=shapes.width,
        intermediate_size=4 * shapes.width,
        num_hidden_layers=shapes.text_layers,
        num_attention_heads=shapes.text_heads,
        projection_dim=shapes.width,
        bos_token_id=shapes.vocabulary - 2,
        eos_token_id=shapes.vocabulary - 1,
        pad_token_id=shapes.vocabulary - 1,
    )


def _make_text(shapes: Shapes) -> CLIPTextModel:
    return CLIPTextModel(_text_config(shapes))


def _make_clip(shapes: Shapes) -> CLIPModel:
    vision = CLIPVisionConfig(
        hidden_size=shapes.clip_width,
        intermediate_size=4 * shapes.clip_width,
        num_hidden_layers=shapes.clip_layers,
        num_attention_heads=shapes.clip_heads,
        image_size=shapes.clip_px,
        patch_size=shapes.clip_patch,
        projection_dim=shapes.width,
    )
    text: Any = _text_config(shapes).to_dict()
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision.to_dict(), projection_dim=shapes.width))


def _side(folder: Path) -> int:
    """Return the native size of the images of a base model, px."""
    unet = UNet2DConditionModel.load_config(folder / "unet")
    vae = AutoencoderKL.load_config(folder / "vae")
    return unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1)


def _write_photos(folder: Path, count: int, side_px: int, own: Path | None) -> list[Path]:
    """Write JPEG files of a camera's size: drawn scenes, enlarged and with grain, or own photos, cropped square."""
    folder.mkdir(parents=True)
    sources = sorted(own.iterdir())[:count] if own else range(count)
    paths = [folder / f"photo-{number:02d}.jpg" for number in range(len(sources))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda pair: _write_photo(*pair, side_px), zip(paths, sources, strict=True)))
    return paths


def _write_photo(target: Path, source: Path | int, side_px: int) -> None:
    if isinstance(source, Path):
        with Image.open(source) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
        ImageOps.fit(upright, (min(upright.size),) * 2).save(target, "JPEG", quality=92)
        return
    scene = draw_scene(_PHOTO_SEED + source, SUBJECTS[source % len(SUBJECTS)], width_px=_DRAWN_PX, height_px=_DRAWN_PX)
    large = np.asarray(Image.fromarray(scene.image).resize((side_px, side_px), Image.Resampling.BICUBIC), np.float32)
    grain = np.random.default_rng(source).standard_normal((_GRAIN_PX, _GRAIN_PX, 1), np.float32) * _GRAIN
    times = -(-side_px // _GRAIN_PX)
    pixels = large + np.tile(grain, (times, times, 1))[:side_px, :side_px]
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(target, "JPEG", quality=92)


def _write_artworks(folder: Path, count: int, side_px: int) -> list[Path]:
    folder.mkdir(parents=True)
    paths = [folder / f"artwork-{number:02d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        scene = draw_scene(_ARTWORK_SEED + number, width_px=_DRAWN_PX, height_px=_DRAWN_PX)
        painted = paint(scene.image, HELD_OUT[0], number)
        Image.fromarray(painted).resize((side_px, side_px), Image.Resampling.BICUBIC).save(path, "JPEG", quality=92)
    return paths

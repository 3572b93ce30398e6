"""Fixtures of models: the embedded base model, a random bank for it, and tiny ones in the shape of the large ones.

Heavy modules are imported where a fixture needs them, so that light tests start soon.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.text_encoders import text_width, vocabulary_rms

if TYPE_CHECKING:
    from artbank.bank.bank import Bank
    from artbank.diffusion.base_model import BaseModel

MakeBank = Callable[..., "Bank"]


@pytest.fixture(scope="session")
def base() -> BaseModel:
    """The embedded base model; tests leave it as it is."""
    from artbank.diffusion.base_model import BaseModel

    return BaseModel.load("mini", device="cpu")


@pytest.fixture(scope="session")
def make_bank(base: BaseModel) -> MakeBank:
    """Makes a bank of random vectors for the embedded base model."""
    import torch

    from artbank.bank.bank import Bank
    from artbank.recipes import BankRecipe

    def make(num_tokens: int = 3, seed: int = 0, collection: str = "Novak") -> Bank:
        vectors = torch.randn(num_tokens, text_width(base), generator=torch.Generator().manual_seed(seed))
        recipe = BankRecipe(num_tokens=num_tokens)
        return Bank(
            "0" * 16, collection, base.id, base.hash, "f", recipe, vectors * vocabulary_rms(base.prompt_encoder)
        )

    return make


@pytest.fixture(scope="session", params=["sd1", "sd2"])
def large_shape(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model of few channels in the shape of Stable Diffusion 1.x or 2.x."""
    return save_tiny(tmp_path_factory.mktemp("models") / request.param, second=request.param == "sd2")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model; tests must copy it before they change it."""
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model in the shape of SDXL; tests must copy it before they change it."""
    return save_tiny_sdxl(tmp_path_factory.mktemp("models") / "tiny-sdxl")


@pytest.fixture(scope="session")
def sdxl(tiny_sdxl: Path) -> BaseModel:
    """The small SDXL, loaded; tests leave it as it is."""
    from artbank.diffusion.base_model import BaseModel

    return BaseModel.load(str(tiny_sdxl), device="cpu")


def save_tiny(folder: Path, *, second: bool = False) -> Path:
    """Save a random model with the levels, the VAE factor, the scheduler and the heads of the large ones."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from artbank.mini import WEIGHTS

    torch.manual_seed(0)
    width = 32 if second else 24
    UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16, 16, 16),
        norm_num_groups=4,
        layers_per_block=1,
        cross_attention_dim=width,
        attention_head_dim=[1, 2, 2, 2] if second else 2,
        use_linear_projection=second,
    ).save_pretrained(folder / "unet")
    AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
        sample_size=64,
    ).save_pretrained(folder / "vae")
    config = CLIPTextConfig(
        vocab_size=924,
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=922,
        eos_token_id=923,
        pad_token_id=923,
        hidden_act="gelu" if second else "quick_gelu",
    )
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    shutil.copytree(WEIGHTS / "tokenizer", folder / "tokenizer")
    schedule = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    if second:
        scheduler = DDIMScheduler(**schedule, clip_sample=False, set_alpha_to_one=False, prediction_type="v_prediction")
    else:
        scheduler = PNDMScheduler(**schedule, skip_prk_steps=True, set_alpha_to_one=False)
    scheduler.save_pretrained(folder / "scheduler")
    return folder


def save_tiny_sdxl(folder: Path) -> Path:
    """Save a random model with the levels, the text encoders, the VAE factor and the scheduler of SDXL."""
    import torch
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from artbank.mini import WEIGHTS

    torch.manual_seed(0)
    UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        layers_per_block=1,
        transformer_layers_per_block=(1, 1, 2),
        cross_attention_dim=64,
        attention_head_dim=(1, 2, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=40 + 6 * 8,
    ).save_pretrained(folder / "unet")
    AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.13025,
    ).save_pretrained(folder / "vae")
    words = {"vocab_size": 924, "bos_token_id": 922, "eos_token_id": 923}
    shape = {"intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    first = CLIPTextConfig(**words, **shape, hidden_size=24, pad_token_id=923)
    second = CLIPTextConfig(**words, **shape, hidden_size=40, projection_dim=40, pad_token_id=0, hidden_act="gelu")
    CLIPTextModel(first).save_pretrained(folder / "text_encoder")
    CLIPTextModelWithProjection(second).save_pretrained(folder / "text_encoder_2")
    shutil.copytree(WEIGHTS / "tokenizer", folder / "tokenizer")
    shutil.copytree(WEIGHTS / "tokenizer", folder / "tokenizer_2")
    _pad_with(folder / "tokenizer_2", "!")
    schedule = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    EulerDiscreteScheduler(**schedule, timestep_spacing="leading").save_pretrained(folder / "scheduler")
    return folder


@pytest.fixture
def compile_anew() -> Iterator[None]:
    """Forget what the test compiled."""
    import torch

    yield
    torch._dynamo.reset()


def _pad_with(tokenizer: Path, token: str) -> None:
    """Make a tokenizer fill texts with a word, as the second one of SDXL does."""
    path = tokenizer / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": token}))

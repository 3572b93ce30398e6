"""Architectures of the miniature base model: those of Stable Diffusion 1.x, with fewer and narrower layers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
)

NATIVE_PX = 128
VOCABULARY = 1280
TEXT_WIDTH = 192
_START, _END = "<|startoftext|>", "<|endoftext|>"


def train_tokenizer(captions: Iterable[str]) -> CLIPTokenizer:
    """Learn a byte-level BPE vocabulary from captions: their words become single tokens, any other word still encodes.

    Merges of equal frequency come in any order, so two runs may number their tokens differently.

    Returns:
        CLIP's tokenizer with 77 positions and `VOCABULARY` tokens, or fewer if the captions have fewer.
    """
    empty = CLIPTokenizer()
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=_END))
    learner.normalizer = empty.backend_tokenizer.normalizer
    learner.pre_tokenizer = empty.backend_tokenizer.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    num_merges = VOCABULARY - 2 * len(alphabet) - 2
    learner.train_from_iterator(
        captions,
        trainers.BpeTrainer(
            vocab_size=len(alphabet) * 2 + num_merges,
            initial_alphabet=alphabet,
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    with TemporaryDirectory() as folder:
        learner.model.save(folder)
        lines = (Path(folder) / "merges.txt").read_text(encoding="utf-8").splitlines()
    merges = [tuple(line.split(" ")) for line in lines if not line.startswith("#")][:num_merges]
    pieces = alphabet + [f"{letter}</w>" for letter in alphabet] + ["".join(merge) for merge in merges]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys([*pieces, _START, _END]))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77)


def build_vae(channels: tuple[int, ...] = (24, 48, 96)) -> AutoencoderKL:
    """Build the autoencoder: 4 latent channels, one halving fewer than `channels` has levels (3 levels: factor 4)."""
    levels = len(channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=NATIVE_PX,
        scaling_factor=1.0,
        mid_block_add_attention=False,  # 1024 positions would cost more than all convolutions
        force_upcast=False,
    )


def build_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Build the CLIP model: a text tower of 3 layers, a vision tower of 5 layers on 16 px patches, 128 dimensions."""
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=3,
        max_position_embeddings=77,
        projection_dim=128,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = CLIPVisionConfig(
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=5,
        num_attention_heads=3,
        image_size=NATIVE_PX,
        patch_size=16,
        projection_dim=128,
    )
    return CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=128))


def build_clip_processor(tokenizer: CLIPTokenizer) -> CLIPProcessor:
    """Build the preprocessing that goes with `build_clip`: short side to 128 px, centre crop, -1..1."""
    images = CLIPImageProcessorPil(
        size={"shortest_edge": NATIVE_PX},
        crop_size={"height": NATIVE_PX, "width": NATIVE_PX},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return CLIPProcessor(image_processor=images, tokenizer=tokenizer)


def build_unet(latent_side: int = NATIVE_PX // 4) -> UNet2DConditionModel:
    """Build the denoiser: 3 levels, cross-attention on the lower two, two heads a layer."""
    unet = UNet2DConditionModel(
        sample_size=latent_side,
        in_channels=4,
        out_channels=4,
        block_out_channels=(64, 112, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=(1, 2, 2),  # read as the number of heads by diffusers
        norm_num_groups=16,
    )
    use_fastest_attention(unet)
    return unet


def build_controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """Build a ControlNet for a UNet of `build_unet`: a copy of its way down, for images of four times the latents."""
    return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32, 64))


def use_fastest_attention(network: UNet2DConditionModel | ControlNetModel) -> None:
    """Use plain matrix products on CPU, which are faster there than the fused kernel in bf16."""
    if not torch.cuda.is_available():
        network.set_attn_processor(AttnProcessor())


def build_scheduler() -> DDIMScheduler:
    """Build Stable Diffusion's noise schedule: 1000 steps, scaled-linear betas, noise prediction."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def build_pipeline(
    vae: AutoencoderKL, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, unet: UNet2DConditionModel
) -> StableDiffusionPipeline:
    """Join the parts as a Stable Diffusion pipeline (without a safety checker: the corpus has nothing to check for)."""
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def load_text_encoder(clip_folder: Path) -> CLIPTextModel:
    """Take the text tower out of a saved CLIP model, as Stable Diffusion does."""
    clip = CLIPModel.from_pretrained(clip_folder)
    encoder = CLIPTextModel(clip.config.text_config)
    encoder.load_state_dict(clip.text_model.state_dict())
    return encoder

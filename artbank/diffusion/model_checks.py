"""Check that the parts of a base model fit together and are of a supported kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

from artbank.diffusion.family import find_family
from artbank.diffusion.prompt_encoder import ClipText
from artbank.diffusion.prompted_network import NUM_SIZES, count_pooled
from artbank.diffusion.unet import find_unsupported
from artbank.errors import BaseModelError


def check_parts(
    folder: Path,
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
    scheduler: DDIMScheduler,
    text_encoders: Sequence[ClipText],
) -> None:
    """Check the parts of a base model; works before their weights are loaded, too.

    Args:
        folder: Named in the error.
        unet: Its UNet.
        vae: Its VAE.
        scheduler: Its noise schedule.
        text_encoders: All of its text encoders, in the order of its family.

    Raises:
        BaseModelError: The parts do not fit together, or the model is of another kind.
    """
    family = find_family(unet.config)
    width = sum(encoder.config.hidden_size for encoder in text_encoders)
    if unet.config.cross_attention_dim != width:
        encoders = "text encoder's" if len(text_encoders) == 1 else "text encoders' together"
        raise BaseModelError(
            f"{folder}: expected a UNet for text of width {width}, the {encoders}, "
            f"found one for {unet.config.cross_attention_dim}; take both from the same model"
        )
    if unsupported := find_unsupported(unet):
        raise BaseModelError(
            f"{folder}: expected a UNet of {family.title}, found one with {unsupported}; take another model"
        )
    if family.takes_pooled_text:
        _check_pooled(folder, unet, text_encoders[-1])
    _check_vae(folder, unet, vae)
    _check_schedule(folder, scheduler)


def _check_pooled(folder: Path, unet: UNet2DConditionModel, text_encoder: ClipText) -> None:
    """Check the projection of the last text encoder, and the input of the UNet that takes it."""
    projected = text_encoder.config.projection_dim
    taken = count_pooled(unet)
    if projected != taken:
        raise BaseModelError(
            f"{folder}: expected a UNet for pooled text of width {projected} and {NUM_SIZES} sizes, the last text "
            f"encoder's, found one for {taken}; take both from the same model"
        )


def _check_vae(folder: Path, unet: UNet2DConditionModel, vae: AutoencoderKL) -> None:
    latent_channels = vae.config.latent_channels
    if unet.config.in_channels != latent_channels:
        raise BaseModelError(
            f"{folder}: expected a UNet for the VAE's {latent_channels} channels, "
            f"found one for {unet.config.in_channels}; inpainting and depth models are not supported"
        )
    if vae.config.get("latents_mean") is not None or vae.config.get("shift_factor"):
        raise BaseModelError(
            f"{folder}: expected a VAE with one factor for all latents, found one with a mean or shift of its own; "
            "take another model"
        )


def _check_schedule(folder: Path, scheduler: DDIMScheduler) -> None:
    """Check that the settings name a noise schedule of betas; where they do not, the library takes one of its own."""
    taken_by_default = scheduler.config.get("_use_default_values", ())
    has_betas = "beta_schedule" not in taken_by_default or scheduler.config.trained_betas is not None
    if not has_betas or scheduler.config.get("use_flow_sigmas"):
        raise BaseModelError(
            f"{folder}: expected a noise schedule with a beta_schedule in its scheduler_config.json, found one without "
            "it; EDM, flow and consistency models are not supported, take another model"
        )
    prediction_type = scheduler.config.prediction_type
    if prediction_type not in ("epsilon", "v_prediction"):
        raise BaseModelError(
            f"{folder}: expected prediction type epsilon or v_prediction, found {prediction_type}; take another model"
        )
    if scheduler.alphas_cumprod[-1].item() <= 0 and prediction_type == "epsilon":
        raise BaseModelError(
            f"{folder}: expected prediction type v_prediction for a schedule that ends in noise alone "
            "(rescale_betas_zero_snr, or trained_betas up to 1), found epsilon; correct its scheduler_config.json"
        )

"""Check that the parts of a base model fit together and are of a supported kind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from artbank.diffusion.unet import NUM_SIZES, count_pooled, find_unsupported
from artbank.errors import BaseModelError

if TYPE_CHECKING:
    from artbank.diffusion.base_model import BaseModel


def check_supported(base: BaseModel, folder: Path) -> None:
    """Check a base model; works before its weights are loaded, too.

    Args:
        base: The model.
        folder: Named in the error.

    Raises:
        BaseModelError: Its parts do not fit together, or it is of another kind.
    """
    unet = base.unet.config
    if unet.cross_attention_dim != base.text_width:
        encoders = "text encoder's" if len(base.text_widths) == 1 else "text encoders' together"
        raise BaseModelError(
            f"{folder}: expected a UNet for text of width {base.text_width}, the {encoders}, "
            f"found one for {unet.cross_attention_dim}; take both from the same model"
        )
    if unsupported := find_unsupported(base.unet):
        raise BaseModelError(
            f"{folder}: expected a UNet of {base.family.title}, found one with {unsupported}; take another model"
        )
    if base.family.takes_pooled_text:
        _check_pooled(base, folder)
    _check_vae(base, folder)
    _check_schedule(base, folder)


def _check_pooled(base: BaseModel, folder: Path) -> None:
    """Check the projection of the last text encoder, and the input of the UNet that takes it."""
    assert base.text_encoder_2 is not None
    projected = base.text_encoder_2.config.projection_dim
    taken = count_pooled(base.unet)
    if projected != taken:
        raise BaseModelError(
            f"{folder}: expected a UNet for pooled text of width {projected} and {NUM_SIZES} sizes, the last text "
            f"encoder's, found one for {taken}; take both from the same model"
        )


def _check_vae(base: BaseModel, folder: Path) -> None:
    latent_channels = base.vae.config.latent_channels
    if base.unet.config.in_channels != latent_channels:
        raise BaseModelError(
            f"{folder}: expected a UNet for the VAE's {latent_channels} channels, "
            f"found one for {base.unet.config.in_channels}; inpainting and depth models are not supported"
        )
    if base.vae.config.get("latents_mean") is not None or base.vae.config.get("shift_factor"):
        raise BaseModelError(
            f"{folder}: expected a VAE with one factor for all latents, found one with a mean or shift of its own; "
            "take another model"
        )


def _check_schedule(base: BaseModel, folder: Path) -> None:
    if base.prediction_type not in ("epsilon", "v_prediction"):
        raise BaseModelError(
            f"{folder}: expected prediction type epsilon or v_prediction, found {base.prediction_type}; "
            "take another model"
        )
    if base.scheduler.config.get("rescale_betas_zero_snr") and base.prediction_type == "epsilon":
        raise BaseModelError(
            f"{folder}: expected prediction type v_prediction for a schedule that ends in noise alone "
            "(rescale_betas_zero_snr), found epsilon; correct its scheduler_config.json"
        )

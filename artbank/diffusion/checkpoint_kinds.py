"""Kinds of base models in a single file, by the names of its tensors; reads no weights.

diffusers' loader takes the tensors that it knows and leaves out the others, also those that change every picture. So a
file is refused if it has such tensors, or if its UNet has more or fewer than the settings ask for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from artbank.diffusion.family import SD, SDXL, Family
from artbank.diffusion.model_limits import check_header
from artbank.errors import BaseModelError
from artbank.store.tensor_files import TensorHeader

UNET = "model.diffusion_model."
"""What the names of the UNet's tensors begin with."""

OPEN_CLIP = {"text_encoder": "cond_stage_model.model.", "text_encoder_2": "conditioner.embedders.1.model."}
"""What the names of a text encoder's tensors begin with if it is an OpenCLIP, by its part."""

_VAE = "first_stage_model."
_FIRST_LAYER = f"{UNET}input_blocks.0.0.weight"
_GUIDANCE_LAYER = f"{UNET}time_embed.cond_proj.weight"
_SCALES = {"scale_weight", "scale_input", "weight_scale", "input_scale", "scaled_fp8", "comfy_quant"}


@dataclass(frozen=True)
class CheckpointKind:
    """A kind of single file.

    Attributes:
        title: Its name for people.
        family: Its family.
        settings: Hub id of the model whose settings its files have.
        assumed: What a file that does not say what it predicts is taken for; empty for kinds that rarely differ.
    """

    title: str
    family: Family
    settings: str
    assumed: str = ""


_KINDS = {
    "conditioner.embedders.1.": CheckpointKind("SDXL", SDXL, "stabilityai/stable-diffusion-xl-base-1.0"),
    "cond_stage_model.transformer.": CheckpointKind(
        "Stable Diffusion 1.x", SD, "stable-diffusion-v1-5/stable-diffusion-v1-5"
    ),
    "cond_stage_model.model.": CheckpointKind(
        "Stable Diffusion 2.x", SD, "stabilityai/stable-diffusion-2-1", "v_prediction at 768 px"
    ),
}
"""The kinds by the first tensors of a text encoder: for SDXL of its second one, since refiners have no first."""


def find_kind(path: Path) -> tuple[CheckpointKind, TensorHeader]:
    """Return the kind of a single file, and its header; reads no weights.

    Raises:
        BaseModelError: The file is damaged, has no VAE, or is of a kind that is not supported.
    """
    header = check_header(path)
    for prefix, kind in _KINDS.items():
        if any(name.startswith(prefix) for name in header.shapes) and _FIRST_LAYER in header.shapes:
            _check_channels(path, header.shapes)
            if other := _find_other(header.shapes):
                raise BaseModelError(f"{path}: expected weights of {kind.title}, found {other}; take another file")
            return kind, header
    if any(name.startswith("conditioner.embedders.0.model.") for name in header.shapes):
        raise BaseModelError(f"{path}: expected a base model, found the refiner of SDXL; take the base of SDXL")
    raise BaseModelError(
        f"{path}: expected the UNet, VAE and text encoders of a Stable Diffusion 1.x, 2.x or SDXL in one file, found "
        f"other tensors, such as {next(iter(header.shapes), 'none')}; take another file"
    )


def check_unet(path: Path, names: Iterable[str], expected: int, settings: Path) -> None:
    """Check that the UNet of a file has as many tensors as its settings ask for.

    Raises:
        BaseModelError: It has more, which would be left out, or fewer.
    """
    num_tensors = sum(name.startswith(UNET) for name in names)
    if num_tensors != expected:
        raise BaseModelError(
            f"{path}: expected a UNet of {expected:,} tensors by the settings of {settings}, found {num_tensors:,}; "
            "take another file, or the settings of the same model"
        )


def _check_channels(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    channels = shapes[_FIRST_LAYER][1]
    if channels != 4:
        raise BaseModelError(
            f"{path}: expected a UNet for 4 channels, found one for {channels}; inpainting and depth models are "
            "not supported"
        )


def _find_other(names: Collection[str]) -> str | None:
    """Return what is found in a file that is not supported, or that it has no VAE, for an error; None if it is fine."""
    if any(name.startswith("edm_") for name in names):
        return "an EDM model, such as CosXL or Playground v2.5, which is not supported"
    if _GUIDANCE_LAYER in names:
        return "a consistency model that takes the guidance as an input, which is not supported"
    if any(name.rpartition(".")[2] in _SCALES for name in names):
        return "weights that are quantized with scales, which are not supported"
    if not any(name.startswith(_VAE) for name in names):
        return f"no VAE, whose tensors begin with {_VAE}"
    return None

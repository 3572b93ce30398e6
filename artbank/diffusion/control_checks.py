"""Check that a ControlNet fits a base model, by the settings of both.

A ControlNet adds to the planes of one UNet, so both must have the same levels, widths and text.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers import ControlNetModel, ControlNetUnionModel, UNet2DConditionModel

from artbank.diffusion.family import find_family
from artbank.diffusion.model_files import UNION
from artbank.diffusion.model_limits import read_text
from artbank.diffusion.model_source import parse_source
from artbank.diffusion.weights import MINI
from artbank.errors import BaseModelError
from artbank.parameters.control_specs import ControlKind, ControlSpec

KINDS: dict[str, Any] = {"ControlNetModel": ControlNetModel, UNION: ControlNetUnionModel}
"""The classes of the networks by the setting `_class_name`."""

UNION_TYPES: dict[ControlKind, int] = {"depth": 1, "canny": 3, "tile": 6}
"""The numbers of our kinds in a Union. Source: ControlNetPlus, xinsir; its ProMax has 8 types, the first release 6."""

EMBEDDED_KIND: ControlKind = "gray"
"""The kind of images that the embedded ControlNet was trained to see."""

_BLOCKS = {"DownBlock2D", "CrossAttnDownBlock2D"}
_MIDDLES = {None, "UNetMidBlock2DCrossAttn", "UNetMidBlock2D"}
_SAME = {  # settings that UNet and ControlNet share, by what errors call them; the first that differs is told
    "cross_attention_dim": "text width",
    "addition_embed_type": "further input",
    "projection_class_embeddings_input_dim": "pooled text and sizes of width",
    "block_out_channels": "levels of widths",
    "layers_per_block": "layers in a block",
    "in_channels": "latent channels",
}
_PLAIN: dict[str, Any] = {  # settings, and the values of every ControlNet of these families
    "conditioning_channels": 3,
    "global_pool_conditions": False,
    "only_cross_attention": False,
    "class_embed_type": None,
    "num_class_embeds": None,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "resnet_time_scale_shift": "default",
}


def read_control_settings(folder: Path) -> dict[str, Any]:
    """Return all settings of a ControlNet in a folder that `check_model` found whole."""
    settings = json.loads(read_text(folder / "config.json"))
    parameters = inspect.signature(KINDS[settings["_class_name"]].__init__).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.name != "self"} | settings


def check_control(spec: ControlSpec, settings: Mapping[str, Any], unet: UNet2DConditionModel, factor: int) -> None:
    """Check that a ControlNet fits a base model, by its settings.

    Args:
        spec: How it was asked for.
        settings: From `read_control_settings`.
        unet: The UNet of the base model; works before its weights are loaded, too.
        factor: Image px per latent position.

    Raises:
        BaseModelError: It is for another family, or for other kinds of images.
    """
    where = f"control {spec.kind}={spec.source}"
    if spec.kind != EMBEDDED_KIND and parse_source(spec.source).place == MINI:
        raise BaseModelError(
            f"{where}: expected kind {EMBEDDED_KIND}, which the embedded ControlNet sees, found {spec.kind}; pass "
            f"{EMBEDDED_KIND}={spec.source}"
        )
    try:
        if odd := _find_unsupported(settings):
            raise BaseModelError(
                f"{where}: expected a ControlNet of Stable Diffusion 1.x, 2.x or SDXL, found one with "
                f"{', '.join(odd)}; take another one"
            )
        for name, title in _SAME.items():
            wanted, found = (_as_list(value) for value in (unet.config.get(name), settings.get(name)))
            if wanted != found:
                raise BaseModelError(
                    f"{where}: expected a ControlNet for {find_family(unet.config).title} with {title} {wanted}, as "
                    f"the base model has, found one with {found}; take one for this base model"
                )
        reduction = 2 ** (len(settings["conditioning_embedding_out_channels"]) - 1)
    except (TypeError, ValueError, AttributeError) as error:
        raise BaseModelError(f"{where}: its config.json cannot be read: {error}; fetch it again") from error
    if reduction != factor:
        raise BaseModelError(
            f"{where}: expected images that are reduced {factor} times, as by the base model's VAE, found {reduction} "
            "times; take one for this base model"
        )
    if settings["_class_name"] == UNION:
        _check_kind(spec, settings)


def _check_kind(spec: ControlSpec, settings: Mapping[str, Any]) -> None:
    """Check that a Union knows a kind."""
    count = settings.get("num_control_type", 6)
    number = UNION_TYPES.get(spec.kind)
    if number is None or number >= count:
        known = ", ".join(sorted(kind for kind, type_number in UNION_TYPES.items() if type_number < count))
        hint = "; tile takes the ProMax" if spec.kind == "tile" else ""
        raise BaseModelError(
            f"control {spec.kind}={spec.source}: expected a kind of this Union of {count} types, which are {known}, "
            f"found {spec.kind}{hint}; take another kind or another ControlNet"
        )


def _find_unsupported(settings: Mapping[str, Any]) -> list[str]:
    """Return the parts and settings that no ControlNet of the supported families has."""
    middle = settings.get("mid_block_type")
    blocks = [*sorted({*settings["down_block_types"]} - _BLOCKS), *([] if middle in _MIDDLES else [str(middle)])]
    odd = [f"{name} {settings[name]}" for name, plain in _PLAIN.items() if settings.get(name, plain) != plain]
    return [*blocks, *odd]


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value

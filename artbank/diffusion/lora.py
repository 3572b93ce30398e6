"""Merge LoRA files into the frozen networks: W becomes W + weight * alpha / r * (up @ down) in each layer.

Shape legend: W [out, in] or [out, in, k, k] of a layer, down [r, in], up [out, r].

Source: LoRA, Hu et al., ICLR 2022. diffusers reads the layouts of its own, of kohya's scripts and of PEFT; PEFT merges.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from artbank.diffusion.loading import no_progress_bars
from artbank.diffusion.lora_files import LoraFile, check_lora
from artbank.errors import BaseModelError

logger = logging.getLogger(__name__)

_ADAPTER = "artbank"
_DOWN = (
    ".lora_down.weight",
    ".lora.down.weight",
    "_lora.down.weight",
    ".lora_A.weight",
    ".lora_linear_layer.down.weight",
)
_METADATA = "lora_adapter_metadata"
_MOST_RANK = 1024
_PATTERN_OF_NAMES = re.compile(r"\^?[A-Za-z0-9_.]{1,400}")


@no_progress_bars()
def merge_loras(unet: nn.Module, text_encoders: Mapping[str, nn.Module], loras: Sequence[LoraFile]) -> None:
    """Merge LoRAs into the networks of a base model, one after the other; nothing of PEFT stays in them.

    Args:
        unet: Changed in place.
        text_encoders: By the names of their folders, one or SDXL's two; changed in place, where a LoRA has layers of
            them.
        loras: Checked files.

    Raises:
        BaseModelError: A LoRA is damaged, has values that are not finite, or does not fit the base model.
    """
    for lora in loras:
        try:
            _merge(unet, text_encoders, lora)
        except BaseModelError:
            raise
        except Exception as error:  # on files of another model these libraries raise exceptions of every kind
            raise BaseModelError(
                f"LoRA {lora.spec.uri} does not fit the base model: {str(error)[:300]}; take one for this model"
            ) from error
        logger.info("merged LoRA %s", lora.merged.title)


def _merge(unet: Any, text_encoders: Mapping[str, Any], lora: LoraFile) -> None:
    from diffusers.loaders.lora_pipeline import StableDiffusionLoraLoaderMixin, StableDiffusionXLLoraLoaderMixin
    from diffusers.utils.peft_utils import recurse_remove_peft_layers

    tensors = _read_tensors(lora)
    num_layers = sum(name.endswith(_DOWN) for name in tensors)
    metadata = _read_metadata(lora)
    kinds = (StableDiffusionLoraLoaderMixin, StableDiffusionXLLoraLoaderMixin)
    loader: Any = kinds[len(text_encoders) - 1]  # its type hints leave open how many values it returns
    state, alphas = loader.lora_state_dict(tensors, unet_config=unet.config)
    options: dict[str, Any] = {"adapter_name": _ADAPTER, "metadata": metadata}
    if metadata is None:
        options["network_alphas"] = alphas
    options.setdefault("network_alphas", None)
    try:
        loader.load_lora_into_unet(state, unet=unet, **options)
        for name, text_encoder in text_encoders.items():
            loader.load_lora_into_text_encoder(state, text_encoder=text_encoder, prefix=name, **options)
        layers = _list_layers(unet, *text_encoders.values())
        _check_layers(lora, num_layers, len(layers))
        for layer in layers:
            layer.scale_layer(lora.spec.weight)
            layer.merge(safe_merge=True)  # raises where a weight would not be finite
    finally:
        for network in (unet, *text_encoders.values()):
            recurse_remove_peft_layers(network)
            network.__dict__.pop("peft_config", None)
            network._hf_peft_config_loaded = False


def _read_tensors(lora: LoraFile) -> dict[str, Tensor]:
    """Return the tensors of a LoRA by name, checked to be finite."""
    tensors = safetensors.torch.load_file(lora.path)
    broken = [name for name, tensor in tensors.items() if not tensor.float().isfinite().all()]
    if broken:
        raise BaseModelError(
            f"LoRA {lora.spec.uri}: expected finite values, found others in {broken[0]}; take another file"
        )
    return tensors


def _read_metadata(lora: LoraFile) -> dict[str, Any] | None:
    """Return ranks and alphas that diffusers wrote into the header; None if there are none, and no other setting.

    PEFT would follow all settings that a file holds, among them names of modules to import.
    """
    text = check_lora(lora.path).metadata.get(_METADATA)
    if text is None:
        return None
    settings = json.loads(text)
    kept = {name: value for name, value in settings.items() if _is_safe(name.rpartition(".")[2], value)}
    networks = {name.rpartition(".")[0] for name in kept}
    if any(
        f"{network}.{setting}" not in kept for network in networks for setting in ("r", "lora_alpha", "target_modules")
    ):
        raise BaseModelError(
            f"LoRA {lora.spec.uri}: expected rank, alpha and layers in its header, found others; save it again"
        )
    return kept


def _is_safe(name: str, value: Any) -> bool:
    """Return whether a setting of a LoRA is one that counts when it is merged, with a value of the usual kind."""
    if name == "r":
        return isinstance(value, int) and 0 < value <= _MOST_RANK
    if name == "lora_alpha":
        return isinstance(value, int | float)
    if name == "use_rslora":
        return isinstance(value, bool)
    if name == "target_modules":
        return isinstance(value, list) and all(_is_name(item) for item in value)
    if name in ("rank_pattern", "alpha_pattern"):
        numbers = isinstance(value, Mapping) and all(isinstance(item, int | float) for item in value.values())
        return numbers and all(_is_name(item) for item in value)
    return False


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _PATTERN_OF_NAMES.fullmatch(value) is not None


def _list_layers(*networks: nn.Module) -> list[Any]:
    """Return the layers into which a LoRA was put beside their own weights."""
    from peft.tuners.lora import LoraLayer

    return [module for network in networks for module in network.modules() if isinstance(module, LoraLayer)]


def _check_layers(lora: LoraFile, num_given: int, num_found: int) -> None:
    """Check that every layer of a LoRA has found its own in the networks."""
    if not num_given or num_found != num_given:
        raise BaseModelError(
            f"LoRA {lora.spec.uri}: expected a LoRA for this base model, found {num_given} layers, {num_found} of "
            "which this model has; take one for this model"
        )

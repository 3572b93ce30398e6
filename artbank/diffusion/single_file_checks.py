"""Check a single file of a base model against its settings, by its header alone.

diffusers' own functions give tensors without values their places. So a run refuses a file before its weights are read,
and `artbank doctor` refuses it with the same words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders import single_file_utils

from artbank.diffusion.checkpoint_kinds import OPEN_CLIP, CheckpointKind, check_unet
from artbank.diffusion.loading import build_empty
from artbank.diffusion.model_limits import check_settings
from artbank.errors import BaseModelError
from artbank.store.tensor_files import TensorHeader

_OLDER_TEXT_ENCODER = re.compile(r"^(cond_stage_model\.transformer\.)(?=embeddings|encoder|final_layer_norm)")


def check_fit(path: Path, kind: CheckpointKind, header: TensorHeader, settings: Path) -> None:
    """Check a file against its settings; reads no weights.

    Raises:
        BaseModelError: The settings are beyond all measure, or ask for other tensors than the file has.
    """
    for part in kind.family.networks:
        check_settings(settings / part / "config.json")
    with torch.device("meta"):
        tensors = _build_tensors(path, header)
        for part in kind.family.networks:
            network = _build(part, kind, settings)
            if part == "unet":
                check_unet(path, header.shapes, len(network.state_dict()), settings)
            _check_part(path, part, settings, network, tensors)


def current_name(name: str) -> str:
    """Return the name of a tensor as diffusers knows it; the first files of Stable Diffusion 1.x had a shorter one."""
    return _OLDER_TEXT_ENCODER.sub(r"\1text_model.", name)


def _build_tensors(path: Path, header: TensorHeader) -> dict[str, torch.Tensor]:
    """Return tensors without values on the default device, which is `meta`."""
    try:
        return {current_name(name): torch.empty(shape) for name, shape in header.shapes.items()}
    except (RuntimeError, TypeError) as error:
        text = str(error).splitlines()[0]
        raise BaseModelError(f"{path}: found tensors of a size that cannot be: {text}; take another file") from error


def _build(part: str, kind: CheckpointKind, settings: Path) -> Any:
    try:
        return build_empty(part, settings / part)
    except Exception as error:  # on damaged files the library raises exceptions of every kind
        raise BaseModelError(f"{settings}/{part} cannot be loaded: {error}; copy those of {kind.settings}") from error


def _check_part(path: Path, part: str, settings: Path, network: Any, tensors: Mapping[str, torch.Tensor]) -> None:
    """Check that a file has all tensors of a network, in their shapes."""
    try:
        placed = {_short(name): value for name, value in _place(part, network, dict(tensors)).items()}
    except KeyError as error:
        raise _missing_error(path, part, [str(error.args[0])]) from error
    except Exception as error:  # on tensors of odd shapes the library raises exceptions of every kind
        raise BaseModelError(f"{path}: tensors of its {part} cannot be read: {error}; take another file") from error
    expected = {_short(name): value.shape for name, value in network.state_dict().items()}
    if missing := [name for name in expected if placed.get(name) is None]:
        raise _missing_error(path, part, missing)
    for name, shape in expected.items():
        if placed[name].shape != shape:
            raise BaseModelError(
                f"{path}: expected a tensor {name} of shape {list(shape)} in its {part} by the settings of {settings}, "
                f"found {list(placed[name].shape)}; take another file, or the settings of the same model"
            )


def _place(part: str, network: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of a network by the names that it has in diffusers; None where one is missing."""
    if part == "unet":
        return single_file_utils.convert_ldm_unet_checkpoint(tensors, network.config)
    if part == "vae":
        return single_file_utils.convert_ldm_vae_checkpoint(tensors, network.config)
    prefix = OPEN_CLIP[part]
    if any(name.startswith(prefix) for name in tensors):
        return single_file_utils.convert_open_clip_checkpoint(network, tensors, prefix=prefix)
    return single_file_utils.convert_ldm_clip_checkpoint(tensors)


def _missing_error(path: Path, part: str, names: Sequence[str]) -> BaseModelError:
    others = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return BaseModelError(
        f"{path}: tensors of its {part} are missing: {', '.join(names[:3])}{others}; take another file"
    )


def _short(name: str) -> str:
    """Return the name of a tensor of a text encoder in any version of transformers."""
    return name.removeprefix("text_model.")

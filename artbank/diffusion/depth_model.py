"""A network that estimates the depth of photos, for ControlNets that see it.

Shape legend: H x W a photo, uint8 [H, W, 3] sRGB; its depth uint8 [H, W], 255 for the nearest point.

The network, the size that it sees and the size of its answer are those of transformers' depth estimation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoImageProcessor, AutoModelForDepthEstimation

from artbank.diffusion.loading import no_progress_bars
from artbank.diffusion.model_files import DEPTH_MODEL, check_model, find_variant
from artbank.diffusion.model_limits import read_text
from artbank.diffusion.tensors import copy_to_device
from artbank.errors import BaseModelError
from artbank.runtime.counts import number_are

_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


class DepthModel:
    """A frozen Depth Anything or DPT, in float32 on every device."""

    @no_progress_bars()
    def __init__(self, folder: Path, device: torch.device):
        """Load a model from a folder.

        Args:
            folder: The model.
            device: Device of the network.

        Raises:
            BaseModelError: A part is missing or damaged, it is another kind of model, or it estimates meters.
        """
        check_depth_model(folder)
        options: dict[str, Any] = {**_LOCAL, "dtype": torch.float32, "output_loading_info": True}
        options["variant"] = find_variant(DEPTH_MODEL, folder)
        try:
            # The other backend imports torchvision, which may not be installed.
            self._processor: Any = AutoImageProcessor.from_pretrained(folder, **_LOCAL, backend="pil")
            network, info = AutoModelForDepthEstimation.from_pretrained(folder, use_safetensors=True, **options)
        except Exception as error:  # on damaged files the library raises exceptions of every kind
            text = " ".join(str(error).split())[:300]
            raise BaseModelError(f"depth model folder {folder} cannot be read: {text}; fetch it again") from error
        if missing := sorted(info["missing_keys"]):
            raise BaseModelError(
                f"depth model folder {folder}: {number_are(len(missing), 'tensor')} missing in its weights, such as "
                f"{', '.join(missing[:3])}; fetch it again"
            )
        self._network: Any = network.eval().requires_grad_(False).to(device)
        self._device = device

    @torch.no_grad()
    def estimate(self, photo: np.ndarray) -> Tensor:
        """Return the depth of a photo, on the model's device; of one whose points are all as near, zeros.

        Photos are seen one by one, so that none depends on others.
        """
        pixels = self._processor(images=photo, return_tensors="pt")["pixel_values"]
        outputs = self._network(copy_to_device(pixels, self._device))
        [found] = self._processor.post_process_depth_estimation(outputs, [photo.shape[:2]])
        depth = found["predicted_depth"]  # [H, W]
        low, high = depth.min(), depth.max()
        return ((depth - low) / (high - low).clamp_min(torch.finfo().tiny) * 255).byte()


def check_depth_model(folder: Path) -> None:
    """Check that a folder has every part of a model of relative depth, which is larger for nearer points.

    Raises:
        BaseModelError: See `check_model`; or it estimates meters.
    """
    check_model(DEPTH_MODEL, folder)
    if json.loads(read_text(folder / "config.json")).get("depth_estimation_type") == "metric":
        raise BaseModelError(
            f"depth model folder {folder}: expected a model of relative depth, which ControlNets were trained with, "
            "found one of meters; take the relative one"
        )

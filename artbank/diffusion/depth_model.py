"""A network that estimates the depth of photos, for ControlNets that see it.

Shape legend: H x W a photo, uint8 [H, W, 3] sRGB; its depth uint8 [H, W], 255 for the nearest point.

The network, the size that it sees and the size of its answer are those of transformers' depth estimation.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForDepthEstimation

from artbank.diffusion.image_networks import load_image_network
from artbank.diffusion.model_files import DEPTH_MODEL, check_model
from artbank.diffusion.model_limits import read_text
from artbank.diffusion.tensors import copy_to_device
from artbank.errors import BaseModelError


class DepthModel:
    """A frozen Depth Anything or DPT, in float32 on every device."""

    def __init__(self, folder: Path, device: torch.device):
        """Load a model from a folder.

        Args:
            folder: The model.
            device: Device of the network.

        Raises:
            BaseModelError: A part is missing or damaged, it is another kind of model, or it estimates meters.
        """
        check_depth_model(folder)
        self._network, self._processor = load_image_network(DEPTH_MODEL, folder, AutoModelForDepthEstimation, device)
        self._device = device

    @torch.no_grad()
    def estimate(self, photo: np.ndarray) -> Tensor:
        """Return the depth of a photo, on the model's device; of one whose points are all as near, zeros.

        Photos are seen one by one, so that none depends on others.
        """
        pixels = self._processor(images=photo, return_tensors="pt")["pixel_values"]
        outputs = self._network(copy_to_device(pixels, self._device))
        [estimate] = self._processor.post_process_depth_estimation(outputs, [photo.shape[:2]])
        depth = estimate["predicted_depth"]  # [H, W]
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

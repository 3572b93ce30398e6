"""The ControlNets of a run: what they see of each photo, and what they add to the UNet in each step.

Shape legend: B batch, L x D an encoded prompt, C x h x w latents; H' x W' padded working images, uint8 sRGB.

They act in the steps of the denoising alone. The inversion of a photo is that of a run without them.

Source: ArtBank has none. ControlNet, Zhang et al., ICCV 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from artbank.control_specs import ControlKind, ControlSpec, UsedControl
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.control_checks import check_control, read_control_settings
from artbank.diffusion.control_files import ControlFolder, fetch_controls
from artbank.diffusion.controlnet import ControlImages, ControlNet, load_controlnet, scale_residuals
from artbank.diffusion.depth_model import DepthModel
from artbank.diffusion.prompted_network import PromptCache
from artbank.diffusion.tensors import upload
from artbank.diffusion.unet import Residuals, add_planes
from artbank.images.control_images import draw_control_image, is_drawn
from artbank.images.framing import Photo
from artbank.runtime.load_once import LoadOnce


@dataclass(frozen=True)
class Control:
    """A ControlNet with its weight and interval."""

    spec: ControlSpec
    network: ControlNet


@dataclass(frozen=True)
class Controls:
    """The ControlNets of a run.

    Attributes:
        controls: In the order of their kinds.
        used: The same, by what determines the pictures.
        depth_model: Estimates the depth of photos; None without kind `depth`.
    """

    controls: tuple[Control, ...] = ()
    used: tuple[UsedControl, ...] = ()
    depth_model: DepthModel | None = None

    @property
    def drawn_kinds(self) -> tuple[ControlKind, ...]:
        """The kinds whose images are computed where photos are decoded."""
        return tuple(control.spec.kind for control in self.controls if is_drawn(control.spec.kind))

    @property
    def float32_copy(self) -> Controls:
        """A copy in float32."""
        copies = tuple(replace(control, network=control.network.float32_copy) for control in self.controls)
        return replace(self, controls=copies)

    def see(self, photos: Sequence[Photo], originals: Tensor) -> tuple[ControlImages, ...]:
        """Return what each ControlNet sees of the photos of a batch.

        Args:
            photos: Of one bucket, B of them.
            originals: Their padded working images, uint8 [B, 3, H', W'] on the model's device.
        """
        return tuple(
            control.network.embed_images(self._make_images(control.spec.kind, photos, originals))
            for control in self.controls
        )

    def cache_prompts(self, prompts: Tensor) -> tuple[PromptCache, ...]:
        """Return what each ControlNet computes once from encoded prompts [B, L, D]."""
        return tuple(control.network.cache_prompts(prompts) for control in self.controls)

    def acting(self, place: tuple[int, int]) -> list[bool]:
        """Return which ControlNets act in a step; see `predict`."""
        return [control.spec.acts_in(*place) for control in self.controls]

    def predict(
        self,
        latents: Tensor,
        timestep: int,
        place: tuple[int, int],
        caches: Sequence[PromptCache],
        images: Sequence[ControlImages],
        *,
        num_prompts: int = 1,
        is_outer: bool = False,
    ) -> Residuals | None:
        """Return what the ControlNets that act in a step add together to the planes of the UNet; None if none acts.

        Args:
            latents: [B, C, h, w].
            timestep: 0..999.
            place: The number of the step, from 0, and how many are executed.
            caches: See `cache_prompts`.
            images: See `see`.
            num_prompts: The prompts that every sample is denoised with.
            is_outer: See `ControlNet`.
        """
        total: Residuals | None = None
        for control, cache, own in zip(self.controls, caches, images, strict=True):
            if not control.spec.acts_in(*place):
                continue
            found = control.network(latents, timestep, cache, own, num_prompts=num_prompts, is_outer=is_outer)
            found = scale_residuals(found, control.spec.weight)
            total = found if total is None else tuple(map(add_planes, total, found))
        return total

    def _make_images(self, kind: ControlKind, photos: Sequence[Photo], originals: Tensor) -> Tensor:
        """Return the images of a kind, uint8 [B, 3, H', W'] on the model's device."""
        if kind == "tile":
            return originals
        if kind == "depth":
            assert self.depth_model is not None
            depths = [self.depth_model.estimate(original) for original in originals]
            return torch.stack(depths)[:, None].expand(-1, 3, -1, -1)
        drawn = [photo.control_images.get(kind) for photo in photos]
        found = [
            draw_control_image(kind, photo.padded) if one is None else one
            for photo, one in zip(photos, drawn, strict=True)
        ]
        return upload([one[..., None] for one in found], originals.device).expand(-1, 3, -1, -1)


NO_CONTROLS = Controls()


def load_controls(
    specs: Sequence[ControlSpec], depth_model: str | None, base: BaseModel, *, is_offline: bool = False
) -> Controls:
    """Return the ControlNets of a run, with the model that estimates depth; the process loads them once.

    Args:
        specs: Checked together by `read_controls`.
        depth_model: Source of the model that estimates depth; None for none.
        base: The base model, which they must fit.
        is_offline: Make no request to the hub.

    Raises:
        BaseModelError: One is missing or damaged, or does not fit the base model.
        OSError: A store or the hub failed.
    """
    folders = fetch_controls(specs, depth_model, is_offline=is_offline)
    for found in folders:
        check_control(found.spec, read_control_settings(found.folder), base.unet, base.latent_factor)
    networks, depth = _load_networks(tuple(found.at_full_weight for found in folders), base.device, base.dtype)
    controls = tuple(Control(found.spec, network) for found, network in zip(folders, networks, strict=True))
    return Controls(controls, tuple(found.used for found in folders), depth)


@LoadOnce
def _load_networks(
    folders: tuple[ControlFolder, ...], device: torch.device, dtype: torch.dtype
) -> tuple[list[ControlNet], DepthModel | None]:
    depth_folders = [found.depth_folder for found in folders if found.depth_folder is not None]
    networks = [load_controlnet(found, device, dtype) for found in folders]
    return networks, DepthModel(depth_folders[0], device) if depth_folders else None

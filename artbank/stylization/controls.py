"""The ControlNets of a run: they read images of each photo, and add to the planes of the UNet in each step.

Shape legend: B batch, L x D an encoded prompt, C x h x w latents; H' x W' padded working images, uint8 sRGB.

They act in the steps of the denoising alone. The inversion of a photo is that of a run without them.

Source: ArtBank has none. ControlNet, Zhang et al., ICCV 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.control_checks import check_control, read_control_settings
from artbank.diffusion.control_files import ControlFolder, fetch_controls
from artbank.diffusion.controlnet import ControlImages, ControlNet, load_controlnet
from artbank.diffusion.depth_model import DepthModel
from artbank.diffusion.prompted_network import PromptCache
from artbank.diffusion.tensors import upload
from artbank.diffusion.unet import Residuals, add_planes
from artbank.images.control_images import draw_control_image, is_drawn
from artbank.images.framing import Photo
from artbank.parameters.control_specs import ControlKind, ControlSpec, UsedControl, choose_controls, read_controls
from artbank.parameters.recipe_costs import count_steps
from artbank.recipes import StylizeRecipe
from artbank.runtime.load_once import LoadOnce


@dataclass(frozen=True)
class Control:
    """A ControlNet, and how it acts.

    Attributes:
        specs: Kind, weight and interval; several for a Union that sees several kinds together.
        network: The ControlNet.
    """

    specs: tuple[ControlSpec, ...]
    network: ControlNet


@dataclass(frozen=True)
class Controls:
    """The ControlNets of a run.

    Attributes:
        controls: In the order of their first kinds.
        used: By what determines the pictures, one for each kind.
        depth_model: Estimates the depth of photos; None without kind `depth`.
    """

    controls: tuple[Control, ...] = ()
    used: tuple[UsedControl, ...] = ()
    depth_model: DepthModel | None = None

    @property
    def drawn_kinds(self) -> tuple[ControlKind, ...]:
        """The kinds whose images are computed where photos are decoded."""
        return tuple(spec.kind for control in self.controls for spec in control.specs if is_drawn(spec.kind))

    def copy_in_float32(self) -> Controls:
        """Return a copy in float32."""
        copies = tuple(replace(control, network=control.network.copy_in_float32()) for control in self.controls)
        return replace(self, controls=copies)

    def embed_photos(self, photos: Sequence[Photo], originals: Tensor) -> tuple[ControlImages, ...]:
        """Return the images of the photos of a batch as each ControlNet takes them, kind by kind.

        Args:
            photos: B photos of one bucket.
            originals: Their padded working images, uint8 [B, 3, H', W'] on the model's device.
        """
        return tuple(
            control.network.embed_images(self._make_images(spec.kind, photos, originals), spec.kind)
            for control in self.controls
            for spec in control.specs
        )

    def cache_prompts(self, prompts: Tensor) -> tuple[PromptCache, ...]:
        """Return what each ControlNet computes once from encoded prompts [B, L, D]."""
        return tuple(control.network.cache_prompts(prompts) for control in self.controls)

    def acting(self, place: tuple[int, int]) -> list[bool]:
        """Return which kinds of images act in a step; see `predict`."""
        return [spec.acts_in(*place) for control in self.controls for spec in control.specs]

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
            images: See `embed_photos`.
            num_prompts: The prompts that every sample is denoised with.
            is_outer: See `ControlNet`.
        """
        total: Residuals | None = None
        next_images = iter(images)  # those of a ControlNet follow each other, one for each of its kinds
        for control, cache in zip(self.controls, caches, strict=True):
            own_images = [(next(next_images), spec) for spec in control.specs]
            acting = [(image, spec.weight) for image, spec in own_images if spec.acts_in(*place)]
            if not acting:
                continue
            residuals = control.network(latents, timestep, cache, acting, num_prompts=num_prompts, is_outer=is_outer)
            total = residuals if total is None else tuple(map(add_planes, total, residuals))
        return total

    def _make_images(self, kind: ControlKind, photos: Sequence[Photo], originals: Tensor) -> Tensor:
        """Return the images of a kind, uint8 [B, 3, H', W'] on the model's device."""
        if kind == "tile":
            return originals
        if kind == "depth":
            assert self.depth_model is not None
            depths = [self.depth_model.estimate(photo.padded) for photo in photos]
            return torch.stack(depths)[:, None].expand(-1, 3, -1, -1)
        decoded = [photo.control_images.get(kind) for photo in photos]  # drawn where the photo was decoded
        planes = [
            draw_control_image(kind, photo.padded) if image is None else image
            for photo, image in zip(photos, decoded, strict=True)
        ]
        return upload([plane[..., None] for plane in planes], originals.device).expand(-1, 3, -1, -1)


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
    for control in folders:
        check_control(control.spec, read_control_settings(control.folder), base.unet, base.latent_factor)
    groups = _group_by_network(folders)
    depth_folders = [control.depth_folder for control in folders if control.depth_folder is not None]
    networks, loaded_depth_model = _load_networks(
        tuple(group[0].at_full_weight for group in groups), next(iter(depth_folders), None), base.device, base.dtype
    )
    controls = tuple(
        Control(tuple(control.spec for control in group), network)
        for group, network in zip(groups, networks, strict=True)
    )
    return Controls(controls, tuple(control.used for control in folders), loaded_depth_model)


def load_default_controls(base: BaseModel, recipe: StylizeRecipe) -> Controls:
    """Return the ControlNets of a run that names none: see `choose_controls`.

    Args:
        base: The base model.
        recipe: How pictures are drawn.

    Raises:
        BaseModelError: See `load_controls`.
    """
    texts = choose_controls(None, base.id, recipe.structure)
    return load_controls(read_controls(texts, None, count_steps(recipe)), None, base)


def _group_by_network(folders: Sequence[ControlFolder]) -> list[list[ControlFolder]]:
    """Put the kinds together that one Union sees together."""
    groups: dict[str, list[ControlFolder]] = {}
    for control in folders:
        key = control.used.sha256 if control.used.is_joint else control.spec.kind
        groups.setdefault(key, []).append(control)
    return list(groups.values())


@LoadOnce
def _load_networks(
    folders: tuple[ControlFolder, ...], depth_folder: Path | None, device: torch.device, dtype: torch.dtype
) -> tuple[list[ControlNet], DepthModel | None]:
    networks = [load_controlnet(folder, device, dtype) for folder in folders]
    return networks, None if depth_folder is None else DepthModel(depth_folder, device)

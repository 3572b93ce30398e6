"""ControlNets: copies of the way down of a UNet that see an image of the photo, and add to the UNet's planes.

Shape legend: B samples, P prompts that each sample is denoised with; C x h x w latents, H' x W' images; C' x h x w
planes of a level; E width of a time embedding.

The forward pass is that of diffusers' ControlNet and of its Union for SDXL, with the savings of `unet`. What depends on
the image alone is computed once for all steps.

A Union weighs image and latents by an attention whose tokens are the samples of the batch, since the dimensions of
batch and sequence are exchanged in the published code and in diffusers. Then a photo's picture would depend on the
other photos. Here each sample attends to itself alone, which is what the published code computes for a single photo.

Source: Zhang et al., Adding Conditional Control to Text-to-Image Diffusion Models, ICCV 2023; ControlNetPlus, xinsir.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from artbank.control_specs import ControlSpec
from artbank.diffusion.control_checks import KINDS, find_union_type, is_union, read_control_settings
from artbank.diffusion.control_files import ControlFolder
from artbank.diffusion.loading import no_progress_bars
from artbank.diffusion.prompted_network import PromptCache, PromptedNetwork
from artbank.diffusion.unet import Residuals
from artbank.diffusion.unet_blocks import repeat_to, run_encoder, run_outer_encoder
from artbank.errors import BaseModelError


@dataclass(frozen=True)
class ControlImages:
    """The images of a batch as a ControlNet sees them, computed once for all steps.

    Attributes:
        planes: [B, C', h, w].
        size_px: Height H' and width W'.
    """

    planes: Tensor
    size_px: tuple[int, int]

    def only(self, number: int) -> ControlImages:
        """Return those of one photo, counted from 0."""
        return ControlImages(self.planes[number : number + 1], self.size_px)


class ControlNet(PromptedNetwork):
    """A frozen ControlNet, plain or a Union."""

    def __init__(self, network: Any, union_type: int | None = None):
        """Wrap a network of diffusers.

        Args:
            network: One that `check_control` accepts.
            union_type: The number of its kind in a Union; None for a plain ControlNet.
        """
        super().__init__(network)
        self._union_type = union_type
        self._of_kind = None if union_type is None else self._embed_kind(union_type)

    @property
    def float32_copy(self) -> ControlNet:
        """A copy in float32."""
        return ControlNet(copy.deepcopy(self._network).float(), self._union_type)

    @torch.no_grad()
    def embed_images(self, images: Tensor) -> ControlImages:
        """Return what the network computes once from images uint8 [B, 3, H', W'] sRGB."""
        scaled = (images / 255).to(self._dtype).contiguous(memory_format=torch.channels_last)
        if self._network.config.controlnet_conditioning_channel_order == "bgr":
            scaled = scaled.flip(1)
        return ControlImages(self._network.controlnet_cond_embedding(scaled), (images.shape[2], images.shape[3]))

    @torch.no_grad()
    def __call__(
        self,
        latents: Tensor,
        timestep: int,
        prompts: PromptCache,
        images: ControlImages,
        *,
        num_prompts: int = 1,
        is_outer: bool = False,
    ) -> Residuals:
        """Return what the network adds to the planes of the UNet, at weight 1.

        Args:
            latents: [B, C, h, w].
            timestep: 0..999.
            prompts: The cache of G prompts from this network: G = P, or G = P * B.
            images: See `embed_images`.
            num_prompts: P.
            is_outer: Run the first block alone, for a UNet that takes deep features again.
        """
        network, count = self._network, num_prompts * len(latents)
        sizes = self.embed_size(*images.size_px) if prompts.pooled is not None else None
        times = self.embed_time(timestep)
        if self._of_kind is not None:
            times = times + self._of_kind
        times = self._activate_times(times, prompts, sizes, count)
        x = network.conv_in(latents.to(self._dtype).contiguous(memory_format=torch.channels_last))  # [B, C', h, w]
        x = x + images.planes if self._union_type is None else self._fuse(x, images.planes)
        if len(times) > len(x):  # prompts differ in the time embedding already
            x = repeat_to(x, len(times))
        left = iter(prompts.pairs)
        if is_outer:
            skips = run_outer_encoder(network, x, times, left, count)
            return tuple(convolve(skip) for convolve, skip in zip(network.controlnet_down_blocks, skips, strict=False))
        skips, middle = run_encoder(network, x, times, left, count)
        added = [convolve(skip) for convolve, skip in zip(network.controlnet_down_blocks, skips, strict=True)]
        return (*added, network.controlnet_mid_block(middle))

    @torch.no_grad()
    def _embed_kind(self, union_type: int) -> Tensor:
        """Return what a Union adds to time embeddings for its kind, [1, E]."""
        network = self._network
        kinds = torch.zeros(1, network.config.num_control_type, device=self._device)
        kinds[0, union_type] = 1
        return network.control_add_embedding(network.control_type_proj(kinds.flatten()).reshape(1, -1).to(self._dtype))

    def _fuse(self, x: Tensor, planes: Tensor) -> Tensor:
        """Add to x [B, C', h, w] the planes of the images, and the shift [B, C'] of each that a Union finds."""
        network = self._network
        of_image = planes.mean((2, 3)) + network.task_embedding[self._union_type]
        tokens = torch.stack([of_image, x.mean((2, 3))], dim=1)  # [B, 2, C']
        seen = tokens.flatten(0, 1)[None]  # [1, 2 * B, C']: sequences of one token
        for layer in network.transformer_layes:
            seen = layer(seen)
        shift = network.spatial_ch_projs(seen[0].unflatten(0, (-1, 2))[:, 0])
        return x + planes + shift[..., None, None]


def scale_residuals(residuals: Residuals, weight: float) -> Residuals:
    """Return residuals times a weight."""
    return tuple(one * weight for one in residuals)


@no_progress_bars()
def load_controlnet(found: ControlFolder, device: torch.device, dtype: torch.dtype) -> ControlNet:
    """Load a ControlNet that `check_control` accepted, and freeze it.

    Raises:
        BaseModelError: Its weights are damaged, or are missing in part.
    """
    settings = read_control_settings(found.folder)
    kind = KINDS[settings["_class_name"]]
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "output_loading_info": True}
    try:
        network, info = kind.from_pretrained(found.folder, **options, dtype=dtype)
    except Exception as error:  # on damaged files the library raises exceptions of every kind
        raise _loading_error(found.spec, " ".join(str(error).split())[:300]) from error
    if missing := sorted(info["missing_keys"]):
        raise _loading_error(found.spec, f"{len(missing)} tensors are missing, such as {', '.join(missing[:3])}")
    nn.Module.to(network.requires_grad_(False).eval(), device)
    nn.Module.to(network, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return ControlNet(network, find_union_type(found.spec, settings) if is_union(settings) else None)


def _loading_error(spec: ControlSpec, text: str) -> BaseModelError:
    return BaseModelError(f"control {spec.kind}={spec.source} cannot be loaded: {text}; fetch it again")

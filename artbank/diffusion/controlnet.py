"""ControlNets: copies of the way down of a UNet that see an image of the photo, and add to the UNet's planes.

Shape legend: B samples, P prompts that each sample is denoised with; C x h x w latents, H' x W' images; C' x h x w
planes of a level; E width of a time embedding; S kinds of images that a Union sees together.

The forward pass is that of diffusers' ControlNet and of its Union for SDXL, with the savings of `unet`. Values that
depend on the image alone are computed once for all steps.

A Union weighs image and latents by an attention whose tokens are the samples of the batch, since the dimensions of
batch and sequence are exchanged in the published code and in diffusers. Then a photo's picture would depend on the
other photos. Here each sample attends to itself alone, which is what the published code computes for a single photo.

Source: Zhang et al., Adding Conditional Control to Text-to-Image Diffusion Models, ICCV 2023; ControlNetPlus, xinsir.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import ControlNetUnionModel
from torch import Tensor, nn

from artbank.diffusion.control_checks import KINDS, UNION_TYPES, read_control_settings
from artbank.diffusion.control_files import ControlFolder
from artbank.diffusion.loading import no_progress_bars
from artbank.diffusion.network_copies import in_float32
from artbank.diffusion.prompted_network import PromptCache, PromptedNetwork
from artbank.diffusion.tensors import copy_to_device
from artbank.diffusion.unet import Residuals
from artbank.diffusion.unet_blocks import repeat_to, run_encoder, run_outer_encoder
from artbank.errors import BaseModelError
from artbank.parameters.control_specs import ControlKind, ControlSpec
from artbank.runtime.counts import number_are


@dataclass(frozen=True)
class ControlImages:
    """The images of a batch as a ControlNet sees them, computed once for all steps.

    Attributes:
        planes: [B, C', h, w].
        size_px: Height H' and width W'.
        union_type: The number of their kind in a Union; None for a plain ControlNet.
    """

    planes: Tensor
    size_px: tuple[int, int]
    union_type: int | None

    def only(self, number: int) -> ControlImages:
        """Return those of one photo, counted from 0."""
        return replace(self, planes=self.planes[number : number + 1])


WeightedImages = Sequence[tuple[ControlImages, float]]
"""Images of one or, for a Union, several kinds, each with the weight of its kind."""


class ControlNet(PromptedNetwork):
    """A frozen ControlNet, plain or a Union."""

    def __init__(self, network: Any):
        """Wrap a network of diffusers that `check_control` accepts."""
        super().__init__(network)
        self._is_union = isinstance(network, ControlNetUnionModel)
        self._kind_embeddings: dict[tuple[int, ...], Tensor] = {}

    def copy_in_float32(self) -> ControlNet:
        """Return a copy in float32."""
        return ControlNet(in_float32(self._network))

    @torch.no_grad()
    def embed_images(self, images: Tensor, kind: ControlKind) -> ControlImages:
        """Return what the network computes once from images uint8 [B, 3, H', W'] sRGB of a kind."""
        scaled = (images / 255).to(self._dtype).contiguous(memory_format=torch.channels_last)
        if self._network.config.controlnet_conditioning_channel_order == "bgr":
            scaled = scaled.flip(1)
        planes = self._network.controlnet_cond_embedding(scaled)
        return ControlImages(planes, (images.shape[2], images.shape[3]), UNION_TYPES[kind] if self._is_union else None)

    @torch.no_grad()
    def __call__(
        self,
        latents: Tensor,
        timestep: int,
        prompts: PromptCache,
        images: WeightedImages,
        *,
        num_prompts: int = 1,
        is_outer: bool = False,
    ) -> Residuals:
        """Return what the network adds to the planes of the UNet.

        Args:
            latents: [B, C, h, w].
            timestep: 0..999.
            prompts: The cache of G prompts from this network: G = P, or G = P * B.
            images: See `embed_images`; a plain ControlNet takes one kind.
            num_prompts: P.
            is_outer: Run the first block alone, for a UNet that takes deep features again.
        """
        network = self._network
        count = num_prompts * len(latents)
        first, weight = images[0]
        sizes = self.embed_size(*first.size_px) if prompts.pooled is not None else None
        if self._is_union:
            times = self.embed_time(timestep) + self._embed_kinds(images)
            all_shifts = self._project(self._add_pooled(times, prompts, sizes, count))
        else:
            all_shifts = self._find_shifts(timestep, prompts, sizes, count)
        x = network.conv_in(latents.to(self._dtype).contiguous(memory_format=torch.channels_last))  # [B, C', h, w]
        x = self._fuse(x, images) if self._is_union else x + first.planes
        x = repeat_to(x, max(len(all_shifts[0]), len(x)))  # prompts may differ in the time embedding already
        shifts = iter(all_shifts)
        key_values = iter(prompts.pairs)
        if is_outer:
            skips = run_outer_encoder(network, x, shifts, key_values, count)
            of_middle = []
        else:
            skips, middle = run_encoder(network, x, shifts, key_values, count)
            of_middle = [network.controlnet_mid_block(middle)]
        convolutions = zip(network.controlnet_down_blocks, skips, strict=not is_outer)
        of_skips = [convolve(skip) for convolve, skip in convolutions]
        return tuple(planes if len(images) > 1 else planes * weight for planes in (*of_skips, *of_middle))

    def _embed_kinds(self, images: WeightedImages) -> Tensor:
        """Return what a Union adds to time embeddings for the kinds that it sees, [1, E]; it is computed once."""
        types = tuple(_type_of(control) for control, _ in images)
        if types not in self._kind_embeddings:
            network = self._network
            kinds = torch.zeros(network.config.num_control_type)
            kinds[list(types)] = 1
            projected = network.control_type_proj(copy_to_device(kinds, self._device)).reshape(1, -1)
            self._kind_embeddings[types] = network.control_add_embedding(projected.to(self._dtype))
        return self._kind_embeddings[types]

    def _fuse(self, x: Tensor, images: WeightedImages) -> Tensor:
        """Add to x [B, C', h, w] the planes of S kinds of images, and the shift [B, C'] of each that a Union finds.

        Several kinds are weighed here; the weight of a single one is a factor of the residuals.
        """
        network = self._network
        weights = [weight if len(images) > 1 else 1.0 for _, weight in images]
        of_images = [
            weight * (control.planes.mean((2, 3)) + network.task_embedding[_type_of(control)])
            for (control, _), weight in zip(images, weights, strict=True)
        ]
        tokens = torch.stack([*of_images, x.mean((2, 3))], dim=1)  # [B, S + 1, C']
        fused = tokens.flatten(0, 1)[None]  # [1, (S + 1) * B, C']: sequences of one token
        for layer in network.transformer_layes:
            fused = layer(fused)
        shifts = network.spatial_ch_projs(fused[0].unflatten(0, tokens.shape[:2]))  # [B, S + 1, C']
        for number, ((control, _), weight) in enumerate(zip(images, weights, strict=True)):
            x = x + weight * (control.planes + shifts[:, number, :, None, None])
        return x


def _type_of(images: ControlImages) -> int:
    assert images.union_type is not None, "embedded by a plain ControlNet"
    return images.union_type


@no_progress_bars()
def load_controlnet(folder: ControlFolder, device: torch.device, dtype: torch.dtype) -> ControlNet:
    """Load a ControlNet that `check_control` accepted, and freeze it.

    Raises:
        BaseModelError: Its weights are damaged, or are missing in part.
    """
    settings = read_control_settings(folder.folder)
    kind = KINDS[settings["_class_name"]]
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "output_loading_info": True}
    try:
        network, info = kind.from_pretrained(folder.folder, **options, dtype=dtype)
    except Exception as error:  # on damaged files the library raises exceptions of every kind
        raise _loading_error(folder.spec, " ".join(str(error).split())[:300]) from error
    if missing := sorted(info["missing_keys"]):
        raise _loading_error(
            folder.spec, f"{number_are(len(missing), 'tensor')} missing, such as {', '.join(missing[:3])}"
        )
    nn.Module.to(network.requires_grad_(False).eval(), device)
    nn.Module.to(network, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return ControlNet(network)


def _loading_error(spec: ControlSpec, text: str) -> BaseModelError:
    return BaseModelError(f"control {spec.kind}={spec.source} cannot be loaded: {text}; fetch it again")

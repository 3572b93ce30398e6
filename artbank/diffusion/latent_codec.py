"""Images to latents and back by the VAE of a base model, within the memory of its device.

The VAE is small, but a plane of an SDXL picture is large: decoding needs more memory than all other calls. So a call
takes as many images as fit. Where not even one fits, the other networks of the base model wait in main memory
meanwhile. Neither changes a picture, so none depends on the card. Tiles would: the norms of each see that tile alone,
which shifts its colours; on the embedded VAE by 6 of 255 in the mean.

Shape legend: B images of H x W px, -1..1; C latent channels, h x w latent size. Latents are scaled by the VAE's factor.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from artbank.diffusion.compilation import VAE_SECONDS, Compiled, Compiler
from artbank.diffusion.offloading import Offloader, measure_free, plan_call
from artbank.diffusion.vae_memory import count_decode_bytes, count_encode_bytes
from artbank.parameters.run_config import Offload

logger = logging.getLogger(__name__)

_MARGIN = 1.4  # for what convolutions take for themselves, and for memory that is free but in pieces; never measured


class LatentCodec:
    """The VAE of a base model."""

    def __init__(
        self,
        vae: AutoencoderKL,
        others: Sequence[nn.Module],
        *,
        most: int,
        offload: Offload = "auto",
        measure: Callable[[torch.device], int | None] = measure_free,
        compiler: Compiler | None = None,
    ):
        """Wrap a VAE that is on its device.

        Args:
            vae: Frozen.
            others: The other networks of the base model, those first that leave the device first.
            most: Images in one call, at most.
            offload: See `RunConfig.offload`.
            measure: Returns the free bytes of a device; None if they are unknown.
            compiler: Decides for which shapes the VAE is compiled, and is stopped where other networks must wait,
                because compiled code keeps the addresses of their weights; None for none.
        """
        self._vae = vae
        self._offloader = Offloader(others)
        self._most = most
        self._offload: Offload = offload
        self._measure = measure
        self._has_told = False
        self._compiler = compiler or Compiler()
        self._compute_moments: Callable[..., Tensor] = _run_encoder
        self._compute_images: Callable[..., Tensor] = _run_decoder
        if not self._compiler.is_off:
            self._compute_moments, self._compute_images = (
                Compiled(function, _shape_of_call, self._compiler, name="the VAE", seconds=VAE_SECONDS)
                for function in (_run_encoder, _run_decoder)
            )

    @torch.no_grad()
    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encode images [B, 3, H, W]; returns means and standard deviations of latents, each [B, C, h, w] float32."""
        needed = count_encode_bytes(self._vae, images.shape[2], images.shape[3])
        mean, std = self._run(self._encode, images, needed).chunk(2, dim=1)
        return mean, std

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Decode latents [B, C, h, w] to images [B, 3, H, W] float32, about -1..1."""
        factor = 2 ** (len(self._vae.config.block_out_channels) - 1)
        needed = count_decode_bytes(self._vae, latents.shape[2] * factor, latents.shape[3] * factor)
        return self._run(self._decode, latents, needed)

    def _encode(self, images: Tensor) -> Tensor:
        pixels = images.to(self._vae.device, self._vae.dtype).contiguous(memory_format=torch.channels_last)
        # Both results are copies: a CUDA graph returns every result in the same memory.
        return self._compute_moments(self._vae, pixels).float() * self._vae.config.scaling_factor

    def _decode(self, latents: Tensor) -> Tensor:
        unscaled = (latents / self._vae.config.scaling_factor).to(self._vae.dtype)
        decoded = self._compute_images(self._vae, unscaled.contiguous(memory_format=torch.channels_last))
        return decoded.to(torch.float32, copy=True)

    def _run(self, compute: Callable[[Tensor], Tensor], inputs: Tensor, needed: int) -> Tensor:
        """Compute something for each of B inputs, of which one needs so many bytes."""
        text = ""
        for num_at_once, num_waiting in self._list_plans(math.ceil(needed * _MARGIN)):
            if num_waiting and not self._has_told:
                self._has_told = True
                logger.info("the UNet and the text encoders may wait in main memory while the VAE works; see --offload")
                self._compiler.stop()
            with self._offloader.waiting(num_waiting):
                try:
                    return torch.cat([compute(part) for part in inputs.split(num_at_once)])
                except (torch.OutOfMemoryError, MemoryError) as error:
                    text = str(error)
            # Not in the handler: the error keeps the frames that it passed, and so their memory.
        raise torch.OutOfMemoryError(text)

    def _list_plans(self, needed: int) -> list[tuple[int, int]]:
        """Return the images in a call and the networks that wait: as counted, then the least that can be needed."""
        sizes = [] if self._offload == "off" else self._offloader.sizes
        free = self._measure(self._vae.device)
        if free is None:
            return [(self._most, len(sizes) if self._offload == "on" else 0)]
        if self._offload == "on":
            first = (plan_call(needed, self._most, free + sum(sizes), ())[0], len(sizes))
        else:
            first = plan_call(needed, self._most, free, sizes)
        least = (1, len(sizes))
        return [first] if first == least else [first, least]


def _run_encoder(vae: Any, pixels: Tensor) -> Tensor:
    """Return means and standard deviations of latents [B, 2 C, h, w], unscaled, in the precision of the VAE."""
    posterior = vae.encode(pixels).latent_dist
    return torch.cat([posterior.mean, posterior.std], dim=1)


def _run_decoder(vae: Any, latents: Tensor) -> Tensor:
    """Return the images [B, 3, H, W] of unscaled latents, in the precision of the VAE."""
    return vae.decode(latents).sample


def _shape_of_call(vae: Any, inputs: Tensor) -> Hashable:
    return tuple(inputs.shape)

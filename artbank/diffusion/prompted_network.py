"""The common part of UNets and ControlNets: embeddings of their inputs, and keys and values that prompts give once.

Shape legend: B samples, G cached prompts; L tokens, D text width, Q width of a pooled prompt; H heads of d; E width of
a time embedding, F width of the six sizes of an image; C' planes of a level.

Networks of SDXL add to the time embedding one of the pooled prompt and of the sizes: the original height and width of
an image, the top and left of its crop, and the height and width of that, px.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from artbank.diffusion.tensors import copy_to_device
from artbank.diffusion.text_encoders import split_pooled
from artbank.diffusion.unet_blocks import KeyValue, Shifts, list_resnets, list_transformers, split_heads

NUM_SIZES = 6
"""Numbers of an image that SDXL takes: original height and width, top and left of the crop, its height and width."""


@dataclass(frozen=True)
class PromptCache:
    """The values that a network computes once from G prompts.

    Attributes:
        pairs: Keys and values, one pair for each cross-attention.
        pooled: The pooled prompts [G, Q]; None for a network that takes none.
    """

    pairs: tuple[KeyValue, ...]
    pooled: Tensor | None

    def last(self, count: int) -> PromptCache:
        """Return the last `count` prompts, which take no memory of their own."""
        pairs = tuple((key[-count:], value[-count:]) for key, value in self.pairs)
        return PromptCache(pairs, None if self.pooled is None else self.pooled[-count:])


class PromptedNetwork:
    """A frozen network that sees timesteps, prompts and, for SDXL, the sizes of images."""

    def __init__(self, network: Any):
        """Wrap a UNet or a ControlNet of diffusers."""
        self._network = network
        self._device: torch.device = network.device  # read once: it takes a millisecond
        self._dtype: torch.dtype = network.dtype
        self._cross_attentions = [
            block.attn2 for transformer in list_transformers(network) for block in transformer.transformer_blocks
        ]
        self._pooled_width = count_pooled(network)
        self._resnets = list_resnets(network)
        self._time_embeddings: dict[int, Tensor] = {}
        self._shifts: dict[int, Shifts] = {}
        self._size_embeddings: dict[tuple[int, int], Tensor] = {}

    def cache_prompts(self, prompts: Tensor) -> PromptCache:
        """Compute the keys and values of encoded prompts, see `text_encoders`; gradients flow to the prompts."""
        prompts = prompts.to(self._dtype)
        pooled = None
        if self._pooled_width:
            prompts, pooled = split_pooled(prompts, self._pooled_width)
        pairs = []
        for attention in self._cross_attentions:
            key = split_heads(attention, attention.to_k(prompts))
            value = split_heads(attention, attention.to_v(prompts))
            pairs.append((key, value))
        return PromptCache(tuple(pairs), pooled)

    def embed_time(self, timestep: int) -> Tensor:
        """Return the embedding [1, E] of a timestep; it is computed once."""
        if timestep not in self._time_embeddings:
            with torch.no_grad():
                timesteps = copy_to_device(torch.tensor([timestep]), self._device)
                self._time_embeddings[timestep] = self.embed_times(timesteps)
        return self._time_embeddings[timestep]

    def embed_times(self, timesteps: Tensor) -> Tensor:
        """Return the embeddings [B, E] of timesteps [B]."""
        return self._network.time_embedding(self._network.time_proj(timesteps).to(self._dtype))

    def embed_size(self, height_px: int, width_px: int) -> Tensor:
        """Return the embedding [1, F] of the sizes of an image that is no crop; it is computed once."""
        size = (height_px, width_px)
        if size not in self._size_embeddings:
            with torch.no_grad():
                sizes = copy_to_device(torch.tensor([[*size, 0, 0, *size]]), self._device)
                self._size_embeddings[size] = self.embed_sizes(sizes)
        return self._size_embeddings[size]

    def embed_sizes(self, sizes: Tensor) -> Tensor:
        """Return the embeddings [B, F] of the sizes [B, 6] of images, px."""
        return self._network.add_time_proj(sizes.flatten()).reshape(len(sizes), -1)

    def _find_shifts(self, timesteps: Tensor | int, prompts: PromptCache, sizes: Tensor | None, count: int) -> Shifts:
        """Return what the ResNets add for timesteps; for a single one it is computed once, where no prompt counts.

        Args:
            timesteps: [B], or one for all samples.
            prompts: Their pooled vectors and the sizes are added to the time embeddings.
            sizes: Embeddings [1, F] or [B, F] of the sizes of the images; None for a network that takes none.
            count: Samples with all their prompts.
        """
        if isinstance(timesteps, Tensor):
            return self._project(self._add_pooled(self.embed_times(timesteps), prompts, sizes, count))
        if prompts.pooled is not None:
            return self._project(self._add_pooled(self.embed_time(timesteps), prompts, sizes, count))
        if timesteps not in self._shifts:
            with torch.no_grad():
                self._shifts[timesteps] = self._project(self.embed_time(timesteps))
        return self._shifts[timesteps]

    def _project(self, times: Tensor) -> Shifts:
        """Activate time embeddings [., E], and project them for each ResNet; returns shifts, each [., C']."""
        activated = self._resnets[0].nonlinearity(times)
        return tuple(resnet.time_emb_proj(activated) for resnet in self._resnets)

    def _add_pooled(self, times: Tensor, prompts: PromptCache, sizes: Tensor | None, count: int) -> Tensor:
        if prompts.pooled is None or sizes is None:
            return times
        rows = max(len(prompts.pooled), len(sizes))
        both = torch.cat([prompts.pooled.expand(rows, -1), sizes.expand(rows, -1)], dim=-1)
        return _share(times + self._network.add_embedding(both.to(self._dtype)), count)


def count_pooled(network: Any) -> int:
    """Return the width of the pooled prompt that a network takes, Q; 0 if it takes none."""
    settings = network.config
    if settings.addition_embed_type != "text_time":
        return 0
    return settings.projection_class_embeddings_input_dim - NUM_SIZES * settings.addition_time_embed_dim


def _share(embeddings: Tensor, count: int) -> Tensor:
    """Repeat each of several embeddings [G, E] for the samples in a row that share its prompt, up to `count`."""
    return embeddings if len(embeddings) == 1 else embeddings.repeat_interleave(count // len(embeddings), dim=0)

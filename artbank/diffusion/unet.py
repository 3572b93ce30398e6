"""UNet forward pass for several prompts per sample, with cached cross-attention keys and values.

Shape legend: B samples, P prompts that each sample is denoised with, G cached prompts; L tokens, D text width, Q width
of a pooled prompt; H heads of d; C x h x w latents, E width of a time embedding, F width of the six sizes of an image;
T = h * w positions of a level.

The forward pass is Stable Diffusion's own, over the parts of diffusers' UNet. That of SDXL adds to the time embedding
one of the pooled prompt and of the sizes: the original height and width of an image, the top and left of its crop, and
the height and width of that, px. Two changes save work and change no
result: samples are repeated for their P prompts only from the first cross-attention on, and the keys and values of a
prompt are computed once instead of at every step and for every sample.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from artbank.diffusion.compilation import Compiled
from artbank.diffusion.text_encoders import split_pooled

KeyValue = tuple[Tensor, Tensor]
"""Keys and values of G prompts at one cross-attention, each [G, H, L, d]."""

_BLOCKS = {"DownBlock2D", "CrossAttnDownBlock2D", "UNetMidBlock2DCrossAttn", "CrossAttnUpBlock2D", "UpBlock2D"}
_UNSUPPORTED_SETTINGS = (  # of other models that diffusers' UNet supports
    "class_embed_type",
    "encoder_hid_dim_type",
    "time_cond_proj_dim",
    "time_embedding_act_fn",
    "center_input_sample",
    "dual_cross_attention",
    "only_cross_attention",
    "mid_block_only_cross_attention",
)


NUM_SIZES = 6
"""Numbers of an image that SDXL takes: original height and width, top and left of the crop, its height and width."""


@dataclass(frozen=True)
class PromptCache:
    """What a UNet computes once from G prompts.

    Attributes:
        pairs: Keys and values, one pair for each cross-attention.
        pooled: The pooled prompts [G, Q]; None for a UNet that takes none.
    """

    pairs: tuple[KeyValue, ...]
    pooled: Tensor | None = None


class Denoiser:
    """A frozen UNet in the shape of Stable Diffusion 1.x, 2.x or SDXL."""

    def __init__(self, unet: UNet2DConditionModel, *, compile_after: int | None = None):
        """Wrap a UNet.

        Args:
            unet: One in which `find_unsupported` finds nothing.
            compile_after: Calls with latents of one shape before it is compiled for that shape; None for never.
        """
        self.unet: Any = unet
        self._device = unet.device  # read once: it takes a millisecond
        self._dtype = unet.dtype
        self._cross_attentions = [
            block.attn2 for transformer in _transformers(unet) for block in transformer.transformer_blocks
        ]
        self._pooled_width = count_pooled(unet)
        self._time_embeddings: dict[int, Tensor] = {}
        self._size_embeddings: dict[tuple[int, int], Tensor] = {}
        self._forward: Callable[..., Tensor] = _forward
        if compile_after is not None:
            self._forward = Compiled(_forward, _shape_of_call, after=compile_after)

    def cache_prompts(self, prompts: Tensor) -> PromptCache:
        """Compute the keys and values of encoded prompts, see `text_encoders`; gradients flow to the prompts."""
        prompts = prompts.to(self._dtype)
        pooled = None
        if self._pooled_width:
            prompts, pooled = split_pooled(prompts, self._pooled_width)
        pairs = []
        for attention in self._cross_attentions:
            key = _split_heads(attention, attention.to_k(prompts))
            value = _split_heads(attention, attention.to_v(prompts))
            pairs.append((key, value))
        return PromptCache(tuple(pairs), pooled)

    def embed_time(self, timestep: int) -> Tensor:
        """Return the embedding [1, E] of a timestep; it is computed once."""
        if timestep not in self._time_embeddings:
            with torch.no_grad():
                self._time_embeddings[timestep] = self.embed_times(torch.tensor([timestep], device=self._device))
        return self._time_embeddings[timestep]

    def embed_times(self, timesteps: Tensor) -> Tensor:
        """Return the embeddings [B, E] of timesteps [B]."""
        return self.unet.time_embedding(self.unet.time_proj(timesteps).to(self._dtype))

    def embed_size(self, height_px: int, width_px: int) -> Tensor:
        """Return the embedding [1, F] of the sizes of an image that is no crop; it is computed once."""
        size = (height_px, width_px)
        if size not in self._size_embeddings:
            with torch.no_grad():
                sizes = torch.tensor([[*size, 0, 0, *size]], device=self._device)
                self._size_embeddings[size] = self.embed_sizes(sizes)
        return self._size_embeddings[size]

    def embed_sizes(self, sizes: Tensor) -> Tensor:
        """Return the embeddings [B, F] of the sizes [B, 6] of images, px."""
        return self.unet.add_time_proj(sizes.flatten()).reshape(len(sizes), -1)

    def __call__(
        self,
        latents: Tensor,
        times: Tensor,
        prompts: PromptCache,
        *,
        num_prompts: int = 1,
        sizes: Tensor | None = None,
    ) -> Tensor:
        """Predict for every sample with each of its prompts; returns float32 [P * B, C, h, w], prompt by prompt.

        Args:
            latents: [B, C, h, w].
            times: Time embeddings [1, E], or [B, E] if P is 1.
            prompts: The cache of G prompts: G = P, or G = P * B.
            num_prompts: P.
            sizes: Embeddings of the images' sizes, [1, F] or [B, F], for a UNet that takes them.
        """
        if prompts.pooled is not None and sizes is not None:
            added = times + self._embed_pooled(prompts.pooled, sizes)
            times = _share(added, num_prompts * len(latents))
        sample = latents.to(self._dtype).contiguous(memory_format=torch.channels_last)
        # Always a copy: a CUDA graph returns every result in the same memory.
        return self._forward(self.unet, sample, times, prompts.pairs, num_prompts).to(torch.float32, copy=True)

    def _embed_pooled(self, pooled: Tensor, sizes: Tensor) -> Tensor:
        """Return the embeddings of pooled prompts with sizes; of both either has one row or both have as many."""
        count = max(len(pooled), len(sizes))
        both = torch.cat([pooled.expand(count, -1), sizes.expand(count, -1)], dim=-1)
        return self.unet.add_embedding(both.to(self._dtype))


def count_pooled(unet: UNet2DConditionModel) -> int:
    """Return the width of the pooled prompt that a UNet takes, Q; 0 if it takes none."""
    settings = unet.config
    if settings.addition_embed_type != "text_time":
        return 0
    return settings.projection_class_embeddings_input_dim - NUM_SIZES * settings.addition_time_embed_dim


def find_unsupported(unet: UNet2DConditionModel) -> str | None:
    """Return the parts and settings of a UNet that no supported family has; None without any."""
    blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    unknown = sorted({type(block).__name__ for block in blocks} - _BLOCKS)
    settings = [name for name in _UNSUPPORTED_SETTINGS if unet.config.get(name)]
    addition = unet.config.get("addition_embed_type")
    if addition not in (None, "text_time"):
        settings.append(f"addition_embed_type {addition}")
    return ", ".join([*unknown, *settings]) or None


def _shape_of_call(unet: Any, sample: Tensor, times: Tensor, pairs: tuple[KeyValue, ...], num_prompts: int) -> Hashable:
    num_cached = len(pairs[0][0])
    return tuple(sample.shape), len(times), num_prompts, num_cached, torch.is_grad_enabled()


def _forward(unet: Any, sample: Tensor, times: Tensor, pairs: tuple[KeyValue, ...], num_prompts: int) -> Tensor:
    """Return the prediction [P * B, C, h, w] of the UNet in its own precision."""
    x = unet.conv_in(sample)  # [B, C', h, w]; [P * B, ...] from the first cross-attention on
    if len(times) > len(x):  # prompts differ in the time embedding already
        x = _repeat_to(x, len(times))
    left = iter(pairs)
    skips = [x]
    for block in unet.down_blocks:
        for resnet, transformer in _layers(block):
            x = resnet(x, times)
            if transformer is not None:
                x = _transform(transformer, x, left, _count_repeats(x, sample, num_prompts))
            skips.append(x)
        for downsample in block.downsamplers or ():
            x = downsample(x)
            skips.append(x)
    x = unet.mid_block.resnets[0](x, times)
    for transformer, resnet in zip(unet.mid_block.attentions, unet.mid_block.resnets[1:], strict=True):
        x = _transform(transformer, x, left, _count_repeats(x, sample, num_prompts))
        x = resnet(x, times)
    for block in unet.up_blocks:
        for resnet, transformer in _layers(block):
            skip = _repeat_to(skips.pop(), len(x))
            x = resnet(torch.cat([x, skip], dim=1), times)
            if transformer is not None:
                x = _transform(transformer, x, left, _count_repeats(x, sample, num_prompts))
        for upsample in block.upsamplers or ():
            x = upsample(x)
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))


def _transform(transformer: Any, x: Tensor, left: Iterator[KeyValue], repeats: int) -> Tensor:
    """Run a Transformer2DModel on [B, C', h, w]; its first cross-attention repeats the samples `repeats` times."""
    height, width = x.shape[2:]
    is_linear = transformer.use_linear_projection
    y = transformer.norm(x)
    y = transformer.proj_in(_to_rows(y)) if is_linear else _to_rows(transformer.proj_in(y))  # [B, T, C'']
    for block in transformer.transformer_blocks:
        y = y + _self_attention(block.attn1, block.norm1(y))
        y = _repeat_to(y, repeats * len(x))
        key, value = next(left)
        y = y + _cross_attention(block.attn2, block.norm2(y), key, value)
        y = y + block.ff(block.norm3(y))
    if is_linear:
        y = _to_planes(transformer.proj_out(y), height, width)
    else:
        y = transformer.proj_out(_to_planes(y, height, width))
    return y + _repeat_to(x, len(y))


def _self_attention(attention: Any, x: Tensor) -> Tensor:
    projections = (attention.to_q, attention.to_k, attention.to_v)
    query, key, value = (_split_heads(attention, project(x)) for project in projections)
    attended = F.scaled_dot_product_attention(query, key, value)  # [B, H, T, d]
    return attention.to_out[0](attended.transpose(1, 2).flatten(2))


def _cross_attention(attention: Any, x: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Let samples [B, T, C'] attend to G prompts: each B / G samples in a row share one, as one long sample."""
    query = _split_heads(attention, attention.to_q(x).reshape(len(key), -1, x.shape[2]))  # [G, H, B / G * T, d]
    attended = F.scaled_dot_product_attention(query, key, value)
    return attention.to_out[0](attended.transpose(1, 2).reshape(x.shape))


def _split_heads(attention: Any, x: Tensor) -> Tensor:
    return x.unflatten(2, (attention.heads, -1)).transpose(1, 2)  # [B, H, T, d]


def _to_rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).flatten(1, 2)  # [B, T, C']


def _to_planes(y: Tensor, height: int, width: int) -> Tensor:
    return y.unflatten(1, (height, width)).permute(0, 3, 1, 2)  # [B, C', h, w], channels last in memory


def _count_repeats(x: Tensor, sample: Tensor, num_prompts: int) -> int:
    """Return how often samples must still be repeated: P before the first cross-attention, 1 after it."""
    return num_prompts * len(sample) // len(x)


def _share(embeddings: Tensor, count: int) -> Tensor:
    """Repeat each of several embeddings [G, E] for the samples in a row that share its prompt, up to `count`."""
    return embeddings if len(embeddings) == 1 else embeddings.repeat_interleave(count // len(embeddings), dim=0)


def _repeat_to(x: Tensor, count: int) -> Tensor:
    """Repeat all samples so that there are `count`."""
    return x if len(x) == count else torch.cat([x] * (count // len(x)))


def _layers(block: Any) -> Iterator[tuple[Any, Any]]:
    """Return the pairs of ResNet and transformer of a block; the transformer is None in a block without."""
    transformers = getattr(block, "attentions", None) or [None] * len(block.resnets)
    return zip(block.resnets, transformers, strict=True)


def _transformers(unet: Any) -> list[Any]:
    """Return the parts with cross-attention, in the order in which they run."""
    blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    transformers: list[Any] = []
    for block in blocks:
        transformers += cast("list[nn.Module]", getattr(block, "attentions", None) or [])
    return transformers

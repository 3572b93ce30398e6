"""The UNet, run so that nothing is computed twice: for several prompts at once, and with what they give it remembered.

Shape legend: B samples, P prompts that each sample is denoised under, G prompts that are remembered; L tokens, D text
width; H heads of d; C x h x w latents, E width of a time embedding; T = h * w positions of a level.

The forward is Stable Diffusion's own, over the parts of diffusers' UNet. What differs from calling that is exact:
samples are repeated for their P prompts only where the first cross-attention tells them apart, and a prompt's keys and
values are computed once, not at every step and for every sample.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

logger = logging.getLogger(__name__)

_BLOCKS = {"DownBlock2D", "CrossAttnDownBlock2D", "UNetMidBlock2DCrossAttn", "CrossAttnUpBlock2D", "UpBlock2D"}
_UNUSED = (  # settings of other models that diffusers' UNet knows
    *("class_embed_type", "addition_embed_type", "encoder_hid_dim_type", "time_cond_proj_dim", "time_embedding_act_fn"),
    *("center_input_sample", "dual_cross_attention", "only_cross_attention", "mid_block_only_cross_attention"),
)
_MOST_KINDS = 8  # of calls that a function is compiled for, as many as torch.compile keeps


@dataclass(frozen=True)
class PromptCache:
    """What G prompts mean to the UNet: (keys, values) at each cross-attention, each [G, H, L, d]."""

    pairs: tuple[tuple[Tensor, Tensor], ...]


class Denoiser:
    """A frozen UNet of Stable Diffusion 1.x or 2.x shape."""

    def __init__(self, unet: UNet2DConditionModel, *, compile_after: int | None = None):
        """Take a UNet.

        Args:
            unet: See `find_unsupported` for which.
            compile_after: Calls with latents of one shape after which it is compiled for that shape; never when None.
        """
        self.unet: Any = unet
        self._device, self._dtype = unet.device, unet.dtype  # asking takes a millisecond
        self._attentions = [
            block.attn2 for transformer in _transformers(unet) for block in transformer.transformer_blocks
        ]
        self._times: dict[int, Tensor] = {}
        self._forward: Callable[..., Tensor] = _forward
        if compile_after is not None:
            self._forward = Compiled(_forward, _kind, after=compile_after)

    def cache_prompts(self, prompts: Tensor) -> PromptCache:
        """Return the keys and values of prompts [G, L, D]; gradients flow to them."""
        prompts = prompts.to(self._dtype)
        return PromptCache(tuple((_heads(a, a.to_k(prompts)), _heads(a, a.to_v(prompts))) for a in self._attentions))

    def embed_time(self, timestep: int) -> Tensor:
        """Return the embedding [1, E] of a timestep, computed once."""
        if timestep not in self._times:
            with torch.no_grad():
                self._times[timestep] = self.embed_times(torch.tensor([timestep], device=self._device))
        return self._times[timestep]

    def embed_times(self, timesteps: Tensor) -> Tensor:
        """Return the embeddings [B, E] of timesteps [B]."""
        return self.unet.time_embedding(self.unet.time_proj(timesteps).to(self._dtype))

    def __call__(self, latents: Tensor, times: Tensor, memory: PromptCache, *, num_prompts: int = 1) -> Tensor:
        """Return what the UNet predicts for every sample under its prompts, float32 [P * B, C, h, w], prompt by prompt.

        Args:
            latents: [B, C, h, w].
            times: Embeddings [1, E], or [B, E] where P is 1.
            memory: Of G prompts: G = P, or G = P * B.
            num_prompts: P.
        """
        sample = latents.to(self._dtype).contiguous(memory_format=torch.channels_last)
        # A copy in any case: a CUDA graph gives every result in the same place.
        return self._forward(self.unet, sample, times, memory.pairs, num_prompts).to(torch.float32, copy=True)


class Compiled:
    """A function that is compiled for the kinds of calls that are made often; where it cannot be, it runs as it is.

    Compiling a UNet may take minutes and, by published figures, makes a call some tenths faster, so it pays for what is
    called thousands of times: the commonest sizes of an archive's photos, not each of them.
    """

    def __init__(
        self, function: Callable[..., Tensor], kind: Callable[..., Hashable], *, after: int = 0, **options: Any
    ):
        """Take a function.

        Args:
            function: Compiled as one graph.
            kind: Of a call with such arguments; each is compiled for itself.
            after: Calls of one kind before it is compiled.
            options: Of `torch.compile`; CUDA graphs and fixed shapes by default.
        """
        options = {"mode": "reduce-overhead", "dynamic": False, "fullgraph": True} | options
        self._function, self._compiled = function, torch.compile(function, **options)
        self._kind, self._after, self._calls = kind, after, Counter[Hashable]()
        self.kinds: set[Hashable] = set()

    def __call__(self, *args: Any) -> Tensor:
        """Call the function."""
        kind = self._kind(*args)
        self._calls[kind] += 1
        if kind not in self.kinds:
            if self._calls[kind] <= self._after or len(self.kinds) == _MOST_KINDS:
                return self._function(*args)
            logger.info("compiling the UNet for %s", kind)
            self.kinds.add(kind)
        try:
            return self._compiled(*args)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:  # compilers raise whatever comes
            logger.warning("the UNet runs uncompiled, for it cannot be compiled here: %s", error)
            self._compiled = self._function
            return self._function(*args)


def find_unsupported(unet: UNet2DConditionModel) -> str | None:
    """Return what in a UNet is not of Stable Diffusion 1.x or 2.x shape; None where all is."""
    parts = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    odd = sorted({type(part).__name__ for part in parts} - _BLOCKS)
    return ", ".join([*odd, *(name for name in _UNUSED if unet.config.get(name))]) or None


def _kind(unet: Any, sample: Tensor, times: Tensor, pairs: object, num: int) -> Hashable:
    return tuple(sample.shape), len(times), num, torch.is_grad_enabled()


def _forward(unet: Any, sample: Tensor, times: Tensor, pairs: tuple[tuple[Tensor, Tensor], ...], num: int) -> Tensor:
    """Return the prediction [P * B, C, h, w] of the UNet in its own precision."""
    x = unet.conv_in(sample)  # [B, C', h, w]; [P * B, ...] from the first cross-attention on
    left, skips = iter(pairs), [x]
    for block in unet.down_blocks:
        for resnet, attend in _layers(block):
            x = resnet(x, times)
            x = x if attend is None else _transform(attend, x, left, _missing(x, sample, num))
            skips.append(x)
        for downsample in block.downsamplers or ():
            x = downsample(x)
            skips.append(x)
    x = unet.mid_block.resnets[0](x, times)
    for attend, resnet in zip(unet.mid_block.attentions, unet.mid_block.resnets[1:], strict=True):
        x = resnet(_transform(attend, x, left, _missing(x, sample, num)), times)
    for block in unet.up_blocks:
        for resnet, attend in _layers(block):
            x = resnet(torch.cat([x, _repeat(skips.pop(), len(x))], dim=1), times)
            x = x if attend is None else _transform(attend, x, left, _missing(x, sample, num))
        for upsample in block.upsamplers or ():
            x = upsample(x)
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))


def _transform(part: Any, x: Tensor, left: Iterator[tuple[Tensor, Tensor]], times: int) -> Tensor:
    """Run a Transformer2DModel on [B, C', h, w], whose samples are repeated `times` at its first cross-attention."""
    height, width = x.shape[2:]
    y = part.norm(x)
    y = _to_rows(y) if part.use_linear_projection else _to_rows(part.proj_in(y))  # [B, T, C'']
    y = part.proj_in(y) if part.use_linear_projection else y
    for block in part.transformer_blocks:
        y = y + _attend_itself(block.attn1, block.norm1(y))
        y = _repeat(y, times * len(x))
        y = y + _attend_prompts(block.attn2, block.norm2(y), *next(left))
        y = y + block.ff(block.norm3(y))
    y = part.proj_out(y) if part.use_linear_projection else y
    y = y.unflatten(1, (height, width)).permute(0, 3, 1, 2)  # channels last in memory
    return (y if part.use_linear_projection else part.proj_out(y)) + _repeat(x, len(y))


def _attend_itself(part: Any, x: Tensor) -> Tensor:
    query, key, value = (_heads(part, project(x)) for project in (part.to_q, part.to_k, part.to_v))
    found = F.scaled_dot_product_attention(query, key, value)  # [B, H, T, d]
    return part.to_out[0](found.transpose(1, 2).flatten(2))


def _attend_prompts(part: Any, x: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Let samples [B, T, C'] attend to G prompts: B / G samples in a row share one, as if they were one long sample."""
    query = _heads(part, part.to_q(x).reshape(len(key), -1, x.shape[2]))  # [G, H, B / G * T, d]
    found = F.scaled_dot_product_attention(query, key, value)
    return part.to_out[0](found.transpose(1, 2).reshape(x.shape))


def _heads(part: Any, x: Tensor) -> Tensor:
    return x.unflatten(2, (part.heads, -1)).transpose(1, 2)  # [B, H, T, d]


def _to_rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).flatten(1, 2)  # [B, T, C']


def _missing(x: Tensor, sample: Tensor, num: int) -> int:
    """Return how often samples are still to be repeated for their prompts."""
    return num * len(sample) // len(x)


def _repeat(x: Tensor, count: int) -> Tensor:
    return x if len(x) == count else torch.cat([x] * (count // len(x)))


def _layers(block: Any) -> Iterator[tuple[Any, Any]]:
    attentions = getattr(block, "attentions", None) or [None] * len(block.resnets)
    return zip(block.resnets, attentions, strict=True)


def _transformers(unet: Any) -> list[Any]:
    """Return the parts with cross-attention, in the order in which they run."""
    blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    return [part for block in blocks for part in cast("list[nn.Module]", getattr(block, "attentions", None) or [])]

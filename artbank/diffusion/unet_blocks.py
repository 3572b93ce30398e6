"""The blocks of a UNet, run with cached cross-attention keys and values.

Shape legend: B samples, P prompts that each sample is denoised with, G cached prompts; D text width; H heads of d; C' x
h x w planes of a level, T = h * w its positions.

Samples are repeated for their P prompts only from the first cross-attention on. A ControlNet has the same blocks up to
the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

KeyValue = tuple[Tensor, Tensor]
"""Keys and values of G prompts at one cross-attention, each [G, H, L, d]."""

Shifts = tuple[Tensor, ...]
"""What the ResNets of a network add to their planes for timesteps, each [1, C'] or [P * B, C'], in the order in which
they run."""


def run_encoder(
    network: Any, x: Tensor, shifts: Iterator[Tensor], key_values: Iterator[KeyValue], count: int
) -> tuple[list[Tensor], Tensor]:
    """Run the blocks of the way down and the middle.

    Args:
        network: A UNet or a ControlNet.
        x: What its first convolution returns, [B, C', h, w], or [P * B, C', h, w].
        shifts: The shifts of the ResNets that did not run yet, see `Shifts`.
        key_values: The keys and values of the cross-attentions that did not run yet.
        count: P * B.

    Returns:
        The planes for the way up, each [B, ...] or [P * B, ...], and those of the middle.
    """
    skips = [x]
    for block in network.down_blocks:
        skips += _run_layers(block, skips[-1], shifts, key_values, count)
        skips += [downsample(skips[-1]) for downsample in block.downsamplers or ()]
    middle = network.mid_block
    x = run_resnet(middle, middle.resnets[0], skips[-1], shifts)
    for transformer, resnet in zip(middle.attentions, middle.resnets[1:], strict=True):
        x = run_transformer(middle, transformer, x, key_values, count // len(x))
        x = run_resnet(middle, resnet, x, shifts)
    return skips, x


def run_outer_encoder(
    network: Any, x: Tensor, shifts: Iterator[Tensor], key_values: Iterator[KeyValue], count: int
) -> list[Tensor]:
    """Run the first block of the way down, without its downsampling; see `run_encoder`.

    Returns:
        The planes for the last block of the way up, each [B, ...] or [P * B, ...].
    """
    return [x, *_run_layers(network.down_blocks[0], x, shifts, key_values, count)]


def run_decoder(
    blocks: Iterable[Any],
    x: Tensor,
    skips: list[Tensor],
    shifts: Iterator[Tensor],
    key_values: Iterator[KeyValue],
    count: int,
) -> Tensor:
    """Run blocks of the way up, which take their planes from the end of `skips`; see `run_encoder`."""
    for block in blocks:
        for resnet, transformer in list_layers(block):
            skip = repeat_to(skips.pop(), len(x))
            x = run_resnet(block, resnet, torch.cat([x, skip], dim=1), shifts)
            if transformer is not None:
                x = run_transformer(block, transformer, x, key_values, count // len(x))
        for upsample in block.upsamplers or ():
            x = upsample(x)
    return x


def _run_layers(
    block: Any, x: Tensor, shifts: Iterator[Tensor], key_values: Iterator[KeyValue], count: int
) -> list[Tensor]:
    """Run the layers of a block of the way down; returns the planes after each."""
    planes = []
    for resnet, transformer in list_layers(block):
        x = run_resnet(block, resnet, x, shifts)
        if transformer is not None:
            x = run_transformer(block, transformer, x, key_values, count // len(x))
        planes.append(x)
    return planes


def run_resnet(block: Any, resnet: Any, x: Tensor, shifts: Iterator[Tensor]) -> Tensor:
    """Run a ResnetBlock2D of a block on [B, C', h, w].

    It gives the same bits as the block's own forward pass, with three kernels less: the time embedding is activated and
    projected elsewhere, see `PromptedNetwork`, and there is no division by 1.
    """
    return _run_layer(block, _run_resnet, resnet, x, next(shifts))


def run_transformer(block: Any, transformer: Any, x: Tensor, key_values: Iterator[KeyValue], repeats: int) -> Tensor:
    """Run a Transformer2DModel of a block on [B, C', h, w]; it takes the next of the keys and values.

    Its first cross-attention repeats the samples `repeats` times.
    """
    pairs = [next(key_values) for _ in transformer.transformer_blocks]
    return _run_layer(block, _run_transformer, transformer, x, pairs, repeats)


def _run_layer(block: Any, function: Callable[..., Tensor], *args: Any) -> Tensor:
    """Run a layer of a block; with gradient checkpointing it keeps its inputs alone, and runs again on the way back."""
    if getattr(block, "gradient_checkpointing", False) and torch.is_grad_enabled():
        return cast(Tensor, checkpoint(function, *args, use_reentrant=False, preserve_rng_state=False))
    return function(*args)


def _run_resnet(resnet: Any, x: Tensor, shift: Tensor) -> Tensor:
    y = resnet.conv1(resnet.nonlinearity(resnet.norm1(x)))
    y = y + shift[:, :, None, None]
    y = resnet.conv2(resnet.nonlinearity(resnet.norm2(y)))
    if resnet.conv_shortcut is not None:
        x = resnet.conv_shortcut(x)
    y = x + y
    return y if resnet.output_scale_factor == 1 else y / resnet.output_scale_factor


def _run_transformer(transformer: Any, x: Tensor, pairs: Sequence[KeyValue], repeats: int) -> Tensor:
    height, width = x.shape[2:]
    is_linear = transformer.use_linear_projection
    y = transformer.norm(x)
    y = transformer.proj_in(_to_rows(y)) if is_linear else _to_rows(transformer.proj_in(y))  # [B, T, C'']
    for block, (key, value) in zip(transformer.transformer_blocks, pairs, strict=True):
        y = y + _self_attention(block.attn1, block.norm1(y))
        y = repeat_to(y, repeats * len(x))
        y = y + _cross_attention(block.attn2, block.norm2(y), key, value)
        y = y + block.ff(block.norm3(y))
    if is_linear:
        y = _to_planes(transformer.proj_out(y), height, width)
    else:
        y = transformer.proj_out(_to_planes(y, height, width))
    return y + repeat_to(x, len(y))


def _self_attention(attention: Any, x: Tensor) -> Tensor:
    projections = (attention.to_q, attention.to_k, attention.to_v)
    query, key, value = (split_heads(attention, project(x)) for project in projections)
    attended = F.scaled_dot_product_attention(query, key, value)  # [B, H, T, d]
    return attention.to_out[0](attended.transpose(1, 2).flatten(2))


def _cross_attention(attention: Any, x: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Let samples [B, T, C'] attend to G prompts: each B / G samples in a row share one, as one long sample."""
    query = split_heads(attention, attention.to_q(x).reshape(len(key), -1, x.shape[2]))  # [G, H, B / G * T, d]
    attended = F.scaled_dot_product_attention(query, key, value)
    return attention.to_out[0](attended.transpose(1, 2).reshape(x.shape))


def split_heads(attention: Any, x: Tensor) -> Tensor:
    """Return [B, L, D] as heads, [B, H, L, d]."""
    return x.unflatten(2, (attention.heads, -1)).transpose(1, 2)  # [B, H, T, d]


def _to_rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).flatten(1, 2)  # [B, T, C']


def _to_planes(y: Tensor, height: int, width: int) -> Tensor:
    return y.unflatten(1, (height, width)).permute(0, 3, 1, 2)  # [B, C', h, w], channels last in memory


def repeat_to(x: Tensor, count: int) -> Tensor:
    """Repeat all samples so that there are `count`."""
    return x if len(x) == count else torch.cat([x] * (count // len(x)))


def list_layers(block: Any) -> Iterator[tuple[Any, Any]]:
    """Return the pairs of ResNet and transformer of a block; the transformer is None in a block without."""
    transformers = getattr(block, "attentions", None) or [None] * len(block.resnets)
    return zip(block.resnets, transformers, strict=True)


def split_outer_pairs(network: Any, pairs: tuple[KeyValue, ...]) -> tuple[tuple[KeyValue, ...], tuple[KeyValue, ...]]:
    """Return the keys and values of a UNet's first block and of its last one."""
    first, last = (_count_cross_attentions(block) for block in (network.down_blocks[0], network.up_blocks[-1]))
    return pairs[:first], pairs[len(pairs) - last :]


def _count_cross_attentions(block: Any) -> int:
    return sum(len(transformer.transformer_blocks) for _, transformer in list_layers(block) if transformer is not None)


def split_outer_shifts(network: Any, shifts: Shifts) -> tuple[Shifts, Shifts]:
    """Return what the ResNets of a UNet's first block and of its last one add."""
    first, last = (len(block.resnets) for block in (network.down_blocks[0], network.up_blocks[-1]))
    return shifts[:first], shifts[len(shifts) - last :]


def list_resnets(network: Any) -> list[Any]:
    """Return the ResNets in the order in which they run."""
    return [resnet for block in _list_blocks(network) for resnet in block.resnets]


def list_transformers(network: Any) -> list[Any]:
    """Return the parts with cross-attention, in the order in which they run."""
    return [part for block in _list_blocks(network) for part in getattr(block, "attentions", None) or ()]


def _list_blocks(network: Any) -> list[Any]:
    """Return the blocks of a UNet or a ControlNet in the order in which they run."""
    return [*network.down_blocks, network.mid_block, *getattr(network, "up_blocks", ())]

"""Put low-rank changes of attention layers into a copy of a UNet that shares all of its weights.

The UNet itself stays as it is. So several styles, each with changes of its own, draw with one base model, at the same
time if need be, and gradients reach the changes alone.

Shape legend: W [out, in] of a layer, down [r, in], up [out, r]; a layer's output is W x + up (down x).

Source: LoRA, Hu et al., ICLR 2022, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artbank.diffusion.compilation import Compiler
from artbank.diffusion.network_copies import copy_modules

if TYPE_CHECKING:
    from artbank.diffusion.base_model import BaseModel

Factors = tuple[Tensor, Tensor]
"""Down [r, in] and up [out, r] of one layer."""

_ATTENTIONS = ("attn1", "attn2")
_PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")


class LowRankLinear(nn.Module):
    """A frozen layer with a low-rank change beside it, which is computed in the precision of its input."""

    def __init__(self, linear: nn.Linear, factors: Factors):
        """Wrap a layer; parameters among the factors are those of this module too."""
        super().__init__()
        self.linear = linear
        self.down, self.up = factors

    def forward(self, x: Tensor) -> Tensor:
        """Return W x + up (down x)."""
        low = F.linear(x, self.down.to(x.dtype))  # [..., r]
        return self.linear(x) + F.linear(low, self.up.to(x.dtype))


def list_attention_layers(unet: nn.Module) -> dict[str, nn.Linear]:
    """Return the projections of all attentions of a UNet, by names such as `mid_block...attn1.to_q`, sorted."""
    endings = tuple(f".{attention}.{projection}" for attention in _ATTENTIONS for projection in _PROJECTIONS)
    layers = {name: module for name, module in unet.named_modules() if name.endswith(endings)}
    return {name: cast(nn.Linear, layers[name]) for name in sorted(layers)}


def add_low_rank(base: BaseModel, layers: Mapping[str, Factors]) -> BaseModel:
    """Return a base model whose UNet has low-rank changes; it shares all weights with the given one.

    It is never compiled, since every style would have to be compiled for itself.

    Args:
        base: Stays as it is.
        layers: Factors by the names of `list_attention_layers`, on the model's device, in any precision.
    """
    unet: Any = copy_modules(base.unet)
    for name, factors in layers.items():
        path, _, last = name.rpartition(".")
        parent = unet.get_submodule(path)
        parent.register_module(last, LowRankLinear(parent.get_submodule(last), factors))
    return replace(base, unet=unet, compiler=Compiler())


def mix_layers(weighted: Iterable[tuple[Mapping[str, Factors], float]]) -> dict[str, Factors]:
    """Return the weighted sum of several changes of the same layers; its rank is the sum of their ranks."""
    parts: dict[str, list[Factors]] = {}
    for layers, weight in weighted:
        for name, (down, up) in layers.items():
            parts.setdefault(name, []).append((down, weight * up))
    return {name: _join(factors) for name, factors in parts.items()}


def _join(factors: Sequence[Factors]) -> Factors:
    return torch.cat([down for down, _ in factors]), torch.cat([up for _, up in factors], dim=1)

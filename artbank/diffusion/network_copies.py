"""Copy the modules of a network, but none of the numbers in its weights, or those alone that change."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def copy_modules(network: Network) -> Network:
    """Copy the modules of a network; both have the same weights."""
    return _copy(network, lambda weight: weight)


def copy_to_meta(network: Network) -> Network:
    """Copy a network without its numbers to the device `meta`; its weights keep layouts, precisions and gradients."""
    return _copy(network, _empty)


def in_float32(network: Network) -> Network:
    """Copy a network to float32; what is in float32 already is shared."""
    return _copy(network, _widen)


def _copy(network: Network, copy_weight: Callable[[Tensor], Tensor]) -> Network:
    memo: dict[int, object] = {
        id(weight): copy_weight(weight) for weight in chain(network.parameters(), network.buffers())
    }
    return copy.deepcopy(network, memo)


def _empty(weight: Tensor) -> Tensor:
    empty = torch.empty_like(weight, device="meta")
    return nn.Parameter(empty, weight.requires_grad) if isinstance(weight, nn.Parameter) else empty


def _widen(weight: Tensor) -> Tensor:
    if not weight.is_floating_point() or weight.dtype == torch.float32:
        return weight
    wide = weight.detach().float()
    return nn.Parameter(wide, weight.requires_grad) if isinstance(weight, nn.Parameter) else wide

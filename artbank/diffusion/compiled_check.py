"""A check that compiled code computes what its function computes.

Compilers have returned gradients of zero beside right results, without an error: PyTorch 2.13 does so for diffusers'
`UNet2DConditionModel` of the embedded model in bfloat16 on a CPU, where 46 of 326 parameters get a gradient. A bank or
a network that learns through such code hardly learns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

MOST_DIFFERENCE = 0.2
"""Largest relative difference that is taken for rounding; zeros in place of a gradient have a difference of 1."""


def find_difference(function: Callable[..., Any], compiled: Callable[..., Any], args: Sequence[Any]) -> float:
    """Return how far compiled code is from its function for some arguments.

    Both are called once, and where gradients are enabled, their results are differentiated to the arguments that
    require gradients.

    Args:
        function: Returns a tensor, or several in tuples, lists or dicts.
        compiled: The same, compiled.
        args: Arguments of the call.

    Returns:
        The largest relative difference of a result or gradient, by the Euclidean norm; infinite if one is not finite.
    """
    pairs = zip(_compute(function, args), _compute(compiled, args), strict=True)
    return max((_compare(expected, actual) for expected, actual in pairs), default=0.0)


def _compute(function: Callable[..., Any], args: Sequence[Any]) -> list[Tensor]:
    """Return the results of a call and their gradients, copied: a CUDA graph returns them in the same memory."""
    results = [leaf for leaf in tree_leaves(function(*args)) if isinstance(leaf, Tensor)]
    copies = [result.detach().clone() for result in results]
    inputs = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor) and leaf.requires_grad]
    if not (inputs and torch.is_grad_enabled()):
        return copies
    # The gradient of half the sum of squares: every place of the results counts.
    learning = [number for number, result in enumerate(results) if result.requires_grad]
    gradients: Sequence[Tensor | None] = [None] * len(inputs)
    if learning:
        outputs, weights = ([values[number] for number in learning] for values in (results, copies))
        gradients = torch.autograd.grad(outputs, inputs, weights, allow_unused=True)
    return [*copies, *(_or_zeros(gradient, value) for gradient, value in zip(gradients, inputs, strict=True))]


def _or_zeros(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient.clone()


def _compare(expected: Tensor, actual: Tensor) -> float:
    if expected.is_meta:
        return 0.0  # it has no values
    size = expected.float().norm().item()
    difference = (actual.float() - expected.float()).norm().item()
    if difference == 0:
        return 0.0
    share = difference / size if size else math.inf
    return math.inf if math.isnan(share) else share

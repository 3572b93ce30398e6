"""Choose how many examples go through the UNet in one call of training: as many as fit in the device's memory.

On CUDA the first size is what fits in the free memory by the counted bytes of an example. A call that does not fit all
the same is repeated with half as many examples, and the smaller size is kept for this model as long as the process
lives. Where not even one example fits, gradient checkpointing takes less memory for about a third more time. The
results of a call depend on its size, and on checkpointing, by rounding alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn

from artbank.bank.call_bytes import count_call_bytes
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.offloading import measure_free
from artbank.errors import TrainingError

logger = logging.getLogger(__name__)

Found = TypeVar("Found")
LatentShape = tuple[int, int, int]
"""C x h x w of the latents of one example."""

MICRO_BATCH_SIZES = {"cuda": 32}
"""The most examples in a call of the UNet, by kind of device."""
MIN_RESERVE_BYTES = 2**29
RESERVED_SHARE = 0.1
"""What of the free memory is left to the kernels' workspaces and to gaps between tensors; no count tells these."""

_DEFAULT_MICRO_BATCH_SIZE = 8  # on a CPU an example takes 54 ms at 24, 48 ms at 8 and 80 ms at 1
_GIB = 2**30
_found: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
_planned: WeakKeyDictionary[nn.Module, dict[LatentShape, int]] = WeakKeyDictionary()


def call_size(base: BaseModel, shape: LatentShape) -> int:
    """Return how many examples go through the UNet of a model in one call, by all that is known yet.

    On CUDA it may turn on gradient checkpointing, at the first call with latents of a shape.
    """
    most = MICRO_BATCH_SIZES.get(base.device.type, _DEFAULT_MICRO_BATCH_SIZE)
    return min(_find_planned(base, shape, most), _found.get(base.unet, most))


def fit_in_memory(
    base: BaseModel, shape: LatentShape, compute: Callable[[int], Found], undo: Callable[[], None]
) -> Found:
    """Compute something in calls of the UNet that fit in memory.

    Args:
        base: The model.
        shape: Shape of the latents of an example.
        compute: Is given the most examples in a call; it is called anew with half of them as often as memory runs out.
        undo: Drops what a computation that broke off has left, such as the gradients of some of its calls.

    Raises:
        TrainingError: Not even one example fits, not even with gradient checkpointing.
    """
    while True:
        size = call_size(base, shape)
        try:
            return compute(size)
        except (torch.OutOfMemoryError, MemoryError) as error:
            text = str(error).partition("\n")[0] or "no memory is left"
        # Not in the handler: the error keeps the frames that it passed, and so their memory.
        undo()
        if base.device.type == "cuda":
            torch.cuda.empty_cache()
        _reduce(base, size, text)


def count_fitting(free_bytes: int, example_bytes: int) -> int:
    """Return how many examples of some bytes fit in free memory, with a reserve; may be 0."""
    reserve = max(MIN_RESERVE_BYTES, round(RESERVED_SHARE * free_bytes))
    return max(0, free_bytes - reserve) // example_bytes


def _reduce(base: BaseModel, size: int, text: str) -> None:
    """Take the next measure against a call that does not fit: half of it, then gradient checkpointing."""
    if size > 1:
        _found[base.unet] = size // 2
        logger.warning("%d examples in a call do not fit in memory (%s); going on with %d", size, text, size // 2)
    elif not base.unet.is_gradient_checkpointing:
        logger.warning("one example does not fit in memory (%s); going on with gradient checkpointing", text)
        base.unet.enable_gradient_checkpointing()
    else:
        raise TrainingError(
            f"not even one example fits in the memory of the device ({text}); "
            "train with a smaller --resolution-px, or on another device"
        )


def _find_planned(base: BaseModel, shape: LatentShape, most: int) -> int:
    """Return what fits in the memory that was free at the first call with latents of a shape, 1..`most`.

    Where the free memory is not known, as on a CPU, the family of the model tells the most.
    """
    planned = _planned.setdefault(base.unet, {})
    if shape not in planned:
        free_bytes = measure_free(base.device)
        if free_bytes is None:
            return min(most, base.family.micro_batch)
        planned[shape] = _plan(base, shape, free_bytes, most)
    return min(most, planned[shape])


def _plan(base: BaseModel, shape: LatentShape, free_bytes: int, most: int) -> int:
    example_bytes = count_call_bytes(base.unet, shape)
    size = count_fitting(free_bytes, example_bytes)
    if size == 0 and not base.unet.is_gradient_checkpointing:
        base.unet.enable_gradient_checkpointing()
        logger.warning(
            "one example of training takes %.2f GiB, and %.2f GiB of the device are free; "
            "going on with gradient checkpointing, which takes longer",
            example_bytes / _GIB,
            free_bytes / _GIB,
        )
        example_bytes = count_call_bytes(base.unet, shape)
        size = count_fitting(free_bytes, example_bytes)
    size = min(max(size, 1), most)
    logger.info(
        "an example of training takes %.2f GiB, %.2f GiB are free: %d in a call of the UNet",
        example_bytes / _GIB,
        free_bytes / _GIB,
        size,
    )
    return size

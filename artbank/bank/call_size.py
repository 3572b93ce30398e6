"""How many examples go through the UNet in one call of training: as many as fit in the device's memory.

A call that does not fit is repeated with half as many examples, and the smaller size is kept for this model as long as
the process lives. What a call computes depends on its size by rounding alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn

from artbank.diffusion.base_model import BaseModel
from artbank.errors import TrainingError

logger = logging.getLogger(__name__)

Found = TypeVar("Found")

MICRO_BATCH_SIZES = {"cuda": 32}
"""The most examples in a call of the UNet, by kind of device."""

_DEFAULT_MICRO_BATCH_SIZE = 8  # on a CPU an example takes 54 ms at 24, 48 ms at 8 and 80 ms at 1
_found: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()


def call_size(base: BaseModel) -> int:
    """Return how many examples go through the UNet of a model in one call, by all that is known yet."""
    most = min(MICRO_BATCH_SIZES.get(base.device.type, _DEFAULT_MICRO_BATCH_SIZE), base.family.micro_batch)
    return min(most, _found.get(base.unet, most))


def fit_in_memory(base: BaseModel, compute: Callable[[int], Found], undo: Callable[[], None]) -> Found:
    """Compute something in calls of the UNet that fit in memory.

    Args:
        base: The model.
        compute: Is given the most examples in a call; it is called anew with half of them as often as memory runs out.
        undo: Drops what a computation that broke off has left, such as the gradients of some of its calls.

    Raises:
        TrainingError: Not even one example fits.
    """
    while True:
        size = call_size(base)
        try:
            return compute(size)
        except (torch.OutOfMemoryError, MemoryError) as error:
            text = str(error).partition("\n")[0] or "no memory is left"
        # Not in the handler: the error keeps the frames that it passed, and so their memory.
        undo()
        if base.device.type == "cuda":
            torch.cuda.empty_cache()
        if size == 1:
            raise TrainingError(
                f"not even one example fits in the memory of the device ({text}); "
                "train with a smaller --resolution-px, or on another device"
            )
        _found[base.unet] = size // 2
        logger.warning("%d examples in a call do not fit in memory (%s); going on with %d", size, text, size // 2)

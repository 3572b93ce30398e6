"""Compile a function for the shapes that it is often called with."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import torch

logger = logging.getLogger(__name__)

Output = TypeVar("Output")

_CALLS_BEFORE_COMPILING = 1000  # of one shape; in a large archive the minutes of compiling then pay off
_MAX_SHAPES = 8  # torch.compile keeps no more versions of a function


class Compiled(Generic[Output]):
    """A function that is compiled for common shapes, and runs uncompiled for others or where compiling fails.

    Compiling a UNet takes minutes and, by published figures, makes a call some tenths faster. It pays for shapes with
    thousands of calls: the commonest sizes of an archive's photos, not each of them.
    """

    def __init__(
        self, function: Callable[..., Output], shape_of: Callable[..., Hashable], *, after: int = 0, **options: Any
    ):
        """Wrap a function.

        Args:
            function: Compiled as one graph.
            shape_of: Takes the function's arguments and returns what the compiled code depends on.
            after: Calls with one shape before the function is compiled for it.
            options: For `torch.compile`; CUDA graphs and fixed shapes by default.
        """
        options = {"mode": "reduce-overhead", "dynamic": False, "fullgraph": True} | options
        self._function = function
        self._compiled = torch.compile(function, **options)
        self._shape_of = shape_of
        self._after = after
        self._calls = Counter[Hashable]()
        self.shapes: set[Hashable] = set()

    def __call__(self, *args: Any) -> Output:
        """Call the function, compiled if its shape is common."""
        if not self._is_compiled_for(self._shape_of(*args)):
            return self._function(*args)
        try:
            return self._compiled(*args)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:  # compilers raise exceptions of every kind
            logger.warning("the UNet runs uncompiled, because compiling failed: %s", error)
            self._compiled = self._function
            return self._function(*args)

    def _is_compiled_for(self, shape: Hashable) -> bool:
        """Count a call, and decide whether the compiled function takes it."""
        self._calls[shape] += 1
        if shape in self.shapes:
            return True
        if self._calls[shape] <= self._after or len(self.shapes) == _MAX_SHAPES:
            return False
        logger.info("compiling the UNet for %s", shape)
        self.shapes.add(shape)
        return True


def choose_compile_after(compiling: str, device: torch.device) -> int | None:
    """Return after how many calls with one shape the UNet is compiled; None for never."""
    if compiling == "on":
        return 0
    if compiling == "auto" and device.type == "cuda":
        return _CALLS_BEFORE_COMPILING
    return None

"""Count the bytes that a computation holds, without computing it: on PyTorch's device `meta`, where tensors are shapes.

The count is that of the tensors. It leaves out all else that a card needs, such as the workspaces of its kernels.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that are made while it is on.

    Attributes:
        live: Bytes of those that still exist.
        peak: The most bytes at one time.
    """

    def __init__(self) -> None:
        """Start at 0 bytes."""
        super().__init__()
        self.live = 0
        self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and count the memory of its results."""
        results = func(*args, **(kwargs or {}))
        given = {storage._cdata for storage in _list_storages(args)}
        for storage in _list_storages(results):
            if storage._cdata not in given:  # no view of what was given, and not in place
                self._add(storage)
        return results

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, num_bytes = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live += num_bytes
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._drop, key, num_bytes)

    def _drop(self, key: int, num_bytes: int) -> None:
        self._known.discard(key)
        self.live -= num_bytes


def _list_storages(tree: Any) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


class _FusedAttention(torch.autograd.Function):
    """Attention as the fused kernels of CUDA hold it: inputs, result and a float32 for each row; never all weights."""

    @staticmethod
    def forward(ctx: FunctionCtx, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        attended = torch.empty_like(query)
        sums = torch.empty(query.shape[:-1], dtype=torch.float32, device=query.device)
        ctx.save_for_backward(query, key, value, attended, sums)
        return attended

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.empty_like(tensor) for tensor in ctx.saved_tensors[:3])


class _FuseAttention(TorchFunctionMode):
    """Puts `_FusedAttention` in the place of PyTorch's attention, which takes its parts apart on the device `meta`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.scaled_dot_product_attention:
            return _FusedAttention.apply(*args[:3])
        return func(*args, **(kwargs or {}))


@contextmanager
def count_bytes() -> Iterator[PeakBytes]:
    """Count the bytes of what is made in the block, with attention in one kernel, as on CUDA."""
    with _FuseAttention(), PeakBytes() as counted:
        yield counted


def run_backward(loss: Tensor) -> None:
    """Send a loss back within `count_bytes`; gradient checkpointing then runs attention as the way forward did.

    PyTorch's own `backward` leaves the modes of the block, and so they would miss what is computed anew.
    """
    engine: Any = torch.autograd.Variable._execution_engine
    engine.run_backward(
        (loss,), (torch.ones_like(loss),), False, False, (), allow_unreachable=True, accumulate_grad=True
    )

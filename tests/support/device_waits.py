"""Notice what would make the host wait for a CUDA device, with the device `meta` in its place.

Nothing is computed there, so reading a number from it raises. What would wait otherwise is noted: a copy to the device
that is not queued by `copy_to_device`, and operations that check their result on the host.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from artbank.diffusion.tensors import copy_to_device

META = torch.device("meta")
_COPIES = {"_to_copy", "copy_"}
# Their results have a size, or an error, that only the device knows
_CHECKED = {"_linalg_check_errors", "masked_select", "nonzero", "repeat_interleave", "unique_dim", "_unique2"}


class _Operations(TorchDispatchMode):
    """Notes the operations that would wait."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self._names = names

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in _CHECKED or (_is_upload(name, args, found) and not _is_queued()):
            self._names.append(name)
        return found


class _MadeFromNumbers(TorchFunctionMode):
    """Notes the tensors that are made on the device from numbers of Python, which is no operation there."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self._names = names

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and found.device == META:
            self._names.append(func.__name__)
        return found


@contextmanager
def note_waits() -> Iterator[list[str]]:
    """Note the names of the operations in the block that would wait."""
    names: list[str] = []
    with _MadeFromNumbers(names), _Operations(names):
        yield names


def _is_upload(name: str, args: Any, found: Any) -> bool:
    """Return whether an operation takes numbers from the host to the device; a single one goes with its kernel."""
    given = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
    results = [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]
    from_host = any(own.device.type == "cpu" and (own.dim() or name in _COPIES) for own in given)
    return from_host and any(own.device == META for own in results)


def _is_queued() -> bool:
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code is copy_to_device.__code__:
            return True
        frame = frame.f_back
    return False

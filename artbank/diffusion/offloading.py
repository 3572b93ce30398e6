"""Let networks wait in main memory while another one needs the memory of the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain

import torch
from torch import Tensor, nn


class Offloader:
    """Frozen networks that can leave their device for a while, in a fixed order.

    Their parameters stay the same objects, so that copies of the modules that share them, such as those of LoRA banks,
    leave and return with them. Since they never change, they are copied to main memory once.
    """

    def __init__(self, networks: Sequence[nn.Module]):
        """Take networks, those first that leave first."""
        self._networks = tuple(networks)
        self._copies: dict[int, Tensor] = {}

    @cached_property
    def sizes(self) -> list[int]:
        """The bytes of each network."""
        return [sum(tensor.nbytes for tensor in _list_tensors(network)) for network in self._networks]

    @contextmanager
    def waiting(self, count: int) -> Iterator[None]:
        """Let the first `count` networks wait in main memory while the block runs.

        An error must leave the block without frames that hold memory of the device, or the return may not fit.
        """
        homes = [(tensor, tensor.device) for network in self._networks[:count] for tensor in _list_tensors(network)]
        try:
            for tensor, _ in homes:
                tensor.data = self._copy(tensor)
            if any(device.type == "cuda" for _, device in homes):
                torch.cuda.empty_cache()  # so that large blocks fit where many small ones were
            yield
        finally:
            for tensor, device in homes:
                tensor.data = tensor.data.to(device)

    def _copy(self, tensor: Tensor) -> Tensor:
        if id(tensor) not in self._copies:
            self._copies[id(tensor)] = tensor.data.to("cpu")
        return self._copies[id(tensor)]


def plan_call(needed: int, most: int, free: int, sizes: Sequence[int]) -> tuple[int, int]:
    """Return how many images one call takes, and how many networks wait in main memory meanwhile.

    Networks leave only if not even one image fits beside them, and no more of them than must.

    Args:
        needed: Bytes for one image.
        most: Images in one call, at most.
        free: Free bytes of the device.
        sizes: Bytes of the networks, those first that leave first.
    """
    num_waiting = 0
    while needed > free and num_waiting < len(sizes):
        free += sizes[num_waiting]
        num_waiting += 1
    return min(most, max(free // needed, 1)), num_waiting


def measure_free(device: torch.device) -> int | None:
    """Return the bytes of a CUDA device that a new tensor could use; None for other devices."""
    if device.type != "cuda":
        return None
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def _list_tensors(network: nn.Module) -> list[Tensor]:
    return [*chain(network.parameters(), network.buffers())]

"""Count the samples that go through the networks, by forward hooks, for the peers and for artbank alike.

Counts are in samples, not in calls: a UNet call with a batch of 16 is 16 evaluations; so is a guided one on 8 photos.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

ROLES = ("unet", "vae_encode", "vae_decode", "text", "clip")


class CountError(AssertionError):
    """The counts of a contender differ from the expected ones."""


@dataclass(frozen=True)
class Expected:
    """Expected counts of a contender, per image or sample; None is not checked.

    Attributes:
        unet: UNet evaluations; `vae_encode` and the following count the samples of their networks.
        unet_batch: Largest batch of a UNet call, guidance's doubling included.
        dtype: Precision of the UNet.
        trained: Parameters in the optimiser; 0 without training.
    """

    unet: float
    unet_batch: int | None
    dtype: torch.dtype
    vae_encode: float | None = 0
    vae_decode: float | None = 0
    text: float | None = 0
    clip: float | None = 0
    trained: int = 0


@dataclass
class Counts:
    """Counted samples by role, and batch and precision of the UNet's calls."""

    samples: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 0))
    unet_batch: int = 0
    dtypes: set[torch.dtype] = field(default_factory=set)

    def each(self, role: str, num_done: int) -> float:
        """Return the count of a role per finished image or sample."""
        return self.samples[role] / num_done


@contextmanager
def counting(watched: Mapping[str, nn.Module]) -> Iterator[Counts]:
    """Count the samples that go through modules while the block runs.

    Args:
        watched: Modules by role; the VAE's are its `encoder` and `decoder`.

    Raises:
        KeyError: A role is not in `ROLES`.
    """
    counts = Counts()
    hooks = [module.register_forward_hook(_make_hook(counts, role)) for role, module in watched.items()]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


def check(name: str, expected: Expected, counts: Counts, num_done: int, trained: int = 0) -> None:
    """Compare counts with the expected ones.

    Raises:
        CountError: They differ; names each difference.
    """
    found: dict[str, tuple[Any, Any]] = {}
    for role in ROLES:
        wanted = getattr(expected, role)
        if wanted is not None and abs(counts.each(role, num_done) - wanted) > 1e-6:
            found[f"{role} an image or sample"] = (wanted, counts.each(role, num_done))
    if expected.unet_batch not in (None, counts.unet_batch):
        found["batch of the UNet"] = (expected.unet_batch, counts.unet_batch)
    if counts.dtypes != {expected.dtype}:
        found["dtype of the UNet"] = ({expected.dtype}, counts.dtypes)
    if trained != expected.trained:
        found["trained parameters"] = (expected.trained, trained)
    if found:
        differences = "; ".join(f"{what}: expected {wanted}, counted {got}" for what, (wanted, got) in found.items())
        raise CountError(f"{name}: {differences}; correct the contender, its figures would mean nothing")


def count_trained(optimizer: torch.optim.Optimizer | None) -> int:
    """Return the number of parameters in an optimiser."""
    groups = [] if optimizer is None else optimizer.param_groups
    return sum(parameter.numel() for group in groups for parameter in group["params"])


def _make_hook(counts: Counts, role: str) -> Any:
    counts.samples[role] += 0

    def hook(module: nn.Module, args: Any, output: Any) -> None:
        tensor = _first_tensor(output)
        counts.samples[role] += len(tensor)
        if role == "unet":
            counts.unet_batch = max(counts.unet_batch, len(tensor))
            counts.dtypes.add(getattr(module, "computes_in", tensor.dtype))

    return hook


def _first_tensor(output: Any) -> Tensor:
    while not isinstance(output, Tensor):
        output = next(iter(output.values())) if isinstance(output, Mapping) else output[0]
    return output

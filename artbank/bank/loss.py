"""Several banks through the frozen model at once: what each loses, and what each learns of it.

Shape legend: S banks, N vectors in a bank, D their width; B samples of all banks together, P prompts, L tokens of one;
C x h x w latents.

No term of the loss has to do with two banks, and the model is frozen: so a bank learns among others what it learns
alone, but for rounding, and values that are not finite stay with the bank that they are of.

Source: the objective is the base model's own (Rombach et al., CVPR 2022, eq. 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from artbank.bank.bank import TrainableBank, forward_banks
from artbank.bank.batches import Batch
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.tensors import copy_to_device

EXAMPLES_PER_CALL = {"cuda": 32}
"""Samples in a call of the UNet, by kind of device."""

_ON_OTHERS = 8  # a CPU takes 54 ms a sample at 24, 48 at 8 and 80 at 1


class _Call(NamedTuple):
    """Samples that go through the UNet together, on its device.

    Attributes:
        latents: Clean, [b, C, h, w].
        noise: Likewise.
        timesteps: [b], 0..999.
        rows: [b] which of the P prompts each has.
        weights: [b] what each counts in its bank's mean; 0 where it only fills the call.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    rows: Tensor
    weights: Tensor


def diffusion_loss(
    base: BaseModel, latents: Tensor, noise: Tensor, timesteps: Tensor, prompts: Tensor, gamma: float | None = None
) -> Tensor:
    """Return the base model's loss of each sample, [B] float32.

    Args:
        base: Predicts the noise or the velocity, as its scheduler says.
        latents: Clean, [B, C, h, w].
        noise: Likewise.
        timesteps: [B], 0..999.
        prompts: Encoded, [B, L, D]; gradients flow to them.
        gamma: Min-SNR weight (Hang et al., ICCV 2023); None for none.
    """
    steps = cast(Any, timesteps)  # the scheduler's hints ask for a type of tensor that nothing makes
    noisy = base.scheduler.add_noise(latents, noise, steps)
    velocity = base.prediction_type == "v_prediction"
    target = base.scheduler.get_velocity(latents, noise, steps) if velocity else noise
    error = (base.predict(noisy, timesteps, prompts) - target).square().mean((1, 2, 3))
    if gamma is None:
        return error
    alpha = base.scheduler.alphas_cumprod.to(error.device)[timesteps]
    snr = alpha / (1 - alpha)
    return error * snr.clamp(max=gamma) / (snr + 1 if velocity else snr)


def backward_losses(
    base: BaseModel, banks: Sequence[TrainableBank], batches: Sequence[Batch], gamma: float | None = None
) -> Tensor:
    """Add the gradients of every bank's mean loss to its parameters; returns these losses.

    Calls of the UNet come one after the other, forward and backward, and only the prompts' gradients are added up: so
    their memory is that of one call, however many banks there are.

    Args:
        base: The frozen model.
        banks: S banks of one shape.
        batches: The samples of each.
        gamma: See `diffusion_loss`.

    Returns:
        [S] float32, on the model's device; nobody has waited for them.
    """
    encoded, rows = _encode(base, banks, batches)
    prompts = encoded.detach().float().requires_grad_()  # float32: gradients of many samples add up in it
    losses = []
    for call in _cut(base, batches, rows):
        loss = _lose(base, call, prompts, gamma)
        (loss * call.weights).sum().backward()
        losses.append(loss.detach())
    assert prompts.grad is not None
    encoded.backward(prompts.grad.to(encoded.dtype))
    return _average(losses, batches)


@torch.no_grad()
def validation_losses(
    base: BaseModel, banks: Sequence[TrainableBank], batches: Sequence[Batch], gamma: float | None = None
) -> Tensor:
    """Return every bank's mean loss on its batch, [S] float32; see `backward_losses`."""
    prompts, rows = _encode(base, banks, batches)
    return _average([_lose(base, call, prompts, gamma) for call in _cut(base, batches, rows)], batches)


def _encode(base: BaseModel, banks: Sequence[TrainableBank], batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
    """Encode each bank's distinct prompts once; returns [P, L, D], and which of them each sample has, [B]."""
    said: list[str] = []
    places: list[int] = []
    rows: list[int] = []
    for place, batch in enumerate(batches):
        own = {text: len(said) + i for i, text in enumerate(dict.fromkeys(batch.prompts))}
        said += own
        places += [place] * len(own)
        rows += [own[text] for text in batch.prompts]
    return base.encode_prompts(said, forward_banks(banks), places), torch.tensor(rows)


def _cut(base: BaseModel, batches: Sequence[Batch], rows: Tensor) -> Iterable[_Call]:
    """Cut the samples of all banks into calls of equal size, as few as may be.

    For a compiled model, which is made anew for each size, there are few: powers of two; calls are filled up with the
    last sample.
    """
    total, most = len(rows), EXAMPLES_PER_CALL.get(base.device.type, _ON_OTHERS)
    if base.is_compiled:
        most = min(most, 1 << (total - 1).bit_length())
    count = -(-total // most)
    picks = torch.arange(count * most if base.is_compiled else total)  # [B], or up to the end of the last call
    weights = torch.cat([torch.full((len(batch),), 1 / len(batch)) for batch in batches])
    parts = [torch.cat([getattr(batch, name) for batch in batches]) for name in ("latents", "noise", "timesteps")]
    filled = [part[picks.clamp(max=total - 1)] for part in (*parts, rows, weights)]
    filled[-1] = torch.where(picks < total, filled[-1], 0.0)
    return map(
        _Call._make, zip(*(copy_to_device(part, base.device).tensor_split(count) for part in filled), strict=True)
    )


def _lose(base: BaseModel, call: _Call, prompts: Tensor, gamma: float | None) -> Tensor:
    own = prompts[call.rows].to(base.dtype)  # [b, L, D]
    return diffusion_loss(base, call.latents, call.noise, call.timesteps, own, gamma)


def _average(losses: Sequence[Tensor], batches: Sequence[Batch]) -> Tensor:
    sizes = [len(batch) for batch in batches]
    return torch.stack([own.mean() for own in torch.cat(list(losses))[: sum(sizes)].split(sizes)])

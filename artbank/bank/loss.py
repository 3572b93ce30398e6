"""The losses of several banks through the frozen model, and their gradients.

Shape legend: S banks, N vectors in a bank, D their width; B examples of all banks together, b examples in one
micro-batch, P prompts, L tokens of a prompt; C x h x w latents.

Banks of kind `lora` change the UNet, so no two of them can go through it in one call: they go one after the other.

Losses of different banks are independent and the model is frozen, so joint training equals separate training up to
rounding, and a NaN stays in its own bank.

Source: the objective is the base model's own (Rombach et al., CVPR 2022, eq. 2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from artbank.bank.batches import Batch
from artbank.bank.call_size import LatentShape, fit_in_memory
from artbank.bank.trainable_bank import TrainableBank, forward_banks
from artbank.bank.trainable_lora import TrainableLora
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.tensors import copy_to_device

Trainable = TrainableBank | TrainableLora

_FLOAT16_SCALE = 256.0  # of the loss: most of a prompt's gradients would be 0, or nearly, in float16


@dataclass(frozen=True)
class _MicroBatch:
    """Examples that go through the UNet in one call, on its device.

    Attributes:
        latents: Clean latents, [b, C, h, w].
        noise: The noise to add, [b, C, h, w].
        timesteps: [b], 0..999.
        rows: [b] which of the P prompts each example has.
        weights: [b] weight of each example in its bank's mean; 0 for padding.
        sizes: [b, 6] sizes of the crops.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    rows: Tensor
    weights: Tensor
    sizes: Tensor


def diffusion_loss(
    base: BaseModel,
    latents: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    prompts: Tensor,
    gamma: float | None = None,
    sizes: Tensor | None = None,
) -> Tensor:
    """Return the base model's loss of each example, [B] float32.

    Args:
        base: Predicts the noise or the velocity, as its scheduler says.
        latents: Clean latents, [B, C, h, w].
        noise: The noise to add, [B, C, h, w].
        timesteps: [B], 0..999.
        prompts: Encoded prompts, [B, L, D]; gradients flow to them.
        gamma: Min-SNR weight (Hang et al., ICCV 2023); None for none.
        sizes: [B, 6] sizes of the crops, see `BaseModel.predict`.
    """
    schedule = base.noise_schedule
    noisy = schedule.add_noises(latents, noise, timesteps)
    target = schedule.velocities(latents, noise, timesteps) if schedule.predicts_velocity else noise
    error = (base.predict(noisy, timesteps, prompts, sizes=sizes) - target).square().mean((1, 2, 3))
    if gamma is None:
        return error
    snr = schedule.signal_to_noise(timesteps)
    return error * snr.clamp(max=gamma) / (snr + 1 if schedule.predicts_velocity else snr)


def backward_losses(
    base: BaseModel, banks: Sequence[Trainable], batches: Sequence[Batch], gamma: float | None = None
) -> Tensor:
    """Return every bank's mean loss, and add its gradients to the bank's parameters.

    Micro-batches go through the UNet one after the other, forward and backward; only the gradients of the prompts are
    accumulated. So the memory is that of one micro-batch, however many banks there are. A micro-batch that does not fit
    is halved, see `call_size`; then the whole step is computed anew.

    Args:
        base: The frozen model.
        banks: S banks of one kind and shape.
        batches: The examples of each bank.
        gamma: See `diffusion_loss`.

    Returns:
        [S] float32 on the model's device, not synchronised.

    Raises:
        TrainingError: Not even one example fits in the device's memory.
    """
    if loras := _find_loras(banks):
        return torch.cat([_fit_lora(bank, batch, gamma) for bank, batch in zip(loras, batches, strict=True)])
    return fit_in_memory(
        base,
        _latent_shape(batches[0]),
        lambda size: _backward_tokens(base, banks, batches, gamma, size),
        lambda: _drop_gradients(banks),
    )


def _backward_tokens(
    base: BaseModel, banks: Sequence[Trainable], batches: Sequence[Batch], gamma: float | None, size: int
) -> Tensor:
    """Do what `backward_losses` does for token banks, in micro-batches of at most `size` examples."""
    encoded, rows = _encode_prompts(base, _forward(banks), batches)
    prompts = encoded.detach().float().requires_grad_()  # float32, because the gradients of many examples add up in it
    losses = []
    for micro_batch in _split(base, batches, rows, size):
        loss = _example_losses(base, micro_batch, prompts, gamma)
        _backward(base, loss, micro_batch)
        losses.append(loss.detach())
    assert prompts.grad is not None
    encoded.backward(prompts.grad.to(encoded.dtype))
    _unscale(base, banks)
    return _mean_losses(losses, batches)


@torch.no_grad()
def validation_losses(base: BaseModel, banks: Sequence[Trainable], batches: Sequence[Batch]) -> Tensor:
    """Return every bank's validation loss, [S] float32, without gradients; see `backward_losses`.

    It is the geometric mean over the noise levels of the mean loss at each level, and unweighted. So every level counts
    alike; in a plain mean the losses at little noise, which are the largest, would count most.

    Raises:
        TrainingError: Not even one example fits in the device's memory.
    """
    if loras := _find_loras(banks):
        parts = [
            _validation_losses(bank.model, bank.word[None], [batch]) for bank, batch in zip(loras, batches, strict=True)
        ]
        return torch.cat(parts)
    return _validation_losses(base, _forward(banks), batches)


def _validation_losses(base: BaseModel, vectors: Tensor, batches: Sequence[Batch]) -> Tensor:
    prompts, rows = _encode_prompts(base, vectors, batches)

    def compute(size: int) -> list[Tensor]:
        return [_example_losses(base, part, prompts, None) for part in _split(base, batches, rows, size)]

    losses = fit_in_memory(base, _latent_shape(batches[0]), compute, lambda: None)
    return torch.stack(
        [_geometric_mean(bank_losses, batch.timesteps) for bank_losses, batch in _of_each_bank(losses, batches)]
    )


def _fit_lora(bank: TrainableLora, batch: Batch, gamma: float | None) -> Tensor:
    """Return the mean loss of one bank of kind lora, [1], and add its gradients to the bank's parameters."""
    return fit_in_memory(
        bank.model,
        _latent_shape(batch),
        lambda size: _backward_lora(bank, batch, gamma, size),
        lambda: _drop_gradients([bank]),
    )


def _latent_shape(batch: Batch) -> LatentShape:
    channels, height, width = batch.latents.shape[1:]
    return channels, height, width


def _drop_gradients(banks: Sequence[Trainable]) -> None:
    for bank in banks:
        bank.zero_grad(set_to_none=True)


def _backward_lora(bank: TrainableLora, batch: Batch, gamma: float | None, size: int) -> Tensor:
    with torch.no_grad():
        prompts, rows = _encode_prompts(bank.model, bank.word[None], [batch])
    losses = []
    for micro_batch in _split(bank.model, [batch], rows, size):
        loss = _example_losses(bank.model, micro_batch, prompts, gamma)
        _backward(bank.model, loss, micro_batch)
        losses.append(loss.detach())
    _unscale(bank.model, [bank])
    return _mean_losses(losses, [batch])


def _backward(base: BaseModel, loss: Tensor, micro_batch: _MicroBatch) -> None:
    """Send the losses of examples back; in float16 all gradients are `_FLOAT16_SCALE` times as large."""
    total = (loss * micro_batch.weights).sum()
    (total * _FLOAT16_SCALE if base.dtype == torch.float16 else total).backward()


def _unscale(base: BaseModel, banks: Sequence[Trainable]) -> None:
    """Give the gradients of banks, which are float32, their own size."""
    if base.dtype != torch.float16:
        return
    for bank in banks:
        for parameter in bank.parameters():
            if parameter.grad is not None:
                parameter.grad /= _FLOAT16_SCALE


def _find_loras(banks: Sequence[Trainable]) -> list[TrainableLora]:
    return [bank for bank in banks if isinstance(bank, TrainableLora)]


def _forward(banks: Sequence[Trainable]) -> Tensor:
    """Return the vectors of token banks, [S, N, D]."""
    return forward_banks([bank for bank in banks if isinstance(bank, TrainableBank)])


def _encode_prompts(base: BaseModel, vectors: Tensor, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
    """Encode each bank's distinct prompts once; returns [P, L, D], and the row of each example's prompt, [B].

    Args:
        base: The frozen model.
        vectors: What takes the place of `{style}` for each bank, [S, N, D].
        batches: The examples of each bank.
    """
    texts: list[str] = []
    owners: list[int] = []  # the number of the bank in each text
    rows: list[int] = []
    for number, batch in enumerate(batches):
        row_of = {text: len(texts) + i for i, text in enumerate(dict.fromkeys(batch.prompts))}
        texts += row_of
        owners += [number] * len(row_of)
        rows += [row_of[text] for text in batch.prompts]
    return base.encode_prompts(texts, vectors, owners), torch.tensor(rows)


def _split(base: BaseModel, batches: Sequence[Batch], rows: Tensor, size: int) -> Iterator[_MicroBatch]:
    """Split the examples of all banks into as few micro-batches of nearly equal size, at most `size`, as possible.

    A compiled model is compiled anew for each size. So its sizes are powers of two at most, and the last micro-batch
    is padded with the last example.
    """
    total = len(rows)
    if base.is_compiled:
        size = min(size, 1 << (total - 1).bit_length())
    count = -(-total // size)
    padding = count * size - total if base.is_compiled else 0
    weights = torch.cat([torch.full((len(batch),), 1 / len(batch)) for batch in batches])
    columns = [
        _pad(torch.cat([batch.latents for batch in batches]), padding),
        _pad(torch.cat([batch.noise for batch in batches]), padding),
        _pad(torch.cat([batch.timesteps for batch in batches]), padding),
        _pad(rows, padding),
        torch.cat([weights, torch.zeros(padding)]),
        _pad(torch.cat([batch.sizes for batch in batches]), padding),
    ]
    pieces = [copy_to_device(column, base.device).tensor_split(count) for column in columns]
    for piece in zip(*pieces, strict=True):
        yield _MicroBatch(*piece)


def _pad(column: Tensor, padding: int) -> Tensor:
    """Repeat the last row `padding` times."""
    return torch.cat([column, column[-1:].expand(padding, *column.shape[1:])])


def _example_losses(base: BaseModel, micro_batch: _MicroBatch, prompts: Tensor, gamma: float | None) -> Tensor:
    example_prompts = prompts[micro_batch.rows].to(base.dtype)  # [b, L, D]
    noised = (micro_batch.latents, micro_batch.noise, micro_batch.timesteps)
    return diffusion_loss(base, *noised, example_prompts, gamma, micro_batch.sizes)


def _mean_losses(losses: Sequence[Tensor], batches: Sequence[Batch]) -> Tensor:
    """Return each bank's mean, [S]."""
    return torch.stack([bank_losses.mean() for bank_losses, _ in _of_each_bank(losses, batches)])


def _of_each_bank(losses: Sequence[Tensor], batches: Sequence[Batch]) -> Iterator[tuple[Tensor, Batch]]:
    """Yield the losses of each bank's examples with its batch; losses of padding come last and are left out."""
    sizes = [len(batch) for batch in batches]
    examples = torch.cat(list(losses))[: sum(sizes)]
    yield from zip(examples.split(sizes), batches, strict=True)


def _geometric_mean(losses: Tensor, timesteps: Tensor) -> Tensor:
    """Return the geometric mean over the distinct timesteps of the mean loss at each."""
    levels = timesteps.unique()
    return torch.stack([losses[(timesteps == level).to(losses.device)].mean() for level in levels]).log().mean().exp()

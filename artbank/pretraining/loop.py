"""The training loop of the pretraining stages: bf16 networks, fp32 master weights, exact resume.

A step draws its randomness from the seed and its own number, so a checkpoint holds no generator state, and a run that
was killed and resumed ends in the bits of one that was not.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import load_file
from torch import Tensor, nn

logger = logging.getLogger(__name__)

LossFunction = Callable[[torch.Generator, float], Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a stage learns.

    Attributes:
        steps: Number of optimiser steps.
        batch_size: Pictures per step.
        learning_rate: Peak of AdamW's rate, reached after `warmup` steps, then falling linearly to 0.
        warmup: Steps of linear rise.
        weight_decay: AdamW's decoupled decay.
        checkpoint_every: Steps between checkpoints.
        clip_norm: Largest norm of the whole gradient.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup: int = 100
    weight_decay: float = 0.01
    checkpoint_every: int = 500
    clip_norm: float = 1.0

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, 0-based."""
        rise = min(1.0, (step + 1) / max(self.warmup, 1))
        fall = 1 - step / self.steps
        return self.learning_rate * min(rise, fall / max(1 - self.warmup / self.steps, 1e-9))


def train(
    modules: Sequence[nn.Module],
    loss_function: LossFunction,
    schedule: Schedule,
    folder: Path,
    *,
    seed: int = 0,
    stop_after_seconds: float | None = None,
) -> bool:
    """Train modules in place, resuming from the newest checkpoint in `folder`.

    Args:
        modules: Networks of one dtype on one device; all parameters that require a gradient learn.
        loss_function: Returns the scalar loss of one step, from the step's generator (on CPU) and the finished share
            of the run, 0..1.
        schedule: Length and rates.
        folder: Receives the checkpoints, safetensors files below 16 MB.
        seed: Seed of the run.
        stop_after_seconds: Checkpoint and return early after this time; None runs to the end.

    Returns:
        True if the schedule is complete.

    Raises:
        FloatingPointError: The loss is not finite.
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    masters = [p.detach().float().clone().requires_grad_() for p in parameters]
    optimizer = torch.optim.AdamW(masters, betas=(0.9, 0.99), weight_decay=schedule.weight_decay, fused=True)
    step = _load(folder, parameters, masters, optimizer)
    start = time.monotonic()
    losses = []
    while step < schedule.steps:
        loss = loss_function(torch.Generator().manual_seed(seed * 1_000_003 + step), step / schedule.steps)
        loss.backward()
        losses.append(loss.detach())
        optimizer.param_groups[0]["lr"] = schedule.rate(step)
        _update(parameters, masters, optimizer, schedule.clip_norm)
        step += 1
        late = stop_after_seconds is not None and time.monotonic() - start > stop_after_seconds
        due = step % schedule.checkpoint_every == 0 or step == schedule.steps or late
        if due or len(losses) == 50:
            _report(folder.name, step, schedule.steps, losses, start)  # raises before a bad state replaces a good one
            losses = []
        if due:
            _save(folder, parameters, masters, optimizer, step)
        if late:
            return step == schedule.steps
    return True


def _update(parameters: list[Tensor], masters: list[Tensor], optimizer: torch.optim.Optimizer, clip: float) -> None:
    for parameter, master in zip(parameters, masters, strict=True):
        master.grad = None if parameter.grad is None else parameter.grad.float()
        parameter.grad = None
    nn.utils.clip_grad_norm_(masters, clip)
    optimizer.step()
    _copy(masters, parameters)


def _copy(masters: list[Tensor], parameters: list[Tensor]) -> None:
    with torch.no_grad():
        for parameter, master in zip(parameters, masters, strict=True):
            parameter.copy_(master)


def _report(name: str, step: int, steps: int, losses: list[Tensor], start: float) -> None:
    mean = torch.stack(losses).float().mean().item()
    if not torch.isfinite(torch.tensor(mean)):
        raise FloatingPointError(
            f"{name}: expected a finite loss, found {mean} at step {step}; resume from a checkpoint with a lower rate"
        )
    logger.info("%s %d/%d loss %.4f %.0f s", name, step, steps, mean, time.monotonic() - start)


def _save(
    folder: Path, parameters: list[Tensor], masters: list[Tensor], optimizer: torch.optim.Optimizer, step: int
) -> None:
    """Write a checkpoint with moments in bf16, and continue from the rounded moments, as a resumed run will."""
    tensors = {}
    for i, master in enumerate(masters):
        tensors[f"{i:04d}.master"] = master.detach()
        state = optimizer.state.get(master, {})
        for moment in ("exp_avg", "exp_avg_sq"):
            if moment in state:
                tensors[f"{i:04d}.{moment}"] = state[moment].bfloat16()
                state[moment].copy_(tensors[f"{i:04d}.{moment}"])
    target = folder / f"step-{step:07d}"
    partial = folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_torch_state_dict(tensors, partial, max_shard_size="15MB")
    older = list(folder.glob("step-*"))
    shutil.rmtree(target, ignore_errors=True)
    partial.replace(target)
    for path in older:
        if path != target:
            shutil.rmtree(path)


def _load(folder: Path, parameters: list[Tensor], masters: list[Tensor], optimizer: torch.optim.Optimizer) -> int:
    checkpoints = sorted(folder.glob("step-*"))
    if not checkpoints:
        return 0
    tensors: dict[str, Tensor] = {}
    for path in checkpoints[-1].glob("*.safetensors"):
        tensors.update(load_file(path, device=str(masters[0].device)))
    step = int(checkpoints[-1].name.removeprefix("step-"))
    for i, master in enumerate(masters):
        with torch.no_grad():
            master.copy_(tensors[f"{i:04d}.master"])
        if f"{i:04d}.exp_avg" in tensors:
            state = {"step": torch.tensor(float(step), device=master.device)}
            for moment in ("exp_avg", "exp_avg_sq"):  # laid out as the master is: the fused step reads raw memory
                state[moment] = torch.zeros_like(master).copy_(tensors[f"{i:04d}.{moment}"])
            optimizer.state[master] = state
    _copy(masters, parameters)
    logger.info("%s resumes at step %d", folder.name, step)
    return step

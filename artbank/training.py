"""Learn the bank of one collection with the base model frozen.

Shape legend: B batch, N vectors in a bank, D their width, L tokens of a prompt, C x h x w latents.

A step draws all its randomness from the seed and its own number, so that a checkpoint needs no generator state and a
training that was killed and resumed ends, on CPU, in the bits of one that was not.

Source: ArtBank, Zhang et al., AAAI 2024, section "Implicit Style Prompt Bank"; the objective is the base model's own
(Rombach et al., CVPR 2022, eq. 2).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, cast

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from artbank.bank import Bank, TrainableBank
from artbank.config import BankRecipe
from artbank.diffusion import BaseModel
from artbank.errors import TrainingError
from artbank.views import TEMPLATES, Views

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, float], None]
"""Told of every step: how many are done, how many there are at most, and the step's loss."""

_WARMUP = 10
_BETAS = (0.9, 0.99)
_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}  # of AdamW
_VALIDATION_LEVELS = 4  # noise levels at which each held-out view is judged
_VALIDATION_VIEWS = 8
_STEP_SEEDS, _VALIDATION_SEED = 1_000_003, 7_919


class Keeper(Protocol):
    """Where checkpoints live; `load` returns None where there is none yet."""

    def load(self) -> bytes | None: ...
    def save(self, data: bytes) -> None: ...


@dataclass
class History:
    """What happened: each step's loss, and (step, loss) of each validation."""

    train: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def best(self) -> tuple[int, float]:
        """Step and loss of the best validation."""
        return min(self.validation, key=lambda entry: (entry[1], entry[0]))

    @classmethod
    def parse(cls, text: str) -> History:
        """Read a history back from JSON.

        Raises:
            ValueError, TypeError, KeyError, ArithmeticError, RecursionError: It is none.
        """
        facts = json.loads(text)
        validation = [(int(step), float(loss)) for step, loss in facts["validation"]]
        return cls([float(loss) for loss in facts["train"]], validation, float(facts["seconds"]))

    def stale(self) -> int:
        """Return the validations since the best one."""
        return sum(step > self.best[0] for step, _ in self.validation)


@dataclass(frozen=True)
class Trained:
    """A finished training: the folded vectors [N, D] float32 of its best step, its raw state, and its history."""

    vectors: Tensor
    state: dict[str, Tensor]
    history: History


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


class Training:
    """One bank's training: its state between steps, as it is checkpointed."""

    def __init__(self, base: BaseModel, learned: Views, held_out: Views, recipe: BankRecipe, identity: str):
        """Open a training at step 0.

        Args:
            base: The frozen model.
            learned: Views to learn from.
            held_out: Views of other artworks, for validation.
            recipe: How to train.
            identity: What a checkpoint must bear to be resumed from: the bank's id.
        """
        self.base, self.learned, self.held_out, self.recipe, self.identity = base, learned, held_out, recipe, identity
        self.bank = TrainableBank.start(recipe, base)
        self.optimizer = torch.optim.AdamW(
            self.bank.parameters(), lr=recipe.learning_rate, betas=_BETAS, weight_decay=recipe.weight_decay
        )
        self.step, self.history = 0, History()
        self.best = _copy(self.bank.state_dict())
        self._validation = self._fix_validation()

    def start_from(self, bank: Bank) -> None:
        """Take over an older bank's vectors and attention; does nothing where their shapes differ."""
        if self.bank.continue_from(bank):
            self.best = _copy(self.bank.state_dict())

    def run(
        self, keeper: Keeper | None = None, *, checkpoint_every: int = 100, progress: Progress | None = None
    ) -> Trained:
        """Train to the end, from the newest checkpoint where there is one.

        Args:
            keeper: Where checkpoints live; None keeps none.
            checkpoint_every: Steps between two.
            progress: Called after every step.

        Raises:
            TrainingError: The loss is not finite, or the checkpoint is damaged.
            OSError: The store failed.
        """
        if keeper is not None and (data := keeper.load()) is not None:
            self.restore(data)
        start, before = time.monotonic(), self.history.seconds
        if not self.history.validation:
            self._validate()
        while self.step < self.recipe.max_steps and self.history.stale() < self.recipe.patience:
            loss = self.advance()
            self.history.seconds = before + time.monotonic() - start
            if progress is not None:
                progress(self.step, self.recipe.max_steps, loss)
            if keeper is not None and self.step % checkpoint_every == 0:
                keeper.save(self.checkpoint())
        return self.finish()

    def advance(self) -> float:
        """Take one step and validate where it is due; returns the step's loss."""
        generator = torch.Generator().manual_seed(self.recipe.seed * _STEP_SEEDS + self.step)
        picks = torch.randint(len(self.learned), (self.recipe.batch_size,), generator=generator)
        prompts = [self.learned.prompt(int(p), generator, self.recipe.caption_dropout) for p in picks]
        latents = self.learned.sample(picks, generator)
        noise = torch.randn(latents.shape, generator=generator)
        timesteps = torch.randint(self._highest(), (len(picks),), generator=generator)
        loss = self._loss(latents, noise, timesteps, prompts).mean()
        loss.backward()
        value = loss.item()
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {value} at step {self.step}; lower learning_rate (now {self.recipe.learning_rate}) "
                "or use dtype=float32"
            )
        self.optimizer.param_groups[0]["lr"] = self._rate()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.history.train.append(value)
        if self.step % self.recipe.validate_every == 0 or self.step == self.recipe.max_steps:
            self._validate()
        return value

    def finish(self) -> Trained:
        """Fold the best state into plain vectors."""
        self.bank.load_state_dict(self.best)
        with torch.no_grad():
            vectors = self.bank().float().cpu()
        if not vectors.isfinite().all():
            raise TrainingError("the trained vectors are not finite; lower learning_rate or use dtype=float32")
        return Trained(vectors, {f"train.{n}": t.cpu() for n, t in self.best.items()}, self.history)

    def checkpoint(self) -> bytes:
        """Return everything that the next step depends on, as safetensors."""
        tensors = {f"bank.{n}": t for n, t in self.bank.state_dict().items()}
        tensors |= {f"best.{n}": t for n, t in self.best.items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": value for name, value in state.items()}
        header = {"identity": self.identity, "step": str(self.step), "history": json.dumps(asdict(self.history))}
        return safetensors.torch.save({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, metadata=header)

    def restore(self, data: bytes) -> None:
        """Go back to a checkpoint.

        Raises:
            TrainingError: It is damaged, or belongs to another bank.
        """
        try:
            tensors = safetensors.torch.load(data)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
            if header["identity"] != self.identity:
                raise ValueError(f"it is of bank {header['identity']}, expected {self.identity}")
            if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
                raise ValueError(f"{', '.join(broken)} hold values that are not finite")
            self.step, self.history = int(header["step"]), History.parse(header["history"])
            if self.step != len(self.history.train):
                raise ValueError(f"it tells of {len(self.history.train)} losses in {self.step} steps")
            self.bank.load_state_dict(_below(tensors, "best."))
            self.best = _copy(self.bank.state_dict())
            self.bank.load_state_dict(_below(tensors, "bank."))
            self._restore_optimizer(_below(tensors, "adam."))
        except (SafetensorError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError) as error:
            raise TrainingError(f"the checkpoint cannot be resumed from: {error}; delete it to start anew") from error
        logger.info("resuming at step %d of %d", self.step, self.recipe.max_steps)

    def _restore_optimizer(self, moments: dict[str, Tensor]) -> None:
        """Take over AdamW's moments, named `<parameter's number>.<moment>`, where they fit its parameters."""
        state: dict[int, dict[str, Tensor]] = {}
        shapes = [parameter.shape for parameter in self.bank.parameters()]
        for name, tensor in moments.items():
            number, moment = name.split(".", 1)
            if tensor.shape != (() if moment == "step" else shapes[int(number)]):
                raise ValueError(f"{name} is of shape {tuple(tensor.shape)}")
            state.setdefault(int(number), {})[moment] = tensor
        if state and {number: set(kept) for number, kept in state.items()} != dict.fromkeys(
            range(len(shapes)), _MOMENTS
        ):
            raise ValueError("the optimiser's moments are not complete")
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})

    def _loss(self, latents: Tensor, noise: Tensor, timesteps: Tensor, prompts: list[str]) -> Tensor:
        device = self.base.device
        said = list(dict.fromkeys(prompts))  # a text is encoded once, whatever the batch
        encoded = self.base.encode_prompts(said, self.bank())
        rows = torch.tensor([said.index(prompt) for prompt in prompts], device=device)
        args = (latents.to(device), noise.to(device), timesteps.to(device), encoded[rows])
        return diffusion_loss(self.base, *args, gamma=self.recipe.min_snr_gamma)

    def _rate(self) -> float:
        """Return the rate of this step: a short linear rise, then half a cosine down to a tenth."""
        rise = min(1.0, (self.step + 1) / _WARMUP)
        turn = torch.pi * min(self.step / self.recipe.max_steps, 1.0)
        fall = 0.55 + 0.45 * torch.cos(torch.tensor(turn)).item()
        return self.recipe.learning_rate * rise * fall

    def _highest(self) -> int:
        return max(int(self.base.num_train_timesteps * self.recipe.max_strength), 1)

    def _fix_validation(self) -> list[tuple[Tensor, Tensor, Tensor, list[str]]]:
        """Fix views, noise and timesteps of the validation: every view at evenly spread noise levels."""
        generator = torch.Generator().manual_seed(_VALIDATION_SEED)
        spread = torch.linspace(0, len(self.held_out) - 1, min(_VALIDATION_VIEWS, len(self.held_out))).round().long()
        levels = (torch.arange(_VALIDATION_LEVELS) + 0.5) / _VALIDATION_LEVELS * self._highest()
        batches = []
        for level in levels.long():
            latents = self.held_out.mean[spread]
            noise = torch.randn(latents.shape, generator=generator)
            prompts = [self.held_out.describe(int(view), TEMPLATES[0]) for view in spread]
            batches.append((latents, noise, level.expand(len(spread)), prompts))
        return batches

    @torch.no_grad()
    def _validate(self) -> None:
        loss = torch.cat([self._loss(*batch) for batch in self._validation]).mean().item()
        self.history.validation.append((self.step, loss))
        if self.history.best[0] == self.step:
            self.best = _copy(self.bank.state_dict())
        logger.info("step %d: validation loss %.4f (best %.4f at step %d)", self.step, loss, *self.history.best[::-1])


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

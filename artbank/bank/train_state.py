"""Learn the bank of one collection with the base model frozen; `cohort` does it for several in the same batches.

Shape legend: N vectors in a bank, D their width.

A step draws all its randomness from the seed and its own number, so that a checkpoint needs no generator state and a
training that was killed and resumed ends, on CPU, in the bits of one that was not.

Source: ArtBank, Zhang et al., AAAI 2024, section "Implicit Style Prompt Bank".
"""

from __future__ import annotations

import logging
import math

import torch
from torch import Tensor

from artbank.bank.bank import Bank, TrainableBank
from artbank.bank.batches import Batch, draw_batch, fix_validation
from artbank.bank.checkpoint import Checkpoint, CheckpointIO, TrainResult, choose_milestones, report_damage
from artbank.bank.dataset import LatentDataset
from artbank.bank.history import History
from artbank.bank.trainer import Progress, Trainer, train
from artbank.diffusion.base_model import BaseModel
from artbank.errors import TrainingError
from artbank.recipes import BankRecipe

logger = logging.getLogger(__name__)

_WARMUP = 10
_BETAS = (0.9, 0.99)


class TrainState:
    """One bank's training: its state between steps, as it is checkpointed."""

    def __init__(
        self,
        base: BaseModel,
        learned: LatentDataset,
        held_out: LatentDataset,
        recipe: BankRecipe,
        identity: str,
        *,
        num_milestones: int = 0,
    ):
        """Open a training at step 0.

        Args:
            base: The frozen model.
            learned: Crops to learn from.
            held_out: Crops of other artworks, for validation.
            recipe: How to train.
            identity: What a checkpoint must bear to be resumed from: the bank's id.
            num_milestones: Validations whose vectors are kept, at most; they change nothing in the training.
        """
        self.base, self.learned, self.recipe, self.identity = base, learned, recipe, identity
        self.num_milestones, self.milestones = num_milestones, dict[int, Tensor]()
        self.bank = TrainableBank.start(recipe, base)
        self.optimizer = torch.optim.AdamW(
            self.bank.parameters(),
            lr=recipe.learning_rate,
            betas=_BETAS,
            weight_decay=recipe.weight_decay,
            fused=base.device.type == "cuda" or None,
        )
        self.step, self.history = 0, History()
        self.best = _copy(self.bank.state_dict())
        self.validation = fix_validation(held_out, self._highest())

    @property
    def is_done(self) -> bool:
        """Whether the last step was taken, or no validation was better for too long."""
        return self.step >= self.recipe.max_steps or self.history.stale() >= self.recipe.patience

    @property
    def needs_validation(self) -> bool:
        """Whether the bank is to be validated at this step."""
        done = self.history.validation[-1][0] if self.history.validation else -1
        return done < self.step and (self.step % self.recipe.validate_every == 0 or self.step == self.recipe.max_steps)

    def start_from(self, bank: Bank) -> None:
        """Take over an older bank's vectors and attention; does nothing where their shapes differ."""
        if self.bank.continue_from(bank):
            self.best = _copy(self.bank.state_dict())

    def run(
        self, keeper: CheckpointIO | None = None, *, checkpoint_every: int = 100, progress: Progress | None = None
    ) -> TrainResult:
        """Train to the end and by itself, from the newest checkpoint where there is one; see `train`.

        Raises:
            TrainingError: The loss is not finite, or the checkpoint is damaged.
            OSError: The store failed.
        """
        [end] = train([self], [keeper], checkpoint_every=checkpoint_every, progress=progress)
        if isinstance(end, TrainingError):
            raise end
        return end

    def advance(self) -> float:
        """Take one step by itself and validate where it is due; returns the step's loss.

        Raises:
            TrainingError: It is not finite.
        """
        alone = Trainer([self])
        alone.step()
        alone.settle()
        if error := alone.failed.get(0):
            raise error
        return self.history.train[-1]

    def draw(self) -> Batch:
        """Draw what this step learns from."""
        return draw_batch(self.learned, self.recipe, self.step, self._highest())

    def optimizer_step(self) -> None:
        """Take the step that the gradients say."""
        self.optimizer.param_groups[0]["lr"] = self._rate()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1

    def record_loss(self, loss: float) -> None:
        """Take down the loss of the next step that is not in the history.

        Raises:
            TrainingError: It is not finite.
        """
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")
        self.history.train.append(loss)

    def record_validation(self, loss: float) -> None:
        """Take down the loss of this step's validation, and keep the state if it is the best."""
        self.history.validation.append((self.step, loss))
        best_step, best = self.history.best
        if best_step == self.step:
            self.best = _copy(self.bank.state_dict())
        self._keep_milestone()
        told = (self.step, loss, best, best_step, self.identity)
        logger.info("step %d: validation loss %.4f (best %.4f at step %d), bank %s", *told)

    def finish(self) -> TrainResult:
        """Fold the best state into plain vectors.

        Raises:
            TrainingError: They are not finite.
        """
        self.bank.load_state_dict(self.best)
        vectors = self._fold()
        if not vectors.isfinite().all():
            raise self._diverged("the trained vectors are not finite")
        return TrainResult(
            vectors, {f"train.{n}": t.cpu() for n, t in self.best.items()}, self.history, self.milestones
        )

    def checkpoint(self) -> bytes:
        """Return everything that the next step depends on, as safetensors.

        Raises:
            TrainingError: The last step broke the bank.
        """
        if not all(parameter.isfinite().all() for parameter in self.bank.parameters()):
            raise self._diverged("the bank is not finite")
        moments = self.optimizer.state_dict()["state"]
        states = (self.bank.state_dict(), self.best)
        return Checkpoint(self.identity, self.history, *states, moments, self.milestones).to_bytes()

    def restore(self, data: bytes) -> None:
        """Go back to a checkpoint.

        Raises:
            TrainingError: It is damaged, or belongs to another bank.
        """
        with report_damage():
            kept = Checkpoint.from_bytes(data, self.identity)
            kept.check_moments([parameter.shape for parameter in self.bank.parameters()])
            kept.check_milestones(self.bank.vectors.shape)
            self.bank.load_state_dict(kept.best)
            self.best = _copy(self.bank.state_dict())
            self.bank.load_state_dict(kept.bank)
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": kept.moments, "param_groups": groups})
            self.step, self.history, self.milestones = len(kept.history.train), kept.history, kept.milestones
        logger.info("resuming at step %d of %d, bank %s", self.step, self.recipe.max_steps, self.identity)

    def _keep_milestone(self) -> None:
        """Keep the vectors of this step's validation if it is a milestone so far, and drop those that no longer are."""
        chosen = choose_milestones([step for step, _ in self.history.validation], self.num_milestones)
        self.milestones = {step: vectors for step, vectors in self.milestones.items() if step in chosen}
        if self.step in chosen:
            self.milestones[self.step] = self._fold()

    @torch.no_grad()
    def _fold(self) -> Tensor:
        return self.bank().float().cpu()

    def _diverged(self, what: str) -> TrainingError:
        rate, step = self.recipe.learning_rate, len(self.history.train)
        return TrainingError(f"{what} at step {step}; lower learning_rate (now {rate}) or use dtype=float32")

    def _rate(self) -> float:
        """Return the rate of this step: a short linear rise, then half a cosine down to a tenth."""
        rise = min(1.0, (self.step + 1) / _WARMUP)
        turn = torch.pi * min(self.step / self.recipe.max_steps, 1.0)
        fall = 0.55 + 0.45 * torch.cos(torch.tensor(turn)).item()
        return self.recipe.learning_rate * rise * fall

    def _highest(self) -> int:
        return max(int(self.base.num_train_timesteps * self.recipe.max_strength), 1)


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}

"""The training of one bank with the base model frozen: its state between two steps; `trainer` runs the steps.

Shape legend: N vectors in a bank, D their width. A bank of kind `lora` has no vectors; its tensors are in the state.

A step draws all its random numbers from the recipe's seed and the step's number. So a checkpoint needs no generator
state, and on CPU a training that was killed and resumed ends with the same bits as one that was not.

Source: ArtBank, Zhang et al., AAAI 2024, section "Implicit Style Prompt Bank".
"""

from __future__ import annotations

import logging
import math

import torch
from torch import Tensor

from artbank.bank.batches import Batch, draw_batch, make_validation_batch
from artbank.bank.checkpoint import Checkpoint, TrainResult, choose_milestones, report_damage
from artbank.bank.dataset import LatentDataset
from artbank.bank.history import History
from artbank.bank.lora_bank import AnyBank
from artbank.bank.trainable_bank import TrainableBank
from artbank.bank.trainable_lora import TrainableLora
from artbank.diffusion.base_model import BaseModel
from artbank.errors import TrainingError
from artbank.recipes import BankRecipe

logger = logging.getLogger(__name__)

_WARMUP_STEPS = 3
_BETAS = (0.9, 0.99)


class TrainState:
    """All that changes while one bank is trained, and all that a step of it needs."""

    def __init__(
        self,
        base: BaseModel,
        learned: LatentDataset,
        held_out: LatentDataset,
        recipe: BankRecipe,
        bank_id: str,
        *,
        num_milestones: int = 0,
        word: str = "style",
    ):
        """Start a training at step 0.

        Args:
            base: The frozen model.
            learned: Crops of the artworks to learn from.
            held_out: Crops of other artworks, for validation.
            recipe: How to train.
            bank_id: The bank's id; only checkpoints of this bank can be restored.
            num_milestones: The most validations whose vectors are kept; they do not change the training.
            word: Stands for the style in the prompts of a bank of kind lora, see `lora_tensors.style_word`.
        """
        self.base = base
        self.learned = learned
        self.recipe = recipe
        self.bank_id = bank_id
        self.num_milestones = num_milestones if recipe.kind == "tokens" else 0
        self.bank = TrainableLora(recipe, base, word) if recipe.kind == "lora" else TrainableBank.start(recipe, base)
        self.optimizer = torch.optim.AdamW(
            self.bank.group_parameters(),
            lr=recipe.learning_rate,
            betas=_BETAS,
            weight_decay=recipe.weight_decay,
            fused=base.device.type == "cuda" or None,
        )
        self.step = 0
        self.history = History()
        self.best_weights = _copy(self.bank.state_dict())
        self.milestones: dict[int, Tensor] = {}
        self._num_timesteps = max(int(base.num_train_timesteps * recipe.max_strength), 1)
        self.validation_batch = make_validation_batch(held_out, self._num_timesteps)

    @property
    def is_done(self) -> bool:
        """Whether the last step was taken, or the last `patience` validations were no better than the best one."""
        return self.step >= self.recipe.max_steps or self.history.num_since_best() >= self.recipe.patience

    @property
    def needs_validation(self) -> bool:
        """Whether the bank must be validated at this step and was not yet."""
        last_validated = self.history.validation[-1][0] if self.history.validation else -1
        is_validation_step = self.step % self.recipe.validate_every == 0 or self.step == self.recipe.max_steps
        return is_validation_step and last_validated < self.step

    def start_from(self, bank: AnyBank) -> None:
        """Start with an older bank's vectors, and its attention where it fits, or with its LoRA.

        Raises:
            BankError: The bank does not fit, see `continue_from` of either kind.
        """
        self.bank.continue_from(bank)
        self.best_weights = _copy(self.bank.state_dict())

    def draw_batch(self) -> Batch:
        """Draw the examples of this step."""
        return draw_batch(self.learned, self.recipe, self.step, self._num_timesteps)

    def optimizer_step(self) -> None:
        """Update the bank by the gradients of this step."""
        rate = self._learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1

    def record_loss(self, loss: float) -> None:
        """Add the loss of the next step to the history.

        Raises:
            TrainingError: The loss is not finite.
        """
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")
        self.history.train.append(loss)

    def record_validation(self, loss: float) -> None:
        """Add the validation loss of this step to the history, and keep the weights if it is the best one so far.

        Raises:
            TrainingError: The loss is not finite. No later one would count as better.
        """
        if not math.isfinite(loss):
            raise self._diverged(f"the validation loss is {loss}")
        self.history.validation.append((self.step, loss))
        best_step, best = self.history.best
        if best_step == self.step:
            self.best_weights = _copy(self.bank.state_dict())
        self._update_milestones()
        logger.info(
            "step %d: validation loss %.4f (best %.4f at step %d), bank %s",
            self.step,
            loss,
            best,
            best_step,
            self.bank_id,
        )

    def finish(self) -> TrainResult:
        """Return the vectors of the best step, with the attention applied to them, or its LoRA.

        Raises:
            TrainingError: They are not finite.
        """
        self.bank.load_state_dict(self.best_weights)
        vectors = self.bank.shape_vectors()
        weights = self.bank.name_tensors(self.best_weights)
        trained = weights.values() if self.recipe.kind == "lora" else [vectors]
        if not all(tensor.isfinite().all() for tensor in trained):
            raise self._diverged("the trained vectors are not finite")
        return TrainResult(vectors, weights, self.history, self.milestones, self.bank.units)

    def checkpoint(self) -> bytes:
        """Return everything that the next step depends on, as a safetensors file.

        Raises:
            TrainingError: The bank is not finite since the last step.
        """
        if not all(parameter.isfinite().all() for parameter in self.bank.parameters()):
            raise self._diverged("the bank is not finite")
        checkpoint = Checkpoint(
            identity=self.bank_id,
            history=self.history,
            bank=self.bank.state_dict(),
            best=self.best_weights,
            moments=self.optimizer.state_dict()["state"],
            milestones=self.milestones,
        )
        return checkpoint.to_bytes()

    def restore(self, data: bytes) -> None:
        """Go back to a checkpoint.

        Raises:
            TrainingError: The checkpoint is damaged, or belongs to another bank.
        """
        with report_damage():
            checkpoint = Checkpoint.from_bytes(data, self.bank_id)
            parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
            checkpoint.check_moments([parameter.shape for parameter in parameters])
            checkpoint.check_milestones(self.bank.shape_vectors().shape)
            self.bank.load_state_dict(checkpoint.best)
            self.best_weights = _copy(self.bank.state_dict())
            self.bank.load_state_dict(checkpoint.bank)
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": checkpoint.moments, "param_groups": groups})
            self.step = len(checkpoint.history.train)
            self.history = checkpoint.history
            self.milestones = checkpoint.milestones
        logger.info("resuming at step %d of %d, bank %s", self.step, self.recipe.max_steps, self.bank_id)

    def _update_milestones(self) -> None:
        """Keep the vectors of this step if it is a milestone, and drop those that no longer are."""
        chosen = choose_milestones([step for step, _ in self.history.validation], self.num_milestones)
        self.milestones = {step: vectors for step, vectors in self.milestones.items() if step in chosen}
        if self.step in chosen:
            self.milestones[self.step] = self.bank.shape_vectors()

    def _learning_rate(self) -> float:
        """Return the vectors' rate at this step: a short linear rise, then half a cosine down to a tenth."""
        rise = min(1.0, (self.step + 1) / _WARMUP_STEPS)
        angle = torch.pi * min(self.step / self.recipe.max_steps, 1.0)
        fall = 0.55 + 0.45 * torch.cos(torch.tensor(angle)).item()
        return self.recipe.learning_rate * rise * fall

    def _diverged(self, reason: str) -> TrainingError:
        rate = self.recipe.learning_rate
        step = len(self.history.train)
        return TrainingError(f"{reason} at step {step}; lower learning_rate (now {rate}) or use dtype=float32")


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}

"""Train one bank without others, for tests of a single training."""

from __future__ import annotations

from artbank.bank.checkpoint import CheckpointIO, TrainResult
from artbank.bank.train_state import TrainState
from artbank.bank.trainer import StepCallback, Trainer, train
from artbank.errors import TrainingError


def train_one(
    state: TrainState,
    file: CheckpointIO | None = None,
    *,
    checkpoint_every: int = 100,
    on_step: StepCallback | None = None,
) -> TrainResult:
    """Train a bank to the end and raise its error; see `artbank.bank.trainer.train`."""
    [end] = train([state], [file], checkpoint_every=checkpoint_every, on_step=on_step)
    if isinstance(end, TrainingError):
        raise end
    return end


def step_one(state: TrainState) -> float:
    """Take one step with a bank, validate it if that is due, and return the step's loss or raise its error."""
    trainer = Trainer([state])
    trainer.step()
    trainer.flush_losses()
    for end in trainer.results():
        if isinstance(end, TrainingError):
            raise end
    return state.history.train[-1]

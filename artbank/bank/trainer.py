"""Train several banks in the same batches; each has its own optimiser, learning rate, history and checkpoints.

Shape legend: S banks that are still training.

The result for a bank does not depend on the other banks in the batches or on their steps, up to rounding; `loss`
explains why. Several banks together fill the UNet calls that a device runs best.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean

from artbank.bank.checkpoint import CheckpointIO, TrainResult
from artbank.bank.loss import Trainable, backward_losses, validation_losses
from artbank.bank.train_state import TrainState
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.tensors import start_reading
from artbank.errors import StopRequested, TrainingError
from artbank.runtime.stages import record_stop
from artbank.runtime.telemetry import count_steps
from artbank.store.explanations import explain

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 60.0
"""Longest time between two checkpoints of a bank, up to one step: what a kill may cost."""

StepCallback = Callable[[int, int, float], None]
"""Called once the losses of a step are known, with the steps of all banks so far, the most that there can be, and the
mean loss of the step."""


def train(
    states: Sequence[TrainState],
    files: Sequence[CheckpointIO | None] = (),
    *,
    checkpoint_every: int = 100,
    on_step: StepCallback | None = None,
    is_lost: Callable[[str], bool] | None = None,
) -> list[TrainResult | TrainingError]:
    """Train banks to the end, each from its newest checkpoint if there is one.

    A finished bank leaves the batches. An error in one bank ends only that bank.

    Args:
        states: One for each bank, on one base model, with recipes of the same shape and loss.
        files: Where each bank's checkpoints are kept; None keeps none.
        checkpoint_every: Steps of a bank between two of its checkpoints; there is also one every 60 s.
        on_step: Called after every step.
        is_lost: Asked before every step, by bank id, whether another process has taken over a bank.

    Returns:
        The result of each bank, or an error if its loss was not finite, its checkpoint was damaged, another process
        took it over, or the device's memory is too small for a single example.

    Raises:
        OSError: The store failed.
        StopRequested: `on_step` raised it; a checkpoint of every bank was written, if the store could be reached.
    """
    trainer = Trainer(states, files, checkpoint_every=checkpoint_every, on_step=on_step, is_lost=is_lost)
    trainer.resume()
    try:
        while trainer.active:
            trainer.step()
    except StopRequested:
        record_stop(trainer.keep())
        raise
    return trainer.results()


@dataclass(eq=False)
class _Run:
    """One bank in the trainer; it is active until it has a result or an error."""

    state: TrainState
    file: CheckpointIO | None
    result: TrainResult | None = None
    error: TrainingError | None = None

    @property
    def is_active(self) -> bool:
        return self.result is None and self.error is None

    def stop(self, error: TrainingError) -> None:
        self.error = error
        logger.warning("stopped training bank %s: %s", self.state.bank_id, error)


@dataclass(frozen=True)
class _PendingLosses:
    """The losses of one step, which may still be on their way from the device; `read` waits for them."""

    runs: Sequence[_Run]
    read: Callable[[], list[float]]


class Trainer:
    """Trains banks in the same batches.

    The losses of a step are read while the next step runs, so that the device never waits for them. A bank whose loss
    is not finite has taken one more step by then. Nothing of it is kept: all losses are read before every validation
    and every checkpoint.
    """

    def __init__(
        self,
        states: Sequence[TrainState],
        files: Sequence[CheckpointIO | None] = (),
        *,
        checkpoint_every: int = 100,
        on_step: StepCallback | None = None,
        is_lost: Callable[[str], bool] | None = None,
    ):
        """Take banks at their current step; see `train`."""
        recipes = [state.recipe for state in states]
        shapes = {
            (recipe.kind, recipe.num_tokens, recipe.attention, recipe.rank, recipe.min_snr_gamma) for recipe in recipes
        }
        assert len(shapes) <= 1, f"banks trained together need one shape and one loss, found {shapes}"
        self.checkpoint_every = checkpoint_every
        self.on_step = on_step
        self.is_lost = is_lost
        self._runs = [_Run(state, file) for state, file in zip(states, files or [None] * len(states), strict=True)]
        self._pending: _PendingLosses | None = None
        self._charged_until = time.monotonic()
        self._kept_at = time.monotonic()

    @property
    def active(self) -> list[_Run]:
        """The banks that are still training."""
        return [run for run in self._runs if run.is_active]

    def resume(self) -> None:
        """Load the newest checkpoints, validate banks that start anew or were stopped before it, finish those done."""
        for run in self._runs:
            run.state.base.compiler.begin()
            data = run.file.load() if run.file is not None else None
            if data is not None:
                with _guard(run):
                    run.state.restore(data)
        self._charged_until = self._kept_at = time.monotonic()
        self._validate([run for run in self.active if run.state.needs_validation])
        self._charge_time(self.active)
        self._finish([run for run in self.active if run.state.is_done])

    def step(self) -> None:
        """Take one step with every active bank; then validate, checkpoint and finish the banks that are due."""
        self._stop_lost_banks()
        runs = self.active
        if not runs:
            return
        batches = [run.state.draw_batch() for run in runs]
        gamma = runs[0].state.recipe.min_snr_gamma
        try:
            losses = backward_losses(*_of_model(runs), batches, gamma)
        except TrainingError as error:  # of no bank by itself: the device's memory is too small
            self.flush_losses()
            for run in runs:
                run.stop(error)
            return
        for run in runs:
            run.state.optimizer_step()
        count_steps(len(runs))
        previous = self._pending
        self._pending = _PendingLosses(runs, start_reading(losses))
        self._record_losses(previous)
        if any(self._is_due(run) for run in self.active):
            self.flush_losses()
            self._validate_and_checkpoint()
        self._charge_time(runs)
        compiler = runs[0].state.base.compiler
        compiler.advance(len(runs))
        compiler.expect(sum(run.state.recipe.max_steps - run.state.step for run in self.active))

    def flush_losses(self) -> None:
        """Record the losses that are still pending."""
        pending = self._pending
        self._pending = None
        self._record_losses(pending)

    def keep(self) -> str:
        """Write a checkpoint of every active bank, for a stop; returns what was kept, for people."""
        self.on_step = None  # it has asked for the stop
        self.flush_losses()
        self._charge_time(self.active)
        step = max((run.state.step for run in self._runs), default=0)
        try:
            self._write_checkpoints([run for run in self.active if run.file is not None])
        except OSError as error:
            logger.warning("no checkpoint could be written at the stop: %s", explain(error))
            return f"stopped at step {step}, kept up to the last checkpoint"
        return f"stopped at step {step}, kept"

    def results(self) -> list[TrainResult | TrainingError]:
        """Return the result or the error of each bank, once none is active."""
        ends = [run.error or run.result for run in self._runs]
        return [end for end in ends if end is not None]

    def _stop_lost_banks(self) -> None:
        if self.is_lost is None:
            return
        for run in self.active:
            if self.is_lost(run.state.bank_id):
                run.stop(TrainingError("another process has taken it over"))

    def _is_due(self, run: _Run) -> bool:
        return run.state.needs_validation or run.state.is_done or self._is_checkpoint_step(run)

    def _is_checkpoint_step(self, run: _Run) -> bool:
        if run.file is None:
            return False
        return run.state.step % self.checkpoint_every == 0 or time.monotonic() - self._kept_at >= CHECKPOINT_SECONDS

    def _validate_and_checkpoint(self) -> None:
        """Validate the banks that need it, write the checkpoints that are due, and finish the banks that are done.

        A bank that is done before the others gets a last checkpoint: it is registered only after they are done too.
        """
        self._validate([run for run in self.active if run.state.needs_validation])
        done = [run for run in self.active if run.state.is_done]
        early = done if len(done) < len(self.active) else []
        due = [run for run in self.active if run.file is not None and (run in early or self._is_checkpoint_step(run))]
        self._write_checkpoints(due)
        self._finish([run for run in done if run.is_active])

    def _write_checkpoints(self, runs: Sequence[_Run]) -> None:
        for run in runs:
            assert run.file is not None
            with _guard(run):
                run.file.save(run.state.checkpoint())
        if all(run in runs or run.file is None for run in self.active):
            self._kept_at = time.monotonic()

    def _validate(self, runs: Sequence[_Run]) -> None:
        """Validate several banks with the same forward passes."""
        if not runs:
            return
        try:
            losses = validation_losses(*_of_model(runs), [run.state.validation_batch for run in runs])
        except TrainingError as error:
            for run in runs:
                run.stop(error)
            return
        for run, loss in zip(runs, losses.tolist(), strict=True):
            with _guard(run):
                run.state.record_validation(loss)

    def _finish(self, runs: Sequence[_Run]) -> None:
        for run in runs:
            with _guard(run):
                run.result = run.state.finish()

    def _record_losses(self, pending: _PendingLosses | None) -> None:
        if pending is None:
            return
        recorded = []
        for run, loss in zip(pending.runs, pending.read(), strict=True):
            if run.is_active:
                with _guard(run):
                    run.state.record_loss(loss)
                    recorded.append(loss)
        if recorded and self.on_step is not None:
            self.on_step(*self._num_steps(), fmean(recorded))

    def _num_steps(self) -> tuple[int, int]:
        """Return the steps whose losses are recorded, and the most that there can be; a stopped bank takes no more."""
        num_done = 0
        num_most = 0
        for run in self._runs:
            num_steps = len(run.state.history.train)
            num_done += num_steps
            num_most += run.state.recipe.max_steps if run.is_active else num_steps
        return num_done, num_most

    def _charge_time(self, runs: Sequence[_Run]) -> None:
        """Charge the time since the last call to some banks, in equal parts."""
        now = time.monotonic()
        for run in runs:
            run.state.history.seconds += (now - self._charged_until) / len(runs)
        self._charged_until = now


@contextmanager
def _guard(run: _Run) -> Iterator[None]:
    """Let a `TrainingError` end only its own bank."""
    try:
        yield
    except TrainingError as error:
        run.stop(error)


def _of_model(runs: Sequence[_Run]) -> tuple[BaseModel, list[Trainable]]:
    return runs[0].state.base, [run.state.bank for run in runs]

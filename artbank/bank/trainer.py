"""Train several banks in the same batches; each has its own optimiser, rate, history, checkpoints and end.

Shape legend: S banks that are not done, N vectors in a bank, D their width.

It does not matter to a bank what else is trained with it, or at which step the others are, but for rounding (`joint`
says why): with several, the calls of the UNet are as large as the device likes them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from statistics import fmean
from typing import Protocol

import torch
from torch import Tensor

from artbank.bank.bank import TrainableBank
from artbank.bank.batches import Batch
from artbank.bank.checkpoint import CheckpointIO, TrainResult
from artbank.bank.history import History
from artbank.bank.loss import backward_losses, validation_losses
from artbank.diffusion.base_model import BaseModel
from artbank.errors import TrainingError
from artbank.recipes import BankRecipe
from artbank.runtime.telemetry import count_steps

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, float], None]
"""Told of every step once its losses are known: how many are done of all banks together, how many there are at most,
and the mean loss."""


class Member(Protocol):
    """What is asked of one bank's training; see `training.Training`."""

    base: BaseModel
    bank: TrainableBank
    recipe: BankRecipe
    identity: str
    step: int
    history: History
    validation: Batch

    @property
    def is_done(self) -> bool: ...
    @property
    def needs_validation(self) -> bool: ...
    def draw(self) -> Batch: ...
    def optimizer_step(self) -> None: ...
    def record_loss(self, loss: float) -> None: ...
    def record_validation(self, loss: float) -> None: ...
    def finish(self) -> TrainResult: ...
    def checkpoint(self) -> bytes: ...
    def restore(self, data: bytes) -> None: ...


def train(
    members: Sequence[Member],
    keepers: Sequence[CheckpointIO | None] = (),
    *,
    checkpoint_every: int = 100,
    progress: Progress | None = None,
    is_lost: Callable[[str], bool] | None = None,
) -> list[TrainResult | TrainingError]:
    """Train banks to the end, each from its newest checkpoint where there is one.

    A bank that has ended leaves the batches. What goes wrong with one ends that one only.

    Args:
        members: On one base model, by recipes of one shape and loss.
        keepers: Where the checkpoints of each live; None keeps none.
        checkpoint_every: Steps of a bank between two of its checkpoints.
        progress: Called after every step.
        is_lost: Asked at every step, by identity, whether somebody else has taken a bank over.

    Returns:
        What became of each; an error where its loss was not finite, its checkpoint was damaged, or it was lost.

    Raises:
        OSError: The store failed.
    """
    cohort = Trainer(members, keepers, checkpoint_every=checkpoint_every, progress=progress, is_lost=is_lost)
    cohort.resume()
    while cohort.active:
        cohort.step()
    return cohort.ends()


class Trainer:
    """Banks that learn in the same batches.

    The losses of a step are read when the next one is under way, so that no device waits for them. A bank whose loss is
    not finite has then taken a broken step, and another: nothing of it is kept, for losses are read before every
    validation and every checkpoint.
    """

    def __init__(
        self,
        members: Sequence[Member],
        keepers: Sequence[CheckpointIO | None] = (),
        *,
        checkpoint_every: int = 100,
        progress: Progress | None = None,
        is_lost: Callable[[str], bool] | None = None,
    ):
        """Take the members as they are; see `train`."""
        assert len({(m.recipe.num_tokens, m.recipe.attention, m.recipe.min_snr_gamma) for m in members}) <= 1
        self.members, self.keepers = list(members), list(keepers or repeat(None, len(members)))
        self.checkpoint_every, self.progress, self.is_lost = checkpoint_every, progress, is_lost
        self.trained: dict[int, TrainResult] = {}
        self.failed: dict[int, TrainingError] = {}
        self._unread: tuple[list[int], Callable[[], list[float]]] | None = None
        self._since = time.monotonic()

    @property
    def active(self) -> list[int]:
        """Places of the members that have not ended."""
        return [i for i in range(len(self.members)) if i not in self.trained and i not in self.failed]

    def resume(self) -> None:
        """Go back to the newest checkpoints, validate what has not begun, and end what is done."""
        for place, keeper in enumerate(self.keepers):
            data = keeper.load() if keeper is not None else None
            if data is not None:
                self._attempt(place, lambda member, data=data: member.restore(data))
        self._since = time.monotonic()
        self._validate([place for place in self.active if not self.members[place].history.validation])
        self._share(self.active)
        self._end([place for place in self.active if self.members[place].is_done])

    def step(self) -> None:
        """Take a step with every bank that has not ended; then validate, keep and end what is due for it."""
        self._give_up_lost()
        if not (places := self.active):
            return
        losses = self._call(backward_losses, places, [self.members[place].draw() for place in places])
        count_steps(len(places))
        for place in places:
            self.members[place].optimizer_step()
        before, self._unread = self._unread, (places, _fetch(losses))
        self._read(before)
        if any(self._is_due(place) for place in self.active):
            self.settle()
            self._look_after()
        self._share(places)

    def settle(self) -> None:
        """Read the losses that were not read yet."""
        unread, self._unread = self._unread, None
        self._read(unread)

    def ends(self) -> list[TrainResult | TrainingError]:
        """Return what became of each member; all have ended."""
        return [self.failed.get(place) or self.trained[place] for place in range(len(self.members))]

    def _give_up_lost(self) -> None:
        is_lost = self.is_lost or (lambda _: False)
        for place in self.active:
            if is_lost(self.members[place].identity):
                self._give_up(place, TrainingError("another process has taken it over"))

    def _is_due(self, place: int) -> bool:
        return self.members[place].needs_validation or self.members[place].is_done or self._is_to_keep(place)

    def _is_to_keep(self, place: int) -> bool:
        return self.keepers[place] is not None and self.members[place].step % self.checkpoint_every == 0

    def _look_after(self) -> None:
        self._validate([place for place in self.active if self.members[place].needs_validation])
        done = [place for place in self.active if self.members[place].is_done]
        others_go_on = len(done) < len(self.active)
        for place in self.active:
            keeper = self.keepers[place]
            if keeper is not None and (self._is_to_keep(place) or (place in done and others_go_on)):
                self._attempt(place, lambda member, keeper=keeper: keeper.save(member.checkpoint()))
        self._end([place for place in self.active if place in done])

    def _validate(self, places: Sequence[int]) -> None:
        """Validate several banks by the same forward passes."""
        if places:
            losses = self._call(validation_losses, places, [self.members[place].validation for place in places])
            for place, loss in zip(places, losses.tolist(), strict=True):
                self.members[place].record_validation(loss)

    def _end(self, places: Iterable[int]) -> None:
        for place in places:
            self._attempt(place, lambda member, place=place: self.trained.update({place: member.finish()}))

    def _call(self, work: Callable[..., Tensor], places: Sequence[int], batches: Sequence[Batch]) -> Tensor:
        first = self.members[places[0]]
        return work(first.base, [self.members[place].bank for place in places], batches, first.recipe.min_snr_gamma)

    def _read(self, unread: tuple[list[int], Callable[[], list[float]]] | None) -> None:
        if unread is None:
            return
        losses = dict(zip(unread[0], unread[1](), strict=True))
        for place in self.active:
            if place in losses:
                self._attempt(place, lambda member, place=place: member.record_loss(losses[place]))
        if self.progress is not None and (told := [losses[place] for place in self.active if place in losses]):
            steps = [len(member.history.train) for member in self.members]
            most = [self.members[i].recipe.max_steps if i in self.active else taken for i, taken in enumerate(steps)]
            self.progress(sum(steps), sum(most), fmean(told))

    def _attempt(self, place: int, action: Callable[[Member], object]) -> None:
        try:
            action(self.members[place])
        except TrainingError as error:
            self._give_up(place, error)

    def _give_up(self, place: int, error: TrainingError) -> None:
        self.failed[place] = error
        logger.warning("bank %s is given up: %s", self.members[place].identity, error)

    def _share(self, places: Sequence[int]) -> None:
        """Charge the time since the last call to the members at these places, in equal parts."""
        now = time.monotonic()
        for place in places:
            self.members[place].history.seconds += (now - self._since) / len(places)
        self._since = now


def _fetch(losses: Tensor) -> Callable[[], list[float]]:
    """Start to bring losses [S] from their device; returns what waits for them."""
    if losses.device.type != "cuda":
        return losses.tolist
    there = torch.empty(losses.shape, pin_memory=True)
    there.copy_(losses, non_blocking=True)
    arrived = torch.cuda.current_stream(losses.device).record_event()

    def wait() -> list[float]:
        arrived.synchronize()
        return there.tolist()

    return wait

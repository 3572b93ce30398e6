"""What a training leaves behind at a step, for another process to go on from: as bytes, and read with distrust."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Protocol

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from artbank.bank.history import History
from artbank.errors import TrainingError
from artbank.store.tensor_files import parse_header

_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}  # of AdamW


class CheckpointIO(Protocol):
    """Where checkpoints live; `load` returns None where there is none yet."""

    def load(self) -> bytes | None: ...
    def save(self, data: bytes) -> None: ...


@dataclass(frozen=True)
class Checkpoint:
    """A training between two steps: everything that the next one depends on.

    Attributes:
        identity: Of its bank.
        history: With as many losses as steps were taken.
        bank: The bank's state.
        best: Likewise, at the best step.
        moments: AdamW's, by number of the parameter and by name.
        milestones: The vectors [N, D] at some of its validations, by step; older versions kept none.
    """

    identity: str
    history: History
    bank: dict[str, Tensor]
    best: dict[str, Tensor]
    moments: dict[int, dict[str, Tensor]]
    milestones: dict[int, Tensor] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the checkpoint as safetensors, with what is no tensor in its header."""
        tensors = {f"bank.{name}": tensor for name, tensor in self.bank.items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for number, state in self.moments.items():
            tensors |= {f"adam.{number}.{name}": value for name, value in state.items()}
        tensors |= {f"milestone.{step}": vectors for step, vectors in self.milestones.items()}
        step = str(len(self.history.train))
        header = {"identity": self.identity, "step": step, "history": json.dumps(asdict(self.history))}
        return safetensors.torch.save({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, metadata=header)

    @classmethod
    def from_bytes(cls, data: bytes, identity: str) -> Checkpoint:
        """Read a checkpoint of a bank.

        Raises:
            SafetensorError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError: It is damaged, or
                belongs to another bank; see `report_damage`.
        """
        tensors = safetensors.torch.load(data)
        header = parse_header(data).metadata
        if header["identity"] != identity:
            raise ValueError(f"it is of bank {header['identity']}, expected {identity}")
        if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
            raise ValueError(f"{', '.join(broken)} hold values that are not finite")
        step, history = int(header["step"]), History.parse(header["history"])
        if step != len(history.train):
            raise ValueError(f"it tells of {len(history.train)} losses in {step} steps")
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(tensors, "adam.").items():
            number, moment = name.split(".", 1)
            moments.setdefault(int(number), {})[moment] = tensor
        milestones = dict(sorted((int(step), vectors) for step, vectors in _below(tensors, "milestone.").items()))
        return cls(identity, history, _below(tensors, "bank."), _below(tensors, "best."), moments, milestones)

    def check_moments(self, shapes: Sequence[torch.Size]) -> None:
        """Check that AdamW's moments are those of parameters of these shapes.

        Raises:
            ValueError: They are not.
        """
        found = {n: {name: tuple(t.shape) for name, t in kept.items()} for n, kept in self.moments.items()}
        expected = {n: {m: () if m == "step" else tuple(shape) for m in _MOMENTS} for n, shape in enumerate(shapes)}
        if found and found != expected:
            raise ValueError("the optimiser's moments are not complete, or not of the bank's shape")

    def check_milestones(self, shape: torch.Size) -> None:
        """Check that the milestones are vectors of a bank of this shape, at steps that were validated.

        Raises:
            ValueError: They are not.
        """
        validated = {step for step, _ in self.history.validation}
        if self.milestones.keys() - validated or any(v.shape != shape for v in self.milestones.values()):
            raise ValueError("its milestones are not of the bank's shape, or of steps without a validation")


def choose_milestones(validated: Sequence[int], most: int) -> Sequence[int]:
    """Return at most so many of the steps that were validated so far, evenly spread, the first one among them.

    It is every one, every second, every fourth and so on: whatever is chosen later was chosen before, so that what is
    kept while a training goes on is thinned out, and its end need not be known. At least half of `most` are kept.
    """
    stride = 1
    while most and -(-len(validated) // stride) > most:
        stride *= 2
    return validated[::stride] if most else []


@contextmanager
def report_damage() -> Iterator[None]:
    """Say of whatever goes wrong while a checkpoint is taken over that it cannot be resumed from.

    Raises:
        TrainingError: It cannot.
    """
    try:
        yield
    except (SafetensorError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError) as error:
        raise TrainingError(f"the checkpoint cannot be resumed from: {error}; delete it to start anew") from error


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    Attributes:
        vectors: Of its best step, folded, [N, D] float32.
        state: Likewise, raw.
        history: What happened.
        milestones: What the folded vectors were at a few of its validations, by step.
    """

    vectors: Tensor
    state: dict[str, Tensor]
    history: History
    milestones: dict[int, Tensor] = field(default_factory=dict)

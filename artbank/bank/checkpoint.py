"""The checkpoint of a training, its history and its result; a checkpoint is read as untrusted input."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Protocol

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from artbank.bank.history import History
from artbank.errors import TrainingError
from artbank.store.tensor_files import parse_header, sort_metadata


class CheckpointIO(Protocol):
    """The place of one bank's checkpoint; `load` returns None if there is none yet."""

    def load(self) -> bytes | None: ...
    def save(self, data: bytes) -> None: ...


@dataclass(frozen=True)
class Checkpoint:
    """A training between two steps: everything that the next step depends on.

    Attributes:
        identity: The bank's id.
        history: The losses, one for each step taken.
        bank: The bank's weights.
        best: The bank's weights at the best step.
        moments: AdamW's state, by the number of the parameter and by name.
        milestones: The vectors [N, D] at some of the validations, by step; older versions kept none.
    """

    identity: str
    history: History
    bank: dict[str, Tensor]
    best: dict[str, Tensor]
    moments: dict[int, dict[str, Tensor]]
    milestones: dict[int, Tensor]

    def to_bytes(self) -> bytes:
        """Return the checkpoint as a safetensors file; all but the tensors is in its header."""
        tensors = {f"bank.{name}": tensor for name, tensor in self.bank.items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for number, state in self.moments.items():
            tensors |= {f"adam.{number}.{name}": value for name, value in state.items()}
        tensors |= {f"milestone.{step}": vectors for step, vectors in self.milestones.items()}
        step = str(len(self.history.train))
        header = {"identity": self.identity, "step": step, "history": json.dumps(asdict(self.history))}
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        return sort_metadata(safetensors.torch.save(contiguous, metadata=header))

    @classmethod
    def from_bytes(cls, data: bytes, identity: str) -> Checkpoint:
        """Read a checkpoint of the bank with the id `identity`.

        Raises:
            SafetensorError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError: The checkpoint is
                damaged, or belongs to another bank; see `report_damage`.
        """
        header = parse_header(data).metadata  # first, since it has limits that the library has not
        tensors = safetensors.torch.load(data)
        if header["identity"] != identity:
            raise ValueError(f"expected a checkpoint of bank {identity}, found one of bank {header['identity']}")
        if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
            raise ValueError(f"{', '.join(broken)} have values that are not finite")
        step = int(header["step"])
        history = History.parse(header["history"])
        if step != len(history.train):
            raise ValueError(f"expected {step} losses, one for each step, found {len(history.train)}")
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(tensors, "adam.").items():
            number, moment = name.split(".", 1)
            moments.setdefault(int(number), {})[moment] = tensor
        milestones = dict(sorted((int(step), vectors) for step, vectors in _below(tensors, "milestone.").items()))
        return cls(identity, history, _below(tensors, "bank."), _below(tensors, "best."), moments, milestones)

    def check_moments(self, shapes: Sequence[torch.Size]) -> None:
        """Check that AdamW's moments belong to parameters of these shapes.

        Raises:
            ValueError: A moment is missing or has another shape.
        """
        found = {
            number: {name: tuple(tensor.shape) for name, tensor in state.items()}
            for number, state in self.moments.items()
        }
        expected = {
            number: {"step": (), "exp_avg": tuple(shape), "exp_avg_sq": tuple(shape)}
            for number, shape in enumerate(shapes)
        }
        if found and found != expected:
            raise ValueError("the optimiser's moments are incomplete, or have another shape than the bank")

    def check_milestones(self, shape: torch.Size) -> None:
        """Check that every milestone has the shape of the bank's vectors, and is at a step that was validated.

        Raises:
            ValueError: One has another shape or step.
        """
        validated = {step for step, _ in self.history.validation}
        if self.milestones.keys() - validated:
            raise ValueError("some milestones are at steps without a validation")
        if any(vectors.shape != shape for vectors in self.milestones.values()):
            raise ValueError("some milestones have another shape than the bank")


def choose_milestones(validated: Sequence[int], most: int) -> Sequence[int]:
    """Return at most `most` of the steps validated so far: evenly spread, always with the first one.

    These are all steps, every second, every fourth and so on. A step that is chosen later was also chosen before, so a
    training can keep milestones without knowing when it will end. At least half of `most` are kept.
    """
    stride = 1
    while most and -(-len(validated) // stride) > most:
        stride *= 2
    return validated[::stride] if most else []


@contextmanager
def report_damage() -> Iterator[None]:
    """Turn every error of the block, which restores a checkpoint, into one that says what to do.

    Raises:
        TrainingError: The checkpoint cannot be restored.
    """
    try:
        yield
    except (SafetensorError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError) as error:
        raise TrainingError(f"the checkpoint cannot be restored: {error}; delete it to start anew") from error


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class TrainResult:
    """The result of a training.

    Attributes:
        vectors: [N, D] float32 at the best step, as the text encoder takes them; [0, 0] for kind lora.
        state: The bank's weights at the best step, under `train.`; for kind lora the tensors of its file.
        history: The losses.
        milestones: The vectors [N, D] at a few of the validations, by step.
        units: The units of the unshaped vectors in `state`, see `TrainableBank`.
    """

    vectors: Tensor
    state: dict[str, Tensor]
    history: History
    milestones: dict[int, Tensor]
    units: tuple[float, ...]

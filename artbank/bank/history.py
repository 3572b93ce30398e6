"""The losses of one training, step by step."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field


@dataclass
class History:
    """The losses of a training: one for each step, and (step, loss) for each validation.

    `seconds` is the bank's share of the time.
    """

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
            ValueError, TypeError, KeyError, ArithmeticError, RecursionError: The text is no history.
        """
        facts = json.loads(text)
        validation = [(int(step), float(loss)) for step, loss in facts["validation"]]
        if not all(math.isfinite(loss) for _, loss in validation):
            raise ValueError("a validation loss is not finite")
        return cls([float(loss) for loss in facts["train"]], validation, float(facts["seconds"]))

    def num_since_best(self) -> int:
        """Return the number of validations since the best one."""
        return sum(step > self.best[0] for step, _ in self.validation)

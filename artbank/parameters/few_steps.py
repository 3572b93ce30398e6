"""The limits of drawing with few-step models, which are distilled to draw in one to eight steps."""

from __future__ import annotations

import math

FEW_STEP_SOLVERS = frozenset({"euler", "euler_a", "lcm"})
"""The solvers that were added for few-step models."""

LCM_STEPS = 50
"""Steps of the schedule that latent consistency models are distilled from; `lcm` takes some of them."""


def check_few_steps(solver: str, spacing: str, steps: int, strength: float) -> None:
    """Check that the fraction `strength` of the steps is a step at least, and that the schedule has that many.

    Raises:
        ValueError: It is not, or `lcm` has fewer steps.
    """
    if steps * strength < 1 - 1e-9:
        raise ValueError(
            f"expected steps x strength of at least 1, found {steps} x {strength:g} = {steps * strength:.2g}: no step "
            f"would run; give strength {math.ceil(100 / steps) / 100:g} or more, or steps {math.ceil(1 / strength)} or "
            "more"
        )
    if solver == "lcm" and spacing == "auto" and steps > LCM_STEPS:
        raise ValueError(
            f"expected at most {LCM_STEPS} steps with solver lcm, found {steps}; few-step models take 1 to 8"
        )

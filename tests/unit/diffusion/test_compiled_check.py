"""Compiled code with wrong results or gradients is found at the first call of a shape, and not used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from artbank.diffusion.compilation import Compiled, Compiler

pytestmark = pytest.mark.usefixtures("compile_anew")


class Scale(torch.nn.Module):
    """Scales by a factor that learns."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(3.0))

    def forward(self, values: Any) -> Any:
        return {"scaled": self.factor * values["plain"]}


def compile_to(change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Return a compiler whose code changes the tensors that it is called with."""
    return lambda graph, examples: lambda *args: graph.forward(*map(change, args))


@pytest.mark.parametrize(
    ("change", "is_wrong"),
    [
        (lambda tensor: tensor, False),
        (lambda tensor: tensor * 1.01, False),  # rounding, as of bfloat16
        (lambda tensor: tensor.detach(), True),  # the results are right, and have no gradient
        (lambda tensor: tensor.detach() + 0.0 * tensor, True),  # the same with a gradient of zero
        (lambda tensor: tensor * 2, True),
        (lambda tensor: tensor * float("nan"), True),
    ],
)
def test_compiled_code_with_wrong_results_or_gradients_is_not_used(
    change: Callable[[torch.Tensor], torch.Tensor], is_wrong: bool, caplog: pytest.LogCaptureFixture
) -> None:
    scale, values = Scale(), torch.ones(3, requires_grad=True)
    compiled = Compiled(scale, lambda _: 3, Compiler("on"), name="the UNet", mode=None, backend=compile_to(change))
    scaled = compiled({"plain": values})["scaled"]
    scaled.sum().backward()
    assert compiled.has_failed == is_wrong
    assert ("the UNet runs uncompiled" in caplog.text) == is_wrong
    tolerance = 0 if is_wrong else 0.03
    assert scaled.tolist() == pytest.approx([3, 3, 3], rel=tolerance)
    assert values.grad.tolist() == pytest.approx([3, 3, 3], rel=tolerance)


def test_without_gradients_only_results_are_compared() -> None:
    compiled = Compiled(torch.neg, len, Compiler("on"), mode=None, backend=compile_to(torch.detach))
    with torch.no_grad():
        assert compiled(torch.ones(2, requires_grad=True)).tolist() == [-1, -1]
    assert not compiled.has_failed

"""Trainings of tests draw the samples of their banks in one evaluation: most of a small training is spent on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from artbank.recipes import StylizeRecipe

TRAINING = ("tests/flows", "tests/cli", "tests/faults", "tests/unit/api", "tests/unit/archive", "tests/unit/gallery")
QUICK = StylizeRecipe(steps=2, strength=0.5, guidance=1.0)


@pytest.fixture(scope="session", autouse=True)
def quick_samples(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Draws samples and milestones in one evaluation and without a warm-up; gives the method that draws them in full.

    Processes that a test starts draw in full. Where no test of a folder that trains is run, nothing is imported.
    """
    if not any(item.nodeid.startswith(TRAINING) for item in request.session.items):
        yield None
        return
    from artbank.gallery.samples import SampleDrawer

    draw = SampleDrawer.draw_samples

    def draw_quickly(
        self: SampleDrawer, banks: Any, reference: Any, count: int, recipe: StylizeRecipe | None = None
    ) -> Any:
        self._is_warm = True
        return draw(self, banks, reference, count, QUICK)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SampleDrawer, "draw_samples", draw_quickly)
        yield draw


@pytest.fixture
def full_samples(quick_samples: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples and milestones as users get them."""
    from artbank.gallery.samples import SampleDrawer

    monkeypatch.setattr(SampleDrawer, "draw_samples", quick_samples)

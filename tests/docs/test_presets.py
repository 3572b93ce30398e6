"""The presets do what the documents say of them."""

from __future__ import annotations

import re

import pytest

from artbank.parameters.presets import PRESETS
from artbank.parameters.recipe_costs import count_evaluations
from artbank.recipes import StylizeRecipe
from bench.tables import evaluations_by_strength
from tests.support.paths import ROOT

ROW = re.compile(r"^\| ((?:`\w+`[^|`]*)+) \|[^|]*\| ([\d.]+) \| (\d+) \| (\d+) \| (\d*) ?\|$", re.MULTILINE)


def evaluations(preset: str, **settings: float) -> int:
    return count_evaluations(StylizeRecipe.model_validate({"preset": preset, **settings}))


def test_the_readme_tells_the_evaluations_of_every_preset_at_the_same_strengths() -> None:
    rows = ROW.findall((ROOT / "README.md").read_text())
    names = [name for cell, *_ in rows for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(names) == sorted(PRESETS)
    for cell, strength, own, weaker, stronger in rows:
        for name in re.findall(r"`(\w+)`", cell):
            assert StylizeRecipe.model_validate({"preset": name}).strength == float(strength)
            assert (evaluations(name), evaluations(name, strength=0.7)) == (int(own), int(weaker))
            assert (str(evaluations(name, strength=0.9)) if name != "paper" else "") == stronger


@pytest.mark.parametrize(
    "row", ["| `balanced` | 0.9 | 19 | 15 |", "| `fast` | 0.9 | 15 | 11 |", "| `exact` | 0.7 | 71 | 71 |"]
)
def test_the_page_of_the_benches_compares_evaluations_at_the_strength_of_the_peers(row: str) -> None:
    assert row in evaluations_by_strength().splitlines()

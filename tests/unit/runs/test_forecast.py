"""Forecasts against figures computed by hand from a catalog's rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from artbank.catalog.catalog import Catalog
from artbank.diffusion.device_kind import device_kind
from artbank.diffusion.fetch import fetch_base_model
from artbank.diffusion.weights import hash_base_model
from artbank.gallery.plan import plan_training
from artbank.parameters.run_config import RunConfig
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.records.bank_records import BankRecord
from artbank.report.costs import training_markdown
from artbank.runs.forecast import estimate_picture_pace, estimate_step_pace, estimate_steps
from artbank.store.objects import Store
from tests.support.rows import START, bank_record, register
from tests.support.small_inputs import add_collection, training

BASE = "b" * 64
RECIPE = BankRecipe(batch_size=8, max_steps=400, patience=6, validate_every=25)


def bank(seconds: float, steps: int, device: str = "cuda:0", batch_size: int = 8, **values: Any) -> BankRecord:
    recipe = json.dumps({"batch_size": batch_size, "resolution_px": None, "max_steps": 400})
    return bank_record(seconds=seconds, steps=steps, device=device, recipe=recipe, **values)


def test_a_step_takes_the_median_of_banks_of_the_same_base_model_device_and_batch() -> None:
    others = [bank(4000, 400, "cpu"), bank(1, 400, base_model_hash="c" * 64), bank(80, 400, batch_size=1)]
    there = [bank(40, 400), bank(30, 200, "cuda"), bank(100, 400, "cuda:1"), *others]
    pace = estimate_step_pace(there, RECIPE, BASE, "cuda")
    assert pace is not None and pace.seconds == pytest.approx(0.15)  # of 0.1, 0.15 and 0.25
    assert (pace.device, pace.basis.startswith("3 banks of this batch size")) == ("cuda", True)


def test_where_no_bank_has_the_batch_those_of_other_ones_are_taken_and_it_is_said() -> None:
    pace = estimate_step_pace([bank(40, 400)], BankRecipe(batch_size=2), BASE, "cuda")
    assert pace is not None and pace.seconds == pytest.approx(0.1) and "of other batch sizes" in pace.basis


def test_of_an_unknown_device_the_newest_banks_kind_is_taken() -> None:
    older, newer = bank(400, 400, "cpu", created_at=START), bank(40, 400, created_at=START.replace(year=2027))
    pace = estimate_step_pace([newer, older], RECIPE, BASE, None)
    assert pace is not None and (pace.device, pace.seconds) == ("cuda", pytest.approx(0.1))


def test_nothing_is_guessed_where_nothing_is_known() -> None:
    assert estimate_step_pace([bank(40, 400)], RECIPE, BASE, "mps") is None
    assert estimate_picture_pace([bank(40, 400)], StylizeRecipe(), BASE, "cuda") is None


@pytest.mark.parametrize(
    ("taken", "expected"),
    [((), (150, 400, 400)), ((200, 300, 400), (150, 300, 400)), ((40,), (150, 150, 400))],
)
def test_steps_range_from_the_earliest_end_to_the_longest(taken: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert estimate_steps([bank(1, steps) for steps in taken], RECIPE) == expected


def test_a_picture_takes_what_samples_took_by_evaluations_and_pixels() -> None:
    sampled = [bank(1, 1, sample_seconds=s, sample_evaluations=21, sample_px=512) for s in (0.4, 0.6, 3.0)]
    paper = estimate_picture_pace(sampled, StylizeRecipe(preset="paper"), BASE, "cuda")
    assert paper is not None and paper.seconds == pytest.approx(0.6 * 71 / 21)
    small = estimate_picture_pace(sampled, StylizeRecipe(resolution_px=256), BASE, "cuda")
    assert small is not None and small.seconds == pytest.approx(0.6 * 19 / 21 / 4)
    reusing = estimate_picture_pace(sampled, StylizeRecipe(reuse=2), BASE, "cuda")  # 4 of 9 guided steps reuse features
    assert reusing is not None and reusing.seconds == pytest.approx(0.6 * (19 - 8 + 8 * 0.36) / 21)


def test_the_device_of_other_machines_is_not_known() -> None:
    assert device_kind(RunConfig(device="cuda:1", runner="tcp://host:8786")) == "cuda"
    assert device_kind(RunConfig(runner="tcp://host:8786")) is None
    assert device_kind(RunConfig(device="cpu")) == "cpu"


def test_a_plan_tells_what_it_may_take_by_the_banks_of_its_catalog(tmp_path: Any) -> None:
    config = training(str(tmp_path / "gallery"), str(tmp_path / "store"), device="cpu")
    add_collection(Store.open(str(tmp_path / "gallery")), "few", count=2)  # which takes no step
    assert "No steps: no collection has enough artworks" in plan_training(config).forecast.text
    add_collection(Store.open(str(tmp_path / "gallery")), "novak")
    facts = {"base_model_hash": hash_base_model(fetch_base_model("mini")), "recipe": config.recipe.model_dump_json()}
    assert plan_training(config).forecast.seconds is None
    register(Catalog(Store.open(config.store_uri)), bank_record(seconds=6.0, steps=3, device="cpu", **facts))
    forecast = plan_training(config).forecast
    assert forecast.collections == (("few", 2), ("novak", 4))
    assert (forecast.num_steps, forecast.seconds) == ((3, 3, 3), (6.0, 6.0, 6.0))
    assert "6 s of CPU time" in forecast.text and "**1 collection** to train" in forecast.text
    assert "The artworks of 1 other collection are too few to train on: at least 3 are needed" in forecast.text
    assert forecast.text == training_markdown(forecast, title=f"To train on {config.gallery_uri}")

"""How long work may take, out of what the same work took before: the rows of the catalog, the pictures of an output.

A forecast is on one worker. Banks are alike where they have the base model and the kind of device in common: `cuda:1`
is `cuda`. What is not known there is not guessed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from statistics import median

from artbank.recipes import BankRecipe, StylizeRecipe, count_evaluations
from artbank.records import BankRecord
from artbank.runs.outcome import Pace

_PACE_FIELDS = ("batch_size", "resolution_px")
"""What a step's time depends on, of a bank's recipe: beyond these banks are taken for alike."""


def step_pace(banks: Iterable[BankRecord], recipe: BankRecipe, base_model_hash: str, device: str | None) -> Pace | None:
    """Return the median seconds of one step of one bank, its share of validations included.

    Args:
        banks: The catalog.
        recipe: Of the run. Banks of its batch size and resolution are taken where there are any, else all alike.
        base_model_hash: Of the run.
        device: See `device_kind`; that of the newest bank alike when None.
    """
    there = [bank for bank in banks if bank.steps and bank.seconds > 0]
    alike = _alike(there, base_model_hash, device)
    same = [bank for bank in alike if _pace_fields(bank) == [getattr(recipe, name) for name in _PACE_FIELDS]]
    chosen = same or alike
    if not chosen:
        return None
    what = "of this batch size and resolution" if same else "of other batch sizes or resolutions"
    seconds = median(bank.seconds / bank.steps for bank in chosen)
    return Pace(seconds, _kind(chosen[0]), f"{_count(chosen)} {what}, on this base model")


def step_range(banks: Iterable[BankRecord], recipe: BankRecipe) -> tuple[int, int, int]:
    """Return the steps of one bank: the fewest, the most likely, and the most.

    Training stops early after `patience` validations without a better loss, the first of which is at step 0. Most
    likely is the median share of the longest that earlier banks took, under whatever recipe; all of it without banks.
    """
    fewest = min(recipe.patience * recipe.validate_every, recipe.max_steps)
    shares = [bank.steps / most for bank in banks if (most := _read_recipe(bank).get("max_steps"))]
    likely = round(recipe.max_steps * min(median(shares), 1.0)) if shares else recipe.max_steps
    return fewest, max(likely, fewest), recipe.max_steps


def picture_pace(
    banks: Sequence[BankRecord], recipe: StylizeRecipe, base_model_hash: str, device: str | None
) -> Pace | None:
    """Return the median seconds of one picture, by what the samples of banks took when these were registered.

    Args:
        banks: The catalog. A sample's time is scaled by evaluations of the UNet and by pixels of a square picture.
        recipe: Of the run.
        base_model_hash: Of the run.
        device: See `device_kind`; that of the newest bank alike when None.
    """
    there = [bank for bank in banks if bank.sample_seconds and bank.sample_evaluations and bank.sample_px]
    chosen = _alike(there, base_model_hash, device)
    if not chosen:
        return None
    seconds = median(_scale(bank, recipe) for bank in chosen)
    return Pace(seconds, _kind(chosen[0]), f"the samples of {_count(chosen)} on this base model, scaled to this recipe")


def _alike(banks: Sequence[BankRecord], base_model_hash: str, device: str | None) -> list[BankRecord]:
    same = sorted((b for b in banks if b.base_model_hash == base_model_hash), key=lambda bank: bank.created_at)
    if not same:
        return []
    kind = device or _kind(same[-1])
    return [bank for bank in same if _kind(bank) == kind]


def _scale(bank: BankRecord, recipe: StylizeRecipe) -> float:
    assert bank.sample_seconds and bank.sample_evaluations and bank.sample_px
    pixels = ((recipe.resolution_px or bank.sample_px) / bank.sample_px) ** 2
    return bank.sample_seconds * count_evaluations(recipe) / bank.sample_evaluations * pixels


def _read_recipe(bank: BankRecord) -> dict[str, int]:
    try:
        facts = json.loads(bank.recipe)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _pace_fields(bank: BankRecord) -> list[int | None]:
    facts = _read_recipe(bank)
    return [facts.get(name) for name in _PACE_FIELDS]


def _kind(bank: BankRecord) -> str:
    return bank.device.partition(":")[0]


def _count(banks: Sequence[BankRecord]) -> str:
    return f"{len(banks)} bank{'' if len(banks) == 1 else 's'}"

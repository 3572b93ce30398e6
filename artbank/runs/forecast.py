"""Forecast how long work takes, from earlier work of the same kind: the banks of the catalog and their samples.

A forecast is for one worker. Banks are comparable if they have the base model and the kind of device in common:
`cuda:1` counts as `cuda`. Without comparable banks there is no forecast.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from artbank.parameters.recipe_costs import estimate_cost
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.records.bank_records import BankRecord
from artbank.runs.outcome import Pace

_PACE_FIELDS = ("batch_size", "resolution_px")
"""Fields of a bank's recipe that the time of a step depends on."""


def estimate_step_pace(
    banks: Iterable[BankRecord], recipe: BankRecipe, base_model_hash: str, device: str | None
) -> Pace | None:
    """Return the median seconds of one step of one bank, with its share of the validations.

    Args:
        banks: The catalog.
        recipe: The run's recipe. Banks with its batch size and resolution are preferred; without such banks, all
            comparable ones count.
        base_model_hash: The run's base model.
        device: Kind of the device, see `device_kind`; that of the newest comparable bank when None.
    """
    timed = [bank for bank in banks if bank.steps and bank.seconds > 0]
    comparable = _find_comparable(timed, base_model_hash, device)
    asked = [getattr(recipe, name) for name in _PACE_FIELDS]
    same = [bank for bank in comparable if _read_pace_fields(bank) == asked]
    chosen = same or comparable
    if not chosen:
        return None
    kind = "of this batch size and resolution" if same else "of other batch sizes or resolutions"
    seconds = median(bank.seconds / bank.steps for bank in chosen)
    return Pace(seconds, _device_kind(chosen[0]), f"{_count_banks(chosen)} {kind}, on this base model")


def estimate_steps(banks: Iterable[BankRecord], recipe: BankRecipe) -> tuple[int, int, int]:
    """Return the number of steps of one bank: the fewest, the most likely, and the most.

    Training stops early after `patience` validations without a better loss, the first of which is at step 0. The most
    likely number is the median share of `max_steps` that earlier banks took, with any recipe; all steps without banks.
    """
    fewest = min(recipe.patience * recipe.validate_every, recipe.max_steps)
    shares = [bank.steps / most for bank in banks if (most := bank.read_recipe().get("max_steps"))]
    likely = round(recipe.max_steps * min(median(shares), 1.0)) if shares else recipe.max_steps
    return fewest, max(likely, fewest), recipe.max_steps


def estimate_picture_pace(
    banks: Sequence[BankRecord], recipe: StylizeRecipe, base_model_hash: str, device: str | None
) -> Pace | None:
    """Return the median seconds of one picture, from the samples that banks drew when they were registered.

    Args:
        banks: The catalog. The time of a sample is scaled by UNet evaluations and by the pixels of a square picture.
        recipe: The run's recipe.
        base_model_hash: The run's base model.
        device: Kind of the device, see `device_kind`; that of the newest comparable bank when None.
    """
    timed = [bank for bank in banks if bank.sample_seconds and bank.sample_evaluations and bank.sample_px]
    chosen = _find_comparable(timed, base_model_hash, device)
    if not chosen:
        return None
    seconds = median(_scale_sample_seconds(bank, recipe) for bank in chosen)
    basis = f"the samples of {_count_banks(chosen)} on this base model, scaled to this recipe"
    return Pace(seconds, _device_kind(chosen[0]), basis)


def _find_comparable(banks: Sequence[BankRecord], base_model_hash: str, device: str | None) -> list[BankRecord]:
    """Return the banks of a base model and a kind of device, oldest first."""
    same_model = [bank for bank in banks if bank.base_model_hash == base_model_hash]
    if not same_model:
        return []
    same_model.sort(key=lambda bank: bank.created_at)
    kind = device or _device_kind(same_model[-1])
    return [bank for bank in same_model if _device_kind(bank) == kind]


def _scale_sample_seconds(bank: BankRecord, recipe: StylizeRecipe) -> float:
    assert bank.sample_seconds and bank.sample_evaluations and bank.sample_px
    pixel_ratio = ((recipe.resolution_px or bank.sample_px) / bank.sample_px) ** 2
    return bank.sample_seconds * estimate_cost(recipe) / bank.sample_evaluations * pixel_ratio


def _read_pace_fields(bank: BankRecord) -> list[Any]:
    fields = bank.read_recipe()
    return [fields.get(name) for name in _PACE_FIELDS]


def _device_kind(bank: BankRecord) -> str:
    return bank.device.partition(":")[0]


def _count_banks(banks: Sequence[BankRecord]) -> str:
    return f"{len(banks)} bank{'' if len(banks) == 1 else 's'}"

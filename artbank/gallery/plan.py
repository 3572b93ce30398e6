"""Find which collections of a gallery need a bank, and forecast how long training takes."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

from artbank.catalog.catalog import Catalog, make_bank_id
from artbank.config import TrainConfig
from artbank.diffusion.devices import device_kind
from artbank.diffusion.fetch import fetch_base_model
from artbank.diffusion.weights import hash_base_model
from artbank.gallery.collections import Collection, list_collections
from artbank.records import BankRecord
from artbank.report.costs import training_markdown
from artbank.runs.forecast import estimate_step_pace, estimate_steps
from artbank.runs.outcome import TrainForecast
from artbank.store.objects import Store


@dataclass(frozen=True)
class TrainJob:
    """A collection that needs a bank, and the id of that bank; `attempt` as in `make_bank_id`."""

    collection: Collection
    bank_id: str
    attempt: int


@dataclass(frozen=True)
class TrainPlan:
    """A run of `train_banks`: its jobs, the ids of the collections whose bank is up to date, and a forecast."""

    jobs: tuple[TrainJob, ...]
    current: tuple[str, ...]
    forecast: TrainForecast

    @property
    def display_names(self) -> Mapping[str, str]:
        """Names of all collections by id."""
        return self.forecast.display_names


def plan_training(config: TrainConfig) -> TrainPlan:
    """Find the collections whose artworks, recipe or base model have no bank yet; no model is loaded.

    Raises:
        CollectionError: The gallery has no collection, or not one that was asked for.
        BaseModelError: There is no such base model.
        OSError: The store failed.
    """
    collections = list_collections(Store.open(config.gallery_uri), config.collections)
    base_hash = hash_base_model(fetch_base_model(config.base_model, config.revision))
    banks = Catalog(Store.open(config.store_uri)).banks()
    registered = {(bank.collection, bank.bank_id) for bank in banks}
    jobs: list[TrainJob] = []
    current: list[str] = []
    for collection in collections:
        job = _find_job(collection, config, base_hash, registered)
        if job is None:
            current.append(collection.name)
        else:
            jobs.append(job)
    names = {collection.name: collection.display_name for collection in collections}
    return TrainPlan(tuple(jobs), tuple(current), _forecast(config, jobs, current, banks, base_hash, names))


def _find_job(
    collection: Collection, config: TrainConfig, base_hash: str, registered: Container[tuple[str, str]]
) -> TrainJob | None:
    """Return the job of a collection, or None if its bank is up to date; with `force` there is always a job."""
    attempt = 0
    while True:
        bank_id = make_bank_id(
            fingerprint=collection.fingerprint,
            recipe_digest=config.recipe.digest(),
            base_model_hash=base_hash,
            attempt=attempt,
        )
        if (collection.name, bank_id) not in registered:
            return TrainJob(collection, bank_id, attempt)
        if not config.force:
            return None
        attempt += 1


def _forecast(
    config: TrainConfig,
    jobs: Sequence[TrainJob],
    current: Sequence[str],
    banks: Sequence[BankRecord],
    base_hash: str,
    display_names: Mapping[str, str],
) -> TrainForecast:
    """Forecast how long one worker needs, from the banks in the catalog."""
    pace = estimate_step_pace(banks, config.recipe, base_hash, device_kind(config))
    fewest, likely, most = (steps * len(jobs) for steps in estimate_steps(banks, config.recipe))
    seconds = None if pace is None else (fewest * pace.seconds, likely * pace.seconds, most * pace.seconds)
    collections = tuple((job.collection.name, len(job.collection.artworks)) for job in jobs)
    forecast = TrainForecast(collections, tuple(current), (fewest, likely, most), seconds, pace, "", display_names)
    return replace(forecast, text=training_markdown(forecast, title=f"To train on {config.gallery_uri}"))

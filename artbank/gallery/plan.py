"""Find which collections of a gallery need a bank, and forecast how long training takes.

A registered bank whose weights or reference are missing or damaged does not count: its collection is trained again, as
a further attempt with a version of its own. The damaged version is retired once its replacement is registered.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from artbank.catalog.bank_files import find_damage
from artbank.catalog.catalog import Catalog, make_bank_id
from artbank.catalog.store_check import delete_settled
from artbank.config import TrainConfig
from artbank.diffusion.device_kind import check_device, device_kind
from artbank.diffusion.fetch import fetch_base_model
from artbank.diffusion.weights import hash_base_model
from artbank.errors import CollectionError, TrainBanksError
from artbank.gallery.artwork_folders import warn_of_galleries
from artbank.gallery.collections import Collection, check_places, list_collections
from artbank.gallery.missing_collections import warn_of_missing
from artbank.records.bank_records import BankRecord
from artbank.report.costs import training_markdown, training_text
from artbank.runs.forecast import estimate_step_pace, estimate_steps
from artbank.runs.gather import format_error, format_failures
from artbank.runs.handover import take
from artbank.runs.outcome import TrainForecast, TrainSummary, is_too_small
from artbank.runtime.counts import number_are
from artbank.store.objects import Store
from artbank.store.skipped import SkippedFiles, SkippedKind, count_skipped, warn_of_skipped

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainJob:
    """A collection that needs a bank.

    Attributes:
        collection: The collection.
        bank_id: Id of the new bank.
        attempt: As in `make_bank_id`.
        damaged: Names of the damaged banks that the new one replaces, such as `monet@1`.
    """

    collection: Collection
    bank_id: str
    attempt: int
    damaged: tuple[str, ...]


@dataclass(frozen=True)
class TrainPlan:
    """A run of `train_banks`.

    Attributes:
        jobs: The collections that need a bank.
        current_ids: Id of the bank of each collection whose bank is up to date, by id of the collection.
        damaged: Names of damaged banks, such as `monet@1`, that banks of these collections replace.
        refused: Collections that lost too many artworks to be trained on without a question: an error by id.
        forecast: What the run will do.
    """

    jobs: tuple[TrainJob, ...]
    current_ids: Mapping[str, str]
    damaged: tuple[str, ...]
    refused: Mapping[str, CollectionError]
    forecast: TrainForecast

    @property
    def current(self) -> tuple[str, ...]:
        """Ids of the collections whose bank is up to date."""
        return tuple(self.current_ids)

    def describe(self) -> list[str]:
        """Return what the run will do, as lines for its log."""
        if not self.jobs:
            return [f"nothing to train: {number_are(len(self.current), 'collection')} up to date"]
        return [f"to train: {len(self.jobs)}; up to date: {len(self.current)}", training_text(self.forecast)]

    def summarize(self, trained: Mapping[str, BankRecord], failed: Mapping[str, Exception]) -> TrainSummary:
        """Return the result of the run.

        Args:
            trained: The new banks by collection.
            failed: The collections that failed or were refused, each with its error; other runs have trained those
                that are in neither.
        """
        names = [job.collection.name for job in self.jobs]
        return TrainSummary(
            trained={name: bank.version for name, bank in trained.items()},
            current=(*self.current, *(name for name in names if name not in trained and name not in failed)),
            seconds={name: bank.seconds for name, bank in trained.items()},
            display_names=self.forecast.display_names,
            num_skipped=self.forecast.num_skipped,
            skipped=self.forecast.skipped,
            failed=_list_reasons(failed),
        )

    def raise_failures(self, failed: Mapping[str, Exception], result: TrainSummary | TrainForecast) -> None:
        """Raise an error that names the collections that failed or were refused, if there are any.

        Args:
            failed: Each with its error.
            result: What the error says of the other collections.

        Raises:
            TrainBanksError: There are some.
        """
        if failed:
            num_due = len(self.jobs) + len(self.refused)
            message = f"{len(failed)} of {num_due} collections failed: {format_failures(failed)}"
            raise TrainBanksError(message, result)


def plan_training(config: TrainConfig) -> TrainPlan:
    """Find the collections whose artworks, recipe or base model have no sound bank yet; no model is loaded.

    Reads the artworks if the gallery has no etags, and the weights and the reference of each collection's bank; nothing
    of both if a plan was handed over, see `runs.handover`. Without `config.dry_run` it retires damaged banks whose
    replacement is registered, and deletes what earlier runs left; see `delete_settled`.

    Raises:
        CollectionError: The gallery has no collection, or not one that was asked for.
        ConfigError: Nothing is in the gallery, gallery and store overlap, or this machine has no such device; a dry run
            may be for another machine.
        BaseModelError: There is no such base model.
        OSError: The store failed.
    """
    if not config.dry_run:
        check_device(config)
    gallery = Store.open(config.gallery_uri)
    store = Store.open(config.store_uri, is_durable=config.is_durable)
    check_places(gallery, store)
    plan = take(config, TrainPlan) or _survey(config, gallery, store)
    if not config.dry_run:
        _settle(store, plan)
    return plan


def plan_collections(config: TrainConfig, gallery: Store, store: Store) -> TrainPlan:
    """Plan a training as `plan_training` does, for a caller that has checked the places.

    Raises:
        CollectionError, BaseModelError, OSError: See `plan_training`.
    """
    plan = _survey(config, gallery, store)
    if not config.dry_run:
        _settle(store, plan)
    return plan


def _survey(config: TrainConfig, gallery: Store, store: Store) -> TrainPlan:
    """Plan a training; writes nothing."""
    skipped = SkippedFiles()
    collections = list_collections(gallery, config.collections, config.skip, skipped)
    warn_of_skipped(gallery.uri, skipped.kinds())
    base_hash = hash_base_model(fetch_base_model(config.base_model, config.revision, is_offline=config.offline))
    catalog = Catalog(store)
    banks = catalog.banks()
    if not config.collections:
        warn_of_missing(gallery, catalog, banks)
    registered = {(bank.collection, bank.bank_id): bank for bank in banks}
    jobs: list[TrainJob] = []
    current: dict[str, str] = {}
    damaged: list[str] = []
    refused: dict[str, CollectionError] = {}
    for collection in collections:
        job = _find_job(collection, config, base_hash, registered, store)
        if (job.collection.name, job.bank_id) not in registered:
            if loss := _describe_loss(collection, banks, config):
                refused[collection.name] = CollectionError(loss)
            else:
                warn_of_galleries(collection.display_name, gallery, (stored.key for stored in collection.artworks))
                jobs.append(job)
            continue
        current[collection.name] = job.bank_id
        damaged += job.damaged
    names = {collection.name: collection.display_name for collection in collections}
    forecast = _forecast(config, jobs, list(current), banks, base_hash, names, skipped.kinds(), refused)
    return TrainPlan(tuple(jobs), current, tuple(damaged), refused, forecast)


def _settle(store: Store, plan: TrainPlan) -> None:
    """Delete what earlier runs left, and retire the damaged banks that have been replaced."""
    catalog = Catalog(store)
    delete_settled(store, catalog.banks())
    retire_damaged(catalog, plan.damaged)


def _describe_loss(collection: Collection, banks: Sequence[BankRecord], config: TrainConfig) -> str | None:
    """Return the question that a collection without too many of its artworks raises; None if there is none."""
    earlier = [bank for bank in banks if bank.collection == collection.name]
    if not earlier or config.allow_missing:
        return None
    newest = max(earlier, key=lambda bank: bank.version)
    num_missing = newest.num_artworks - len(collection.artworks)
    if num_missing <= config.max_missing_share * newest.num_artworks:
        return None
    return (
        f"{num_missing:,} of the {newest.num_artworks:,} artworks of {collection.name}@{newest.version} are missing, "
        f"expected at most {config.max_missing_share:.0%} (--max-missing-share); is all of {config.gallery_uri} there? "
        "If they were removed on purpose, train it with --allow-missing"
    )


def retire_damaged(catalog: Catalog, names: Sequence[str]) -> None:
    """Retire damaged banks, so that their collection's name stands for a bank that can be used.

    Raises:
        CatalogError: A row of the catalog cannot be read.
        OSError: The store failed.
    """
    if not names:
        return
    rows = catalog.table().select(["collection", "version", "status"]).to_pylist()
    retired = {f"{row['collection']}@{row['version']}" for row in rows if row["status"] == "retired"}
    for name in names:
        if name not in retired:
            catalog.retire(name)
            logger.warning("retired %s, which cannot be used; another version replaces it", name)


def _find_job(
    collection: Collection,
    config: TrainConfig,
    base_hash: str,
    registered: Mapping[tuple[str, str], BankRecord],
    store: Store,
) -> TrainJob:
    """Return the job of a collection. Its bank is registered already if it is up to date, but never with `force`."""
    attempt = 0
    damaged: list[str] = []
    while True:
        bank_id = make_bank_id(
            fingerprint=collection.fingerprint,
            recipe_digest=config.recipe.digest(),
            base_model_hash=base_hash,
            attempt=attempt,
        )
        job = TrainJob(collection, bank_id, attempt, tuple(damaged))
        bank = registered.get((collection.name, bank_id))
        if bank is None:
            return job
        if not config.force:
            fault = find_damage(store, bank)
            if fault is None:
                return job
            damaged.append(bank.name)
            logger.warning("%s cannot be used and is trained anew: %s", damaged[-1], fault)
        attempt += 1


def _list_reasons(failed: Mapping[str, Exception]) -> dict[str, str]:
    return {name: format_error(error) for name, error in failed.items()}


def _forecast(
    config: TrainConfig,
    jobs: Sequence[TrainJob],
    current: Sequence[str],
    banks: Sequence[BankRecord],
    base_hash: str,
    display_names: Mapping[str, str],
    skipped: tuple[SkippedKind, ...],
    refused: Mapping[str, Exception],
) -> TrainForecast:
    """Forecast how long one worker needs, from the banks in the catalog."""
    pace = estimate_step_pace(banks, config.recipe, base_hash, device_kind(config))
    num_banks = sum(not is_too_small(len(job.collection.artworks)) for job in jobs)
    fewest, likely, most = (steps * num_banks for steps in estimate_steps(banks, config.recipe))
    seconds = None if pace is None else (fewest * pace.seconds, likely * pace.seconds, most * pace.seconds)
    collections = tuple((job.collection.name, len(job.collection.artworks)) for job in jobs)
    forecast = TrainForecast(
        collections=collections,
        current=tuple(current),
        num_steps=(fewest, likely, most),
        seconds=seconds,
        pace=pace,
        text="",
        display_names=display_names,
        num_skipped=count_skipped(skipped),
        skipped=skipped,
        refused=_list_reasons(refused),
    )
    return replace(forecast, text=training_markdown(forecast, title=f"To train on {config.gallery_uri}"))

"""Train the banks of several collections: claim the jobs, read the artworks, train, and register the banks."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from artbank.bank.checkpoint import TrainResult
from artbank.bank.dataset import LatentDataset, choose_crop_px, encode_dataset
from artbank.bank.lora_tensors import style_word
from artbank.bank.train_state import TrainState
from artbank.bank.trainer import StepCallback, train
from artbank.catalog.bank_files import load_bank
from artbank.catalog.catalog import Catalog
from artbank.config import TrainConfig
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.shared_base_model import load_base_model
from artbank.errors import ArtbankError, BankError, TrainingError
from artbank.gallery.claims import Claim, LeasedCheckpointFile, acquire, checkpoint_file, contender
from artbank.gallery.collection_profile import CollectionProfile, make_profile
from artbank.gallery.collections import Artwork, read_artworks
from artbank.gallery.doctor import check_artworks
from artbank.gallery.plan import TrainJob, retire_damaged
from artbank.gallery.register import register_bank
from artbank.gallery.samples import SampleDrawer
from artbank.records.bank_records import BankRecord
from artbank.runtime import telemetry
from artbank.runtime.counts import number_text
from artbank.runtime.processes import sleep_or_stop
from artbank.runtime.stages import show_stage
from artbank.scoring.clip import load_scorer
from artbank.scoring.style_model import StyleModel, load_style_model
from artbank.store.leases import RENEWALS_PER_TERM, renew_in_background
from artbank.store.objects import Store
from artbank.store.transient_errors import is_transient

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 5.0  # between two checks of a collection that another run trains; a check is a few small requests


@dataclass(frozen=True)
class _Run:
    """A run's configuration, its stores, which are opened once, and whether it may start processes."""

    config: TrainConfig
    gallery: Store
    store: Store
    may_start_processes: bool

    @classmethod
    def open(cls, config: TrainConfig, may_start_processes: bool) -> _Run:
        store = Store.open(config.store_uri, is_durable=config.is_durable)
        return cls(config, Store.open(config.gallery_uri), store, may_start_processes)


@dataclass(frozen=True)
class _Training:
    """A claimed collection that was read, and the training of its bank."""

    claim: Claim
    state: TrainState
    profile: CollectionProfile

    @property
    def collection(self) -> str:
        return self.claim.job.collection.name


def train_collections(
    config: TrainConfig,
    jobs: Sequence[TrainJob],
    on_step: StepCallback | None = None,
    *,
    is_retry: bool = True,
    may_start_processes: bool = True,
) -> dict[str, BankRecord | Exception]:
    """Train the banks of several collections in the same batches, then score and register each.

    Killed and run again, it resumes every bank from its newest checkpoint, and skips banks that are registered.

    Args:
        config: The run's configuration.
        jobs: Jobs of different collections.
        on_step: See `trainer.StepCallback`.
        is_retry: Whether an earlier try of this run may have registered some of the banks; else another run did.
        may_start_processes: Whether artworks may be prepared in processes of their own. Each imports the
            main script again, which fails or repeats work where a script has no `if __name__ == "__main__"`.

    Returns:
        The row of each trained bank by collection, or an error if the collection cannot be read or trained.
        Collections that another run trains or has registered are left out: see `wait_and_train`.

    Raises:
        BaseModelError: There is no such base model or scorer.
        OSError: The store failed.
    """
    run = _Run.open(config, may_start_processes)
    with renew_in_background(config.lease_seconds) as leases:
        wanted = [(job, contender(run.store, job, config.lease_seconds)) for job in jobs]
        results, registered = _train_claimed(run, acquire(wanted, leases), on_step)
    if is_retry:
        results |= registered
    return {job.collection.name: results[job.collection.name] for job in jobs if job.collection.name in results}


def wait_and_train(
    config: TrainConfig,
    jobs: Sequence[TrainJob],
    on_step: StepCallback | None,
    should_stop: Callable[[], bool] = lambda: False,
    *,
    may_start_processes: bool = True,
) -> dict[str, BankRecord | Exception]:
    """Wait for collections that other runs train, and train those whose runs give up.

    Args:
        config: The run's configuration.
        jobs: Jobs that `train_collections` left out.
        on_step: See `trainer.StepCallback`.
        should_stop: Asked while waiting.
        may_start_processes: See `train_collections`.

    Returns:
        The row or the error of each collection that this run trained, by name; the others are registered.

    Raises:
        StopRequested: `should_stop` returned True.
        BaseModelError, OSError: See `train_collections`.
    """
    run = _Run.open(config, may_start_processes)
    waiting = [(job, contender(run.store, job, config.lease_seconds)) for job in jobs]
    results: dict[str, BankRecord | Exception] = {}
    while waiting := [pair for pair in waiting if not _is_settled(run, pair[0], results)]:
        with renew_in_background(config.lease_seconds) as leases:
            claims = acquire(waiting, leases, config.banks_at_once)
            results |= _train_claimed(run, claims, on_step)[0]
        if not claims:
            sleep_or_stop(min(config.lease_seconds / RENEWALS_PER_TERM, _WAIT_SECONDS), should_stop)
    return results


def split_holdout(artworks: Sequence[Artwork], holdout: float, seed: int) -> tuple[list[Artwork], list[Artwork]]:
    """Split artworks into those to learn from and those held out, at least one; the keys and the seed decide."""
    shuffled = sorted(artworks, key=lambda artwork: hashlib.sha256(f"{seed}\n{artwork.key}".encode()).digest())
    num_held_out = max(round(len(shuffled) * holdout), 1)
    return shuffled[num_held_out:], shuffled[:num_held_out]


def _train_claimed(
    run: _Run, claims: Sequence[Claim], on_step: StepCallback | None
) -> tuple[dict[str, BankRecord | Exception], dict[str, BankRecord]]:
    """Train the banks of claimed jobs.

    Returns:
        The row or the error of each collection by name, and the rows of those that were registered before. A collection
        that another run has taken over meanwhile is in neither.
    """
    registered: dict[str, BankRecord] = {}
    unregistered: list[Claim] = []
    for claim in claims:
        if bank := _find_registered(run, claim.job):
            registered[bank.collection] = bank
        else:
            unregistered.append(claim)
    if not unregistered:
        return {}, registered
    telemetry.start_exporter()
    drawer = SampleDrawer(load_base_model(run.config), load_scorer(run.config))
    style_model = load_style_model(run.config)
    results: dict[str, BankRecord | Exception] = {}
    trainings: list[_Training] = []
    for claim in unregistered:
        try:
            trainings.append(_prepare(run, claim, drawer, style_model))
        except (ArtbankError, OSError) as error:
            if is_transient(error):
                raise
            results[claim.job.collection.name] = error
    for training, end in zip(trainings, _train(run, trainings, on_step), strict=True):
        if training.claim.lease.renew() and (result := _register(run, training, drawer, end)):
            results[training.collection] = result
    return results, registered


def _prepare(run: _Run, claim: Claim, drawer: SampleDrawer, style_model: StyleModel | None) -> _Training:
    """Read and check the artworks of a collection, and encode them for the training.

    No artwork stays in memory at its full size.
    """
    config = run.config
    job = claim.job
    base = drawer.base
    show_stage(f"reading {number_text(len(job.collection.artworks), 'painting')} of {job.collection.display_name}")
    artworks, findings = read_artworks(
        run.gallery,
        job.collection,
        max_pixels=config.max_pixels,
        max_bytes=config.max_bytes,
        crop_px=choose_crop_px(base, config.recipe),
        may_start_processes=run.may_start_processes,
    )
    smallest_px = config.recipe.resolution_px or base.native_px
    base.warn_of_size(smallest_px)
    findings += check_artworks(artworks, smallest_px=smallest_px, unread=findings)
    for finding in findings:
        logger.warning("%s: %s", job.collection.name, finding.message)
    show_stage(f"encoding the paintings of {job.collection.display_name}")
    learned, held_out = split_holdout(artworks, config.recipe.holdout, config.recipe.seed)
    state = TrainState(
        base,
        _encode(base, learned, config),
        _encode(base, held_out, config),
        config.recipe,
        job.bank_id,
        num_milestones=config.num_milestones,
        word=style_word(job.collection.display_name),
    )
    logger.info("%s: training bank %s", job.collection.name, job.bank_id)
    if config.recipe.warm_start:
        _warm_start(run, state, job.collection.name)
    profile = make_profile(
        drawer.scorer, job.collection, artworks, learned, held_out, findings, style_model, texture_px=smallest_px
    )
    return _Training(claim, state, profile)


def _encode(base: BaseModel, artworks: Sequence[Artwork], config: TrainConfig) -> LatentDataset:
    pictures = [artwork.picture for artwork in artworks]
    captions = [artwork.caption for artwork in artworks]
    sizes = [artwork.whole_px for artwork in artworks]
    return encode_dataset(base, pictures, captions, config.recipe, whole_px=sizes)


def _warm_start(run: _Run, state: TrainState, collection: str) -> None:
    """Start from the collection's default bank, if there is one for this base model."""
    previous = Catalog(run.store).default(collection)
    if previous is None or previous.base_model_hash != state.base.hash:
        return
    try:
        state.start_from(load_bank(run.store, previous))
        logger.info("%s starts from version %d", collection, previous.version)
    except BankError as error:
        logger.warning("%s starts without an earlier bank: %s", collection, error)


def _train(
    run: _Run, trainings: Sequence[_Training], on_step: StepCallback | None
) -> list[TrainResult | TrainingError]:
    """Train the banks together; a bank stops when its lease is lost."""
    leases = {training.claim.job.bank_id: training.claim.lease for training in trainings}
    return train(
        [training.state for training in trainings],
        [
            LeasedCheckpointFile(checkpoint_file(run.store, training.claim.job), training.claim.lease)
            for training in trainings
        ],
        checkpoint_every=run.config.checkpoint_every,
        on_step=on_step,
        is_lost=lambda bank_id: leases[bank_id].is_lost,
    )


def _register(
    run: _Run, training: _Training, drawer: SampleDrawer, end: TrainResult | TrainingError
) -> BankRecord | Exception | None:
    """Register the bank of a training that succeeded; an error concerns this bank only.

    Returns None if another run has taken the training over.
    """
    if isinstance(end, TrainingError):
        return end
    claim = training.claim
    try:
        bank = register_bank(run.config, run.store, claim.job, drawer, training.profile, end, claim.lease.renew)
        if bank is not None:
            retire_damaged(Catalog(run.store), claim.job.damaged)
        return bank
    except ArtbankError as error:
        return error


def _is_settled(run: _Run, job: TrainJob, results: Container[str]) -> bool:
    return job.collection.name in results or _find_registered(run, job) is not None


def _find_registered(run: _Run, job: TrainJob) -> BankRecord | None:
    """Return the row of a job's bank if it is registered, and delete a checkpoint that was left behind."""
    bank = Catalog(run.store).find_bank(job.collection.name, job.bank_id)
    if bank:
        checkpoint_file(run.store, job).delete()
    return bank

"""From a gallery to banks in the catalog: which collections need one, and how each gets it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from artbank.bank.checkpoint import TrainResult
from artbank.bank.dataset import LatentDataset, encode_dataset
from artbank.bank.train_state import TrainState
from artbank.bank.trainer import StepCallback, train
from artbank.catalog.bank_files import load_bank
from artbank.catalog.catalog import Catalog
from artbank.config import TrainConfig
from artbank.diffusion.base_model import BaseModel, load_base_model
from artbank.errors import ArtbankError, TrainingError
from artbank.gallery.album_pictures import AlbumWriter, describe_contents
from artbank.gallery.claims import LeasedCheckpointFile, acquire, checkpoint_file, contender
from artbank.gallery.collections import Artwork, read_artworks
from artbank.gallery.doctor import check_artworks
from artbank.gallery.plan import TrainJob
from artbank.gallery.register import CollectionProfile, register_bank
from artbank.images.codec import resize
from artbank.records import BankRecord
from artbank.runtime import telemetry
from artbank.runtime.processes import sleep_or_stop
from artbank.scoring.clip import Scorer, load_scorer
from artbank.scoring.style_reference import measure_reference
from artbank.store.leases import RENEWALS_PER_TERM, Lease, renew_in_background
from artbank.store.objects import Store
from artbank.store.transient_errors import is_transient

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0  # between two looks at what another run is at: a few small requests
_SHOWN, _SHOWN_PX = 6, 512  # artworks in a preview, and their short side while the bank is trained


@dataclass(frozen=True)
class _Prepared:
    """A collection that was read, its training, and the right to it."""

    job: TrainJob
    lease: Lease
    training: TrainState
    portrait: CollectionProfile


def train_collections(
    config: TrainConfig, jobs: Sequence[TrainJob], progress: StepCallback | None = None, *, is_retry: bool = True
) -> dict[str, BankRecord | Exception]:
    """Train the banks of several collections in the same batches, and evaluate and register each.

    Killed and run again, it resumes every bank from its newest checkpoint; what is registered is not done again.

    Args:
        config: Of the run.
        jobs: Their collections have different names.
        progress: See `trainer.StepCallback`.
        is_retry: Whether this run may have registered some of them already; else it was another.

    Returns:
        What became of each collection, by name: an error where it cannot be read or trained on, or where its training
        cannot go on. What another run has registered, or is at, is not in it: see `wait_and_train`.

    Raises:
        BaseModelError: The base model or the scorer is not there.
        OSError: The store failed.
    """
    with renew_in_background(config.lease_seconds) as leases:
        held = acquire([(job, contender(config, job)) for job in jobs], leases)
        ends, registered = _train(config, held, progress)
    told = ends | registered if is_retry else ends
    return {job.collection.name: told[job.collection.name] for job in jobs if job.collection.name in told}


def wait_and_train(
    config: TrainConfig,
    jobs: Sequence[TrainJob],
    progress: StepCallback | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, BankRecord | Exception]:
    """Wait for collections that other runs are at, and train those that these leave.

    Args:
        config: Of the run.
        jobs: What `train_collections` did not tell of.
        progress: See `trainer.StepCallback`.
        should_stop: Asked while it waits.

    Returns:
        What became of those that this run has trained after all, by name; the others are registered.

    Raises:
        StopRequested: It should stop.
        BaseModelError, OSError: See `train_collections`.
    """
    left = [(job, contender(config, job)) for job in jobs]
    ends: dict[str, BankRecord | Exception] = {}
    while left := [pair for pair in left if not _is_settled(config, pair[0], ends)]:
        with renew_in_background(config.lease_seconds) as leases:
            held = acquire(left, leases, config.banks_at_once)
            ends |= _train(config, held, progress)[0]
        if not held:
            sleep_or_stop(min(config.lease_seconds / RENEWALS_PER_TERM, _LOOK_SECONDS), should_stop)
    return ends


def train_collection(config: TrainConfig, job: TrainJob, progress: StepCallback | None = None) -> BankRecord:
    """Train, evaluate and register the bank of one collection; see `train_collections`.

    Raises:
        CollectionError: The collection cannot be trained on.
        TrainingError: The loss is not finite.
        BaseModelError: The base model or the scorer is not there.
        OSError: The store failed.
    """
    name = job.collection.name
    ends = train_collections(config, [job], progress) or wait_and_train(config, [job], progress)
    end = ends.get(name) or _find_registered(Store.open(config.store_uri), job)
    assert end is not None
    if isinstance(end, Exception):
        raise end
    return end


def split(artworks: Sequence[Artwork], holdout: float, seed: int) -> tuple[list[Artwork], list[Artwork]]:
    """Part artworks into those to learn from and those held out, at least one, by a draw that follows from the keys."""
    drawn = sorted(artworks, key=lambda artwork: hashlib.sha256(f"{seed}\n{artwork.key}".encode()).digest())
    count = max(round(len(drawn) * holdout), 1)
    return drawn[count:], drawn[:count]


def _train(
    config: TrainConfig, held: Sequence[tuple[TrainJob, Lease]], progress: StepCallback | None
) -> tuple[dict[str, BankRecord | Exception], dict[str, BankRecord]]:
    """Train what is held; returns what became of each, and the rows of those that were registered already.

    A collection that somebody else has taken over meanwhile is in neither.
    """
    store = Store.open(config.store_uri)
    found = [(job, lease, _find_registered(store, job)) for job, lease in held]
    registered = {job.collection.name: bank for job, _, bank in found if bank}
    if len(registered) == len(held):
        return {}, registered
    telemetry.start_exporter()
    base, scorer = load_base_model(config), load_scorer(config)
    ends: dict[str, BankRecord | Exception] = {}
    ready: list[_Prepared] = []
    for job, lease in ((job, lease) for job, lease, bank in found if not bank):
        try:
            ready.append(_prepare(config, job, lease, base, scorer))
        except (ArtbankError, OSError) as error:
            if is_transient(error):
                raise
            ends[job.collection.name] = error
    for one, end in zip(ready, _learn(config, ready, progress), strict=True):
        if one.lease.renew():
            ends[one.job.collection.name] = _conclude(config, one, base, scorer, end)
    return ends, registered


def _learn(
    config: TrainConfig, ready: Sequence[_Prepared], progress: StepCallback | None
) -> list[TrainResult | TrainingError]:
    store = Store.open(config.store_uri)
    leases = {one.job.bank_id: one.lease for one in ready}
    return train(
        [one.training for one in ready],
        [LeasedCheckpointFile(checkpoint_file(store, one.job), one.lease) for one in ready],
        checkpoint_every=config.checkpoint_every,
        on_step=progress,
        is_lost=lambda bank_id: leases[bank_id].is_lost,
    )


def _is_settled(config: TrainConfig, job: TrainJob, ends: Mapping[str, object]) -> bool:
    return job.collection.name in ends or _find_registered(Store.open(config.store_uri), job) is not None


def _find_registered(store: Store, job: TrainJob) -> BankRecord | None:
    """Return the row of a job that is done; whoever did it may have left a checkpoint."""
    for bank in Catalog(store).banks(job.collection.name):
        if bank.bank_id == job.bank_id:
            checkpoint_file(store, job).delete()
            return bank
    return None


def _prepare(config: TrainConfig, job: TrainJob, lease: Lease, base: BaseModel, scorer: Scorer) -> _Prepared:
    """Read a collection, and keep what its training and its registration need: no picture at its full size."""
    gallery, name = Store.open(config.gallery_uri), job.collection.name
    artworks, unreadable = read_artworks(
        gallery, job.collection, max_pixels=config.max_pixels, max_bytes=config.max_bytes
    )
    findings = [*unreadable, *check_artworks(artworks, smallest_px=config.recipe.resolution_px or base.native_px)]
    for finding in findings:
        logger.warning("%s: %s", name, finding.message)
    learned, held_out = split(artworks, config.recipe.holdout, config.recipe.seed)
    pictures = (_pictures(learned), _pictures(held_out))
    views = [
        encode_dataset(base, own, [artwork.caption for artwork in part], config.recipe)
        for own, part in zip(pictures, (learned, held_out), strict=True)
    ]
    reference = measure_reference(scorer, name, *pictures)
    shown = [_thumbnail(picture) for picture in pictures[0][:_SHOWN]]
    mount = AlbumWriter()
    kept = mount.add_artworks(artworks, [artwork.key for artwork in held_out])
    contents = describe_contents(job.collection)
    portrait = CollectionProfile(len(artworks), reference, shown, findings, mount, kept, len(held_out), contents)
    return _Prepared(job, lease, _open_training(config, job, base, views[0], views[1]), portrait)


def _open_training(
    config: TrainConfig, job: TrainJob, base: BaseModel, learned: LatentDataset, held_out: LatentDataset
) -> TrainState:
    store, name = Store.open(config.store_uri), job.collection.name
    kept = config.num_milestones
    training = TrainState(base, learned, held_out, config.recipe, job.bank_id, num_milestones=kept)
    logger.info("%s: training bank %s", name, job.bank_id)
    previous = Catalog(store).default(name) if config.recipe.warm_start else None
    if previous is not None and previous.base_model_hash == base.hash:
        training.start_from(load_bank(store, previous))
        logger.info("%s starts from version %d", name, previous.version)
    return training


def _conclude(
    config: TrainConfig, prepared: _Prepared, base: BaseModel, scorer: Scorer, end: TrainResult | TrainingError
) -> BankRecord | Exception:
    """Register a bank if its training came to one; what is wrong with it is its own."""
    if isinstance(end, TrainingError):
        return end
    try:
        return register_bank(config, prepared.job, base, scorer, prepared.portrait, end)
    except ArtbankError as error:
        return error


def _pictures(artworks: Sequence[Artwork]) -> list[np.ndarray]:
    return [artwork.picture for artwork in artworks]


def _thumbnail(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = min(_SHOWN_PX / min(height, width), 1.0)
    return resize(picture, max(round(width * scale), 1), max(round(height * scale), 1))

"""From a gallery to banks in the catalog: which collections need one, and how each gets it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from artbank.album import Mount, describe_contents
from artbank.catalog import Catalog, bank_id
from artbank.cohort import Progress, Trained, train_together
from artbank.collection import Artwork, pull, scan
from artbank.config import TrainConfig
from artbank.diffusion import BaseModel
from artbank.doctor import examine
from artbank.errors import ArtbankError, TrainingError
from artbank.evaluation import describe
from artbank.images import resize
from artbank.models import hash_folder, resolve
from artbank.records import BankRecord
from artbank.registering import Portrait, TrainJob, register_bank
from artbank.scorer import Scorer
from artbank.shelf import Checkpoint, load_bank
from artbank.storage import Store, is_transient
from artbank.training import Training
from artbank.views import Views, encode_views
from artbank.worker import load_base, load_scorer

logger = logging.getLogger(__name__)

_SHOWN, _SHOWN_PX = 6, 512  # artworks in a preview, and their short side while the bank is trained


@dataclass(frozen=True)
class TrainPlan:
    """What a run of `train_banks` will do: its jobs, and the collections whose bank is up to date."""

    jobs: tuple[TrainJob, ...]
    current: tuple[str, ...]


@dataclass(frozen=True)
class _Prepared:
    """A collection that was read, and its training."""

    job: TrainJob
    training: Training
    portrait: Portrait


def plan_training(config: TrainConfig) -> TrainPlan:
    """Find the collections whose artworks, recipe or base model have no bank yet; no model is loaded.

    Raises:
        CollectionError: The gallery holds no collection, or not one that was asked for.
        BaseModelError: The base model is not there.
        OSError: The store failed.
    """
    collections = scan(Store.open(config.gallery_uri), config.collections)
    base_hash = hash_folder(resolve(config.base_model, config.revision))
    registered = {(bank.collection, bank.bank_id) for bank in Catalog(Store.open(config.store_uri)).banks()}
    jobs, current = [], []
    for collection in collections:
        for attempt in range(len(registered) + 1):
            name = bank_id(
                fingerprint=collection.fingerprint,
                recipe_digest=config.recipe.digest(),
                base_model_hash=base_hash,
                attempt=attempt,
            )
            if (collection.name, name) not in registered:
                jobs.append(TrainJob(collection, name, attempt))
                break
            if not config.force:
                current.append(collection.name)
                break
    return TrainPlan(tuple(jobs), tuple(current))


def train_collections(
    config: TrainConfig, jobs: Sequence[TrainJob], progress: Progress | None = None
) -> dict[str, BankRecord | Exception]:
    """Train the banks of several collections in the same batches, and evaluate and register each.

    Killed and run again, it resumes every bank from its newest checkpoint; what is registered is not done again.

    Args:
        config: Of the run.
        jobs: Their collections have different names.
        progress: See `cohort.Progress`.

    Returns:
        What became of each collection, by name: an error where it cannot be read or trained on, or where its training
        cannot go on.

    Raises:
        BaseModelError: The base model or the scorer is not there.
        OSError: The store failed.
    """
    base, scorer, store = load_base(config), load_scorer(config), Store.open(config.store_uri)
    ends: dict[str, BankRecord | Exception] = {}
    ready: list[_Prepared] = []
    for job in jobs:
        try:
            if bank := _find_registered(store, job):
                ends[job.collection.name] = bank
            else:
                ready.append(_prepare(config, job, base, scorer))
        except (ArtbankError, OSError) as error:
            if is_transient(error):
                raise
            ends[job.collection.name] = error
    trainings, keepers = [one.training for one in ready], [_checkpoint(store, one.job) for one in ready]
    results = train_together(trainings, keepers, checkpoint_every=config.checkpoint_every, progress=progress)
    for one, end in zip(ready, results, strict=True):
        ends[one.job.collection.name] = _conclude(config, one, base, scorer, end)
    return {job.collection.name: ends[job.collection.name] for job in jobs}


def train_collection(config: TrainConfig, job: TrainJob, progress: Progress | None = None) -> BankRecord:
    """Train, evaluate and register the bank of one collection; see `train_collections`.

    Raises:
        CollectionError: The collection cannot be trained on.
        TrainingError: The loss is not finite.
        BaseModelError: The base model or the scorer is not there.
        OSError: The store failed.
    """
    [end] = train_collections(config, [job], progress).values()
    if isinstance(end, Exception):
        raise end
    return end


def split(artworks: Sequence[Artwork], holdout: float, seed: int) -> tuple[list[Artwork], list[Artwork]]:
    """Part artworks into those to learn from and those held out, at least one, by a draw that follows from the keys."""
    drawn = sorted(artworks, key=lambda artwork: hashlib.sha256(f"{seed}\n{artwork.key}".encode()).digest())
    count = max(round(len(drawn) * holdout), 1)
    return drawn[count:], drawn[:count]


def _checkpoint(store: Store, job: TrainJob) -> Checkpoint:
    return Checkpoint(store, job.collection.name, job.bank_id)


def _find_registered(store: Store, job: TrainJob) -> BankRecord | None:
    """Return the row of a job that is done; whoever did it may have left a checkpoint."""
    for bank in Catalog(store).banks(job.collection.name):
        if bank.bank_id == job.bank_id:
            _checkpoint(store, job).delete()
            return bank
    return None


def _prepare(config: TrainConfig, job: TrainJob, base: BaseModel, scorer: Scorer) -> _Prepared:
    """Read a collection, and keep what its training and its registration need: no picture at its full size."""
    gallery, name = Store.open(config.gallery_uri), job.collection.name
    artworks, unreadable = pull(gallery, job.collection, max_pixels=config.max_pixels, max_bytes=config.max_bytes)
    findings = [*unreadable, *examine(artworks, smallest_px=config.recipe.resolution_px or base.native_px)]
    for finding in findings:
        logger.warning("%s: %s", name, finding.message)
    learned, held_out = split(artworks, config.recipe.holdout, config.recipe.seed)
    pictures = (_pictures(learned), _pictures(held_out))
    views = [
        encode_views(base, own, [artwork.caption for artwork in part], config.recipe)
        for own, part in zip(pictures, (learned, held_out), strict=True)
    ]
    reference = describe(scorer, name, *pictures)
    shown = [_thumbnail(picture) for picture in pictures[0][:_SHOWN]]
    mount = Mount()
    kept = mount.add_artworks(artworks, [artwork.key for artwork in held_out])
    contents = describe_contents(job.collection)
    portrait = Portrait(len(artworks), reference, shown, findings, mount, kept, len(held_out), contents)
    return _Prepared(job, _open_training(config, job, base, views[0], views[1]), portrait)


def _open_training(config: TrainConfig, job: TrainJob, base: BaseModel, learned: Views, held_out: Views) -> Training:
    store, name = Store.open(config.store_uri), job.collection.name
    kept = config.num_milestones
    training = Training(base, learned, held_out, config.recipe, job.bank_id, num_milestones=kept)
    logger.info("%s: training bank %s", name, job.bank_id)
    previous = Catalog(store).default(name) if config.recipe.warm_start else None
    if previous is not None and previous.base_model_hash == base.hash:
        training.start_from(load_bank(store, previous))
        logger.info("%s starts from version %d", name, previous.version)
    return training


def _conclude(
    config: TrainConfig, prepared: _Prepared, base: BaseModel, scorer: Scorer, end: Trained | TrainingError
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

"""From a gallery to banks in the catalog: which collections need one, and how each gets it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from statistics import fmean

import numpy as np

from artbank import __version__
from artbank.bank import Bank
from artbank.catalog import Catalog, bank_id
from artbank.collection import Artwork, Collection, Finding, pull, scan
from artbank.config import StylizeRecipe, TrainConfig
from artbank.diffusion import BaseModel
from artbank.doctor import examine
from artbank.evaluation import Spread, StyleReference, describe, score, summarize
from artbank.mini.scenes import SUBJECTS, draw_scene
from artbank.models import hash_folder, resolve
from artbank.records import BankRecord
from artbank.report import bank_card, preview_grid
from artbank.scorer import Scorer
from artbank.shelf import BANK, CARD, HISTORY, PREVIEW, REFERENCE, Checkpoint, bank_key, load_bank
from artbank.storage import Store
from artbank.stylization import Style, Stylizer
from artbank.training import Progress, Trained, Training
from artbank.views import encode_views
from artbank.worker import load_base, load_scorer

logger = logging.getLogger(__name__)

_SCENE_SEED = 40_000_000  # of the drawn photographs that samples are made of: in no corpus and in no demo
_SHOWN = 6  # artworks in a preview


@dataclass(frozen=True)
class TrainJob:
    """One collection that needs a bank, and the id that the bank will have."""

    collection: Collection
    bank_id: str
    attempt: int


@dataclass(frozen=True)
class TrainPlan:
    """What a run of `train_banks` will do: its jobs, and the collections whose bank is up to date."""

    jobs: tuple[TrainJob, ...]
    current: tuple[str, ...]


@dataclass(frozen=True)
class Samples:
    """Pictures made with a new bank, the photographs they were made of, and their scores as a whole."""

    photos: list[np.ndarray]
    pictures: list[np.ndarray]
    clip_style: Spread


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


def train_collection(config: TrainConfig, job: TrainJob, progress: Progress | None = None) -> BankRecord:
    """Train, evaluate and register the bank of one collection.

    Killed and run again, it resumes from its newest checkpoint; finished and run again, it changes nothing.

    Raises:
        CollectionError: The collection cannot be trained on.
        TrainingError: The loss is not finite.
        BaseModelError: The base model or the scorer is not there.
        OSError: The store failed.
    """
    base, scorer = load_base(config), load_scorer(config)
    artworks, findings = _prepare(config, job, base)
    learned, held_out = split(artworks, config.recipe.holdout, config.recipe.seed)
    trained = _train(config, job, base, learned, held_out, progress)
    bank = _fold(job, base, config, trained)
    reference = describe(scorer, bank.collection, [a.picture for a in learned], [a.picture for a in held_out])
    samples = draw_samples(base, scorer, bank, reference, config.num_samples)
    bank = replace(bank, metrics={**bank.metrics, "clip_style": samples.clip_style.mean})
    record = replace(
        _describe_bank(config, job, bank, trained, scorer, samples.clip_style),
        num_artworks=len(artworks),
        device=str(base.device),
        warnings=[finding.message for finding in findings],
        seconds=trained.history.seconds,
    )
    preview = preview_grid([a.picture for a in learned[:_SHOWN]], samples.photos, samples.pictures, bank.collection)
    return _register(config, record, bank, reference, trained, preview)


def split(artworks: Sequence[Artwork], holdout: float, seed: int) -> tuple[list[Artwork], list[Artwork]]:
    """Part artworks into those to learn from and those held out, at least one, by a draw that follows from the keys."""
    drawn = sorted(artworks, key=lambda artwork: hashlib.sha256(f"{seed}\n{artwork.key}".encode()).digest())
    count = max(round(len(drawn) * holdout), 1)
    return drawn[count:], drawn[:count]


def draw_samples(base: BaseModel, scorer: Scorer, bank: Bank, reference: StyleReference, count: int) -> Samples:
    """Stylize `count` drawn photographs with a bank and score them.

    The photographs are drawn by code, so that every bank is sampled on the same ones wherever it is trained.
    """
    side = base.native_px
    subjects = [SUBJECTS[i * 4 % len(SUBJECTS)] for i in range(count)]
    scenes = [draw_scene(_SCENE_SEED + i, subject, width_px=side, height_px=side) for i, subject in enumerate(subjects)]
    photos = [scene.image for scene in scenes]
    stylizer = Stylizer(base, [Style(bank.collection, ((bank, 1.0),), reference.palette)], StylizeRecipe())
    made = stylizer.stylize([stylizer.fit(str(i), photo) for i, photo in enumerate(photos)])
    by_key = {one.key: one.rgb for one in made}
    pictures = [np.zeros_like(photo) if (rgb := by_key[str(i)]) is None else rgb for i, photo in enumerate(photos)]
    scores = score(scorer, reference, photos, pictures)
    floor = fmean(s.clip_style_floor for s in scores)
    spread = summarize([s.clip_style for s in scores], floor, reference.ceiling)
    return Samples(photos, pictures, spread)


def _prepare(config: TrainConfig, job: TrainJob, base: BaseModel) -> tuple[list[Artwork], list[Finding]]:
    gallery = Store.open(config.gallery_uri)
    artworks, unreadable = pull(gallery, job.collection, max_pixels=config.max_pixels, max_bytes=config.max_bytes)
    findings = [*unreadable, *examine(artworks, smallest_px=config.recipe.resolution_px or base.native_px)]
    for finding in findings:
        logger.warning("%s: %s", job.collection.name, finding.message)
    return artworks, findings


def _train(
    config: TrainConfig,
    job: TrainJob,
    base: BaseModel,
    learned: Sequence[Artwork],
    held_out: Sequence[Artwork],
    progress: Progress | None,
) -> Trained:
    store, name = Store.open(config.store_uri), job.collection.name
    views = [
        encode_views(base, [a.picture for a in part], [a.caption for a in part], config.recipe)
        for part in (learned, held_out)
    ]
    training = Training(base, views[0], views[1], config.recipe, job.bank_id)
    previous = Catalog(store).default(name) if config.recipe.warm_start else None
    if previous is not None and previous.base_model_hash == base.hash:
        training.start_from(load_bank(store, previous))
        logger.info("%s starts from version %d", name, previous.version)
    keeper = Checkpoint(store, name, job.bank_id)
    return training.run(keeper, checkpoint_every=config.checkpoint_every, progress=progress)


def _fold(job: TrainJob, base: BaseModel, config: TrainConfig, trained: Trained) -> Bank:
    best_step, best = trained.history.best
    metrics = {"steps": len(trained.history.train), "best_step": best_step, "validation_loss": best}
    facts = (job.bank_id, job.collection.name, base.id, base.hash, job.collection.fingerprint, config.recipe)
    return Bank(*facts, trained.vectors, trained.state, metrics)


def _describe_bank(
    config: TrainConfig, job: TrainJob, bank: Bank, trained: Trained, scorer: Scorer, clip_style: Spread
) -> BankRecord:
    """Fill a bank's row as far as the bank itself tells it; its version comes with registration."""
    recent = trained.history.train[-config.recipe.validate_every :]
    return BankRecord(
        bank_id=bank.bank_id,
        collection=bank.collection,
        version=0,
        created_at=datetime.now(UTC),
        gallery_uri=config.gallery_uri,
        fingerprint=bank.fingerprint,
        num_artworks=0,
        base_model=bank.base_model,
        base_model_hash=bank.base_model_hash,
        num_tokens=bank.vectors.shape[0],
        width=bank.vectors.shape[1],
        attention=config.recipe.attention,
        recipe=config.recipe.model_dump_json(),
        attempt=job.attempt,
        steps=len(trained.history.train),
        train_loss=fmean(recent) if recent else None,
        validation_loss=trained.history.best[1],
        clip_style=clip_style.mean,
        clip_style_floor=clip_style.floor,
        clip_style_ceiling=clip_style.ceiling,
        clip_style_gain=clip_style.gain,
        scorer=scorer.id,
        seconds=0.0,
        device="",
        weights_uri=Store.open(config.store_uri).uri_of(bank_key(bank.collection, bank.bank_id)),
        weights_sha256="",
        previous_version=None,
        code_version=__version__,
        warnings=[],
    )


def _register(
    config: TrainConfig, record: BankRecord, bank: Bank, reference: StyleReference, trained: Trained, preview: bytes
) -> BankRecord:
    """Write a bank's files, then its row; then its checkpoint is no longer needed."""
    store, data = Store.open(config.store_uri), bank.to_bytes()
    catalog = Catalog(store)
    record = catalog.claim(replace(record, weights_sha256=hashlib.sha256(data).hexdigest()))
    files = {
        BANK: data,
        REFERENCE: reference.to_bytes(),
        HISTORY: json.dumps(asdict(trained.history)).encode(),
        PREVIEW: preview,
        CARD: bank_card(record, "available", PREVIEW).encode(),
    }
    store.write_many({bank_key(record.collection, record.bank_id, name): body for name, body in files.items()})
    registered = catalog.register(record)
    Checkpoint(store, record.collection, record.bank_id).delete()
    logger.info("registered %s@%d, bank %s", registered.collection, registered.version, registered.bank_id)
    return registered

"""From a finished training to a registered bank: its scores, its files, its row in the catalog."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from statistics import fmean

import numpy as np

from artbank import __version__
from artbank.bank import Bank
from artbank.catalog import Catalog
from artbank.cohort import Trained
from artbank.collection import Collection
from artbank.config import TrainConfig
from artbank.diffusion import BaseModel
from artbank.evaluation import Spread, StyleReference, score, summarize
from artbank.framing import Photo
from artbank.mini.scenes import SUBJECTS, draw_scene
from artbank.recipes import StylizeRecipe
from artbank.records import BankRecord
from artbank.report import bank_card, preview_grid
from artbank.scorer import Scorer
from artbank.shelf import BANK, CARD, HISTORY, PREVIEW, REFERENCE, Checkpoint, bank_key
from artbank.solvers import count_evaluations
from artbank.storage import Store
from artbank.stylization import Style, Stylizer

logger = logging.getLogger(__name__)

_SCENE_SEED = 40_000_000  # of the drawn photographs that samples are made of: in no corpus and in no demo


@dataclass(frozen=True)
class TrainJob:
    """One collection that needs a bank, and the id that the bank will have."""

    collection: Collection
    bank_id: str
    attempt: int


@dataclass(frozen=True)
class Portrait:
    """What is kept of a collection's artworks while its bank is trained.

    Attributes:
        num_artworks: Those that could be read.
        reference: What they look like to the scorer.
        shown: A few of them, small, for the preview.
        warnings: What the collection's owner should know.
    """

    num_artworks: int
    reference: StyleReference
    shown: Sequence[np.ndarray]
    warnings: Sequence[str]


@dataclass(frozen=True)
class Samples:
    """Pictures made with a new bank, the photographs they were made of, their scores as a whole, and what one took.

    `seconds` are those of one picture, after the model had drawn another; `evaluations` those of the UNet for it.
    """

    photos: list[np.ndarray]
    pictures: list[np.ndarray]
    clip_style: Spread
    seconds: float
    evaluations: int


def register_bank(
    config: TrainConfig, job: TrainJob, base: BaseModel, scorer: Scorer, portrait: Portrait, trained: Trained
) -> BankRecord:
    """Score a trained bank on a few pictures and register it; done again, it changes nothing.

    Raises:
        OSError: The store failed.
    """
    bank = _fold(job, base, config, trained)
    samples = draw_samples(base, scorer, bank, portrait.reference, config.num_samples)
    bank = replace(bank, metrics={**bank.metrics, "clip_style": samples.clip_style.mean})
    record = replace(
        _describe_bank(config, job, bank, trained, scorer, samples.clip_style),
        num_artworks=portrait.num_artworks,
        device=str(base.device),
        warnings=list(portrait.warnings),
        seconds=trained.history.seconds,
        sample_seconds=samples.seconds,
        sample_evaluations=samples.evaluations,
        sample_px=base.native_px,
    )
    preview = preview_grid(portrait.shown, samples.photos, samples.pictures, bank.collection)
    return _register(config, record, bank, portrait.reference, trained, preview)


def draw_samples(base: BaseModel, scorer: Scorer, bank: Bank, reference: StyleReference, count: int) -> Samples:
    """Stylize `count` drawn photographs with a bank and score them.

    The photographs are drawn by code, so that every bank is sampled on the same ones wherever it is trained.
    """
    side = base.native_px
    subjects = [SUBJECTS[i * 4 % len(SUBJECTS)] for i in range(count)]
    scenes = [draw_scene(_SCENE_SEED + i, subject, width_px=side, height_px=side) for i, subject in enumerate(subjects)]
    photos = [scene.image for scene in scenes]
    stylizer = Stylizer(base, [Style(bank.collection, ((bank, 1.0),), reference.palette)], StylizeRecipe())
    fitted = [stylizer.fit(str(i), photo) for i, photo in enumerate(photos)]
    _warm_up(stylizer, fitted[0])
    start = time.monotonic()
    by_key = {one.key: one.rgb for one in stylizer.stylize(fitted)}
    seconds = (time.monotonic() - start) / count
    pictures = [np.zeros_like(photo) if (rgb := by_key[str(i)]) is None else rgb for i, photo in enumerate(photos)]
    scores = score(scorer, reference, photos, pictures)
    floor = fmean(s.clip_style_floor for s in scores)
    spread = summarize([s.clip_style for s in scores], floor, reference.ceiling)
    return Samples(photos, pictures, spread, seconds, count_evaluations(stylizer.recipe))


_WARM: set[str] = set()  # hashes of the base models that have drawn in this process


def _warm_up(stylizer: Stylizer, photo: Photo) -> None:
    """Draw a picture for nothing, once in a process: the first one takes what others do not, above all on CUDA."""
    if stylizer.base.hash not in _WARM:
        _WARM.add(stylizer.base.hash)
        list(stylizer.stylize([photo]))


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

"""From a finished training to a registered bank: its scores, its files, its row in the catalog."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from statistics import fmean

import numpy as np

from artbank import __version__
from artbank.bank.bank import Bank
from artbank.bank.checkpoint import TrainResult
from artbank.bank.nearest_tokens import find_nearest_words
from artbank.catalog.album import ALBUM, Album, Milestone, NearWord, Sample, ShownArtwork, Thumbnail
from artbank.catalog.bank_files import BANK, CARD, HISTORY, PREVIEW, REFERENCE, CheckpointFile, bank_key
from artbank.catalog.catalog import Catalog
from artbank.config import TrainConfig
from artbank.diffusion.base_model import BaseModel
from artbank.gallery.album_pictures import AlbumWriter, to_note
from artbank.gallery.collections import Finding
from artbank.gallery.plan import TrainJob
from artbank.gallery.samples import MILESTONE_RECIPE, SampleSet, draw_milestones, draw_samples
from artbank.records import BankRecord
from artbank.report.bank_card import bank_card
from artbank.report.bank_preview import preview_grid
from artbank.scoring.clip import Scorer
from artbank.scoring.spread import Spread
from artbank.scoring.style_reference import StyleReference
from artbank.store.objects import Store

logger = logging.getLogger(__name__)

_SAMPLE_PX, _MILESTONE_PX = 320, 224  # long sides in an album


@dataclass(frozen=True)
class CollectionProfile:
    """What is kept of a collection's artworks while its bank is trained.

    Attributes:
        num_artworks: Those that could be read.
        reference: What they look like to the scorer.
        shown: A few of them, small, for the preview.
        findings: What the collection's owner should know.
        mount: Holds the pictures of the bank's album.
        artworks: Those of them that are artworks.
        num_held_out: Artworks that the bank does not learn from.
        contents: See `album.Album`.
    """

    num_artworks: int
    reference: StyleReference
    shown: Sequence[np.ndarray]
    findings: Sequence[Finding]
    mount: AlbumWriter = field(default_factory=AlbumWriter)
    artworks: tuple[ShownArtwork, ...] = ()
    num_held_out: int = 0
    contents: dict[str, str] | None = None

    @property
    def warnings(self) -> list[str]:
        """The findings as sentences."""
        return [finding.message for finding in self.findings]


def register_bank(
    config: TrainConfig,
    job: TrainJob,
    base: BaseModel,
    scorer: Scorer,
    portrait: CollectionProfile,
    trained: TrainResult,
) -> BankRecord:
    """Score a trained bank on a few pictures and register it; done again, it changes nothing.

    Raises:
        OSError: The store failed.
    """
    bank = _fold(job, base, config, trained)
    [samples] = draw_samples(base, scorer, [bank], portrait.reference, config.num_samples)
    milestones = draw_milestones(base, scorer, bank, portrait.reference, trained.milestones)
    spread = samples.spread(portrait.reference)
    bank = replace(bank, metrics={**bank.metrics, "clip_style": spread.mean})
    record = replace(
        _describe_bank(config, job, bank, trained, scorer, spread),
        num_artworks=portrait.num_artworks,
        device=str(base.device),
        warnings=portrait.warnings,
        seconds=trained.history.seconds,
        sample_seconds=samples.seconds,
        sample_evaluations=samples.evaluations,
        sample_px=base.native_px,
    )
    files = {
        REFERENCE: portrait.reference.to_bytes(),
        HISTORY: json.dumps(asdict(trained.history)).encode(),
        PREVIEW: preview_grid(portrait.shown, samples.photos, samples.pictures, bank.collection),
        **_make_album(base, portrait, bank, samples, milestones),
    }
    return _register(config, record, bank, files)


def _fold(job: TrainJob, base: BaseModel, config: TrainConfig, trained: TrainResult) -> Bank:
    best_step, best = trained.history.best
    metrics = {"steps": len(trained.history.train), "best_step": best_step, "validation_loss": best}
    facts = (job.bank_id, job.collection.name, base.id, base.hash, job.collection.fingerprint, config.recipe)
    return Bank(*facts, trained.vectors, trained.state, metrics)


def _describe_bank(
    config: TrainConfig, job: TrainJob, bank: Bank, trained: TrainResult, scorer: Scorer, clip_style: Spread
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


def _make_album(
    base: BaseModel, portrait: CollectionProfile, bank: Bank, samples: SampleSet, milestones: Mapping[int, SampleSet]
) -> dict[str, bytes]:
    """Return a bank's album and its pictures, by name beside the bank."""
    mount, photos = portrait.mount, next(iter(milestones.values()), None)
    mount.add_cover(portrait.shown[0], samples.pictures[0])
    near = find_nearest_words(base.prompt_encoder.vocabulary, base.tokenizer, bank.vectors)
    album = Album(
        artworks=portrait.artworks,
        num_held_out=portrait.num_held_out,
        contents=portrait.contents,
        notes=tuple(to_note(finding) for finding in portrait.findings),
        words=tuple(tuple(NearWord(**asdict(word)) for word in words) for words in near),
        photos=() if photos is None else _mount(mount, "photo", photos.photos, photos.subjects),
        milestones=tuple(_mount_milestone(mount, step, own) for step, own in milestones.items()),
        milestone_preset=MILESTONE_RECIPE.preset if milestones else "",
        samples=_mount_samples(mount, samples),
    )
    return {ALBUM: album.to_bytes(), **mount.files}


def _mount_samples(mount: AlbumWriter, samples: SampleSet) -> tuple[Sample, ...]:
    photos = _mount(mount, "sample-photo", samples.photos, samples.subjects, _SAMPLE_PX)
    pictures = _mount(mount, "sample", samples.pictures, samples.subjects, _SAMPLE_PX)
    return tuple(
        Sample(photo=photo, picture=picture, clip_style=own.clip_style, clip_style_floor=own.clip_style_floor)
        for photo, picture, own in zip(photos, pictures, samples.scores, strict=True)
    )


def _mount_milestone(mount: AlbumWriter, step: int, samples: SampleSet) -> Milestone:
    pictures = _mount(mount, f"step-{step:06d}", samples.pictures, samples.subjects)
    return Milestone(step=step, pictures=pictures, clip_style=samples.clip_style)


def _mount(
    mount: AlbumWriter, name: str, pictures: Sequence[np.ndarray], texts: Sequence[str], longest_px: int = _MILESTONE_PX
) -> tuple[Thumbnail, ...]:
    pairs = enumerate(zip(pictures, texts, strict=True))
    return tuple(mount.add(f"{name}-{i:02d}", rgb, text, longest_px=longest_px) for i, (rgb, text) in pairs)


def _register(config: TrainConfig, record: BankRecord, bank: Bank, files: Mapping[str, bytes]) -> BankRecord:
    """Write a bank's files, then its row; then its checkpoint is no longer needed."""
    store, data = Store.open(config.store_uri), bank.to_bytes()
    catalog = Catalog(store)
    record = catalog.reserve_version(replace(record, weights_sha256=hashlib.sha256(data).hexdigest()))
    files = {BANK: data, CARD: bank_card(record, "available", PREVIEW).encode(), **files}
    store.write_many({bank_key(record.collection, record.bank_id, name): body for name, body in files.items()})
    registered = catalog.register(record)
    CheckpointFile(store, record.collection, record.bank_id).delete()
    logger.info("registered %s@%d, bank %s", registered.collection, registered.version, registered.bank_id)
    return registered

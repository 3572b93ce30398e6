"""Register a finished bank: draw its samples, write its files, add its row to the catalog."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

import numpy as np

from artbank import __version__
from artbank.bank.bank import Bank
from artbank.bank.checkpoint import TrainResult
from artbank.bank.lora_bank import AnyBank, LoraBank
from artbank.bank.lora_tensors import from_tensors, style_word
from artbank.bank.nearest_tokens import find_nearest_words
from artbank.catalog.album import ALBUM, Album, Milestone, NearWord, Sample, Thumbnail
from artbank.catalog.bank_files import BANK, HISTORY, PREVIEW, REFERENCE
from artbank.catalog.registration import register_files
from artbank.config import TrainConfig
from artbank.diffusion.base_model import BaseModel
from artbank.gallery.album_pictures import AlbumWriter, to_note
from artbank.gallery.claims import checkpoint_file
from artbank.gallery.collection_profile import CollectionProfile
from artbank.gallery.findings import Finding
from artbank.gallery.plan import TrainJob
from artbank.gallery.samples import MILESTONE_RECIPE, SampleDrawer, SampleSet
from artbank.records.bank_records import BankRecord
from artbank.report.bank_preview import preview_grid
from artbank.runtime.stages import show_stage
from artbank.scoring.spread import Spread
from artbank.store.objects import Store

logger = logging.getLogger(__name__)

_SAMPLE_PX = 320  # long side of a sample in an album
_MILESTONE_PX = 224  # long side of a picture that was drawn at a milestone


@dataclass(frozen=True)
class _FinishedBank:
    """A trained bank, all that its row and files are made of, and the pictures that were drawn with it.

    `clip_style` summarizes the scores of the samples.
    """

    job: TrainJob
    profile: CollectionProfile
    result: TrainResult
    bank: AnyBank
    samples: SampleSet
    milestones: Mapping[int, SampleSet]
    clip_style: Spread

    @property
    def findings(self) -> list[Finding]:
        """The findings about the artworks, and one about samples that could not be drawn."""
        if not self.samples.num_failed:
            return [*self.profile.findings]
        return [*self.profile.findings, Finding("failed_samples", _describe_failed(self.samples))]


def register_bank(
    config: TrainConfig,
    store: Store,
    job: TrainJob,
    drawer: SampleDrawer,
    profile: CollectionProfile,
    result: TrainResult,
    is_ours: Callable[[], bool] = lambda: True,
) -> BankRecord | None:
    """Score a trained bank on a few pictures, and register it; running it again changes nothing.

    The bank's files are written before its row, and its checkpoint is deleted last.

    Args:
        config: The run's configuration.
        store: Store of the catalog.
        job: The training.
        drawer: Draws the samples.
        profile: The collection.
        result: The end of the training.
        is_ours: Returns whether this run still holds the job's lease; called after the samples are drawn.

    Returns:
        The bank's row; None if another run has taken the job over, or has registered the bank.

    Raises:
        OSError: The store failed.
    """
    show_stage(f"drawing samples of {job.collection.display_name}")
    finished = _draw(config, job, drawer, profile, result)
    samples = finished.samples
    pictures = {
        PREVIEW: preview_grid(profile.previewed, samples.photos, samples.pictures, job.collection.display_name),
        **_make_album(drawer.base, finished),
    }
    files = {
        BANK: finished.bank.to_bytes(),
        REFERENCE: profile.reference.to_bytes(),
        HISTORY: json.dumps(asdict(result.history)).encode(),
        **pictures,
    }
    if not is_ours():
        logger.warning("%s: another run has taken over the training of bank %s", finished.bank.collection, job.bank_id)
        return None
    registered = register_files(store, _make_record(config, drawer, finished), files)
    checkpoint_file(store, job).delete()
    return registered


def _draw(
    config: TrainConfig, job: TrainJob, drawer: SampleDrawer, profile: CollectionProfile, result: TrainResult
) -> _FinishedBank:
    """Make the bank of a training, and draw its samples and milestones."""
    best_step, best_loss = result.history.best
    metrics = {"steps": len(result.history.train), "best_step": best_step, "validation_loss": best_loss}
    bank = _make_bank(config, job, drawer.base, result, metrics)
    [samples] = drawer.draw_samples([bank], profile.reference, config.num_samples)
    milestones = drawer.draw_milestones(bank, profile.reference, result.milestones)
    if samples.num_failed:
        logger.warning("%s: %s", job.collection.name, _describe_failed(samples))
    clip_style = samples.spread(profile.reference)
    bank = replace(bank, metrics={**metrics, "clip_style": clip_style.mean})
    return _FinishedBank(job, profile, result, bank, samples, milestones, clip_style)


def _describe_failed(samples: SampleSet) -> str:
    return (
        f"{samples.num_failed} of {len(samples.photos)} sample photographs could not be drawn: the model gave values "
        "that are not finite, or black pictures; photos of an archive may fail, too"
    )


def _make_bank(
    config: TrainConfig, job: TrainJob, base: BaseModel, result: TrainResult, metrics: Mapping[str, float | None]
) -> AnyBank:
    facts: dict[str, Any] = {
        "bank_id": job.bank_id,
        "collection": job.collection.name,
        "base_model": base.id,
        "base_model_hash": base.hash,
        "fingerprint": job.collection.fingerprint,
        "recipe": config.recipe,
        "metrics": metrics,
        "family": base.family.name,
    }
    if config.recipe.kind == "lora":
        word = style_word(job.collection.display_name)
        return LoraBank(**facts, word=word, layers=from_tensors(result.state))
    return Bank(
        **facts,
        vectors=result.vectors,
        training_state=result.state,
        units=result.units,
        encoders=base.text_widths if len(base.text_widths) > 1 else {},
    )


def _make_record(config: TrainConfig, drawer: SampleDrawer, finished: _FinishedBank) -> BankRecord:
    """Return the catalog row of a bank, without what `register_files` sets."""
    bank = finished.bank
    profile = finished.profile
    history = finished.result.history
    recent_losses = history.train[-config.recipe.validate_every :]
    return BankRecord(
        bank_id=bank.bank_id,
        collection=bank.collection,
        version=0,
        created_at=datetime.now(UTC),
        gallery_uri=finished.job.collection.gallery_uri,
        fingerprint=bank.fingerprint,
        num_artworks=profile.num_artworks,
        base_model=bank.base_model,
        base_model_hash=bank.base_model_hash,
        num_tokens=finished.result.vectors.shape[0],
        width=finished.result.vectors.shape[1],
        attention="none" if isinstance(bank, LoraBank) else config.recipe.attention,
        recipe=config.recipe.to_json(),
        attempt=finished.job.attempt,
        steps=len(history.train),
        train_loss=fmean(recent_losses) if recent_losses else None,
        validation_loss=history.best[1],
        clip_style=finished.clip_style.mean,
        clip_style_floor=finished.clip_style.floor,
        clip_style_ceiling=finished.clip_style.ceiling,
        clip_style_gain=finished.clip_style.gain,
        scorer=drawer.scorer.id,
        seconds=history.seconds,
        device=str(drawer.base.device),
        weights_uri="",
        weights_sha256="",
        previous_version=None,
        code_version=__version__,
        warnings=[finding.message for finding in finished.findings],
        sample_seconds=finished.samples.seconds,
        sample_evaluations=finished.samples.evaluations,
        sample_px=drawer.base.native_px,
        display_name=finished.job.collection.display_name,
        kind=bank.kind,
        base_family=bank.family,
        encoder_widths=list(bank.widths.values()) if isinstance(bank, Bank) else None,
        base_model_licence=drawer.base.licence,
        clip_style_recoloured=finished.samples.clip_style_recoloured,
        gain_beyond_colours=finished.samples.gain_beyond_colours(finished.profile.reference),
    )


def _make_album(base: BaseModel, finished: _FinishedBank) -> dict[str, bytes]:
    """Return a bank's album and its pictures, by file name."""
    profile = finished.profile
    writer = profile.album_writer
    writer.add_cover(profile.previewed[0], finished.samples.pictures[0])
    words = []
    if isinstance(finished.bank, Bank):
        vectors = next(iter(finished.bank.tensors.values()))  # both text encoders of SDXL have the same words
        words = find_nearest_words(base.prompt_encoder.vocabulary, base.tokenizer, vectors)
    album = Album(
        artworks=profile.shown_artworks,
        num_held_out=profile.num_held_out,
        contents=profile.contents,
        notes=tuple(to_note(finding) for finding in finished.findings),
        words=tuple(tuple(NearWord(**asdict(word)) for word in nearest) for nearest in words),
        photos=_add_milestone_photos(writer, finished.milestones),
        milestones=tuple(_add_milestone(writer, step, samples) for step, samples in finished.milestones.items()),
        milestone_preset=MILESTONE_RECIPE.preset if finished.milestones else "",
        samples=_add_samples(writer, finished.samples),
    )
    return {ALBUM: album.to_bytes(), **writer.files}


def _add_samples(writer: AlbumWriter, samples: SampleSet) -> tuple[Sample, ...]:
    photos = _add_pictures(writer, "sample-photo", samples.photos, samples.subjects, _SAMPLE_PX)
    pictures = _add_pictures(writer, "sample", samples.pictures, samples.subjects, _SAMPLE_PX, are_drawn=True)
    return tuple(
        Sample(
            photo=photo,
            picture=picture,
            clip_style=scores and scores.clip_style,
            clip_style_floor=scores and scores.clip_style_floor,
        )
        for photo, picture, scores in zip(photos, pictures, samples.scores, strict=True)
    )


def _add_milestone_photos(writer: AlbumWriter, milestones: Mapping[int, SampleSet]) -> tuple[Thumbnail, ...]:
    """Add the photographs of the milestones; all milestones have the same ones."""
    samples = next(iter(milestones.values()), None)
    if samples is None:
        return ()
    return _add_pictures(writer, "photo", samples.photos, samples.subjects, _MILESTONE_PX)


def _add_milestone(writer: AlbumWriter, step: int, samples: SampleSet) -> Milestone:
    name = f"step-{step:06d}"
    pictures = _add_pictures(writer, name, samples.pictures, samples.subjects, _MILESTONE_PX, are_drawn=True)
    return Milestone(step=step, pictures=pictures, clip_style=samples.clip_style)


def _add_pictures(
    writer: AlbumWriter,
    name: str,
    pictures: Sequence[np.ndarray],
    texts: Sequence[str],
    longest_px: int,
    *,
    are_drawn: bool = False,
) -> tuple[Thumbnail, ...]:
    pairs = enumerate(zip(pictures, texts, strict=True))
    return tuple(
        writer.add(f"{name}-{i:02d}", rgb, text, longest_px=longest_px, is_drawn=are_drawn) for i, (rgb, text) in pairs
    )

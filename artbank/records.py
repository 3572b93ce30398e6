"""The rows that artbank keeps: plain frozen dataclasses, each with the Arrow schema it is written under.

Scores are raw cosines, -1..1, or None where nothing was scored; times are UTC; sizes are bytes unless `_px` says px.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import ClassVar, Literal, Self

import pyarrow as pa

from artbank.alarms import Alarm
from artbank.costs import Pace, RunCost
from artbank.errors import Failure

_TEXT, _INT, _FLOAT, _TEXTS = pa.string(), pa.int64(), pa.float64(), pa.list_(pa.string())
_TIME = pa.timestamp("us", tz="UTC")
_NAMED = pa.dictionary(pa.int32(), pa.string())  # what readers make of a `collection=` folder: both must be alike


@dataclass(frozen=True)
class StoredObject:
    """One object of a store: its key below the listed folder, its size, and what changes when its content does."""

    key: str
    size: int
    etag: str


class _Row:
    """What the rows share: from and to Arrow tables, column by column."""

    SCHEMA: ClassVar[pa.Schema]

    @classmethod
    def to_table(cls, rows: Iterable[Self]) -> pa.Table:
        """Return the rows as a table of `SCHEMA`."""
        return pa.Table.from_pylist([vars(row) for row in rows], schema=cls.SCHEMA)

    @classmethod
    def from_table(cls, table: pa.Table) -> list[Self]:
        """Return the rows of a table; columns that this version does not know are left out, missing ones are None."""
        names = [own.name for own in fields(cls)]  # pyright: ignore[reportArgumentType]
        return [cls(**{name: row.get(name) for name in names}) for row in table.to_pylist()]


@dataclass(frozen=True)
class BankRecord(_Row):
    """One registered bank: a row of the catalog, never changed once written.

    Attributes:
        bank_id: 16 hex digits of a hash of fingerprint, recipe, base model and attempt.
        collection: The folder of the gallery that it was learned from.
        version: Its number within the collection, from 1.
        created_at: When it was registered.
        gallery_uri: The gallery.
        fingerprint: SHA-256 over keys, sizes and etags of its artworks and captions.
        num_artworks: Artworks that could be read.
        base_model: What the base model was asked for by.
        base_model_hash: SHA-256 of its files.
        num_tokens: Vectors in the bank.
        width: Length of each vector.
        attention: The module that shaped them.
        recipe: The whole recipe, JSON.
        attempt: 0, or how often it was trained anew although nothing had changed.
        steps: Optimiser steps that were taken.
        train_loss: Mean over the last `validate_every` steps; None where there were none.
        validation_loss: The best one, on artworks kept from the training.
        clip_style: Mean score of the pictures drawn with the bank.
        clip_style_floor: The same of the photos they were made from.
        clip_style_ceiling: The same of artworks kept from the training; None where there was a single one.
        clip_style_gain: Share of the way from floor to ceiling: 0 did nothing, 1 equals the artworks.
        scorer: The CLIP that scored; scores of two do not compare.
        seconds: Its share of the training's time.
        device: Where it was trained.
        weights_uri: Its file.
        weights_sha256: Of that file, which is not read if it has another.
        previous_version: The collection's highest version before; None for the first.
        code_version: Of artbank.
        warnings: What the collection doctor found, and artworks that could not be read.
        sample_seconds: What one of its samples took, once the model was warm; None in rows of older versions, as are
            the two below.
        sample_evaluations: Evaluations of the UNet for that sample.
        sample_px: A side of it.
    """

    bank_id: str
    collection: str
    version: int
    created_at: datetime
    gallery_uri: str
    fingerprint: str
    num_artworks: int
    base_model: str
    base_model_hash: str
    num_tokens: int
    width: int
    attention: str
    recipe: str
    attempt: int
    steps: int
    train_loss: float | None
    validation_loss: float
    clip_style: float | None
    clip_style_floor: float | None
    clip_style_ceiling: float | None
    clip_style_gain: float | None
    scorer: str | None
    seconds: float
    device: str
    weights_uri: str
    weights_sha256: str
    previous_version: int | None
    code_version: str
    warnings: list[str]
    sample_seconds: float | None = None
    sample_evaluations: int | None = None
    sample_px: int | None = None

    SCHEMA: ClassVar[pa.Schema] = pa.schema(
        [
            ("bank_id", _TEXT),
            ("collection", _NAMED),
            ("version", _INT),
            ("created_at", _TIME),
            ("gallery_uri", _TEXT),
            ("fingerprint", _TEXT),
            ("num_artworks", _INT),
            ("base_model", _TEXT),
            ("base_model_hash", _TEXT),
            ("num_tokens", _INT),
            ("width", _INT),
            ("attention", _TEXT),
            ("recipe", _TEXT),
            ("attempt", _INT),
            ("steps", _INT),
            ("train_loss", _FLOAT),
            ("validation_loss", _FLOAT),
            ("clip_style", _FLOAT),
            ("clip_style_floor", _FLOAT),
            ("clip_style_ceiling", _FLOAT),
            ("clip_style_gain", _FLOAT),
            ("scorer", _TEXT),
            ("seconds", _FLOAT),
            ("device", _TEXT),
            ("weights_uri", _TEXT),
            ("weights_sha256", _TEXT),
            ("previous_version", _INT),
            ("code_version", _TEXT),
            ("warnings", _TEXTS),
            ("sample_seconds", _FLOAT),
            ("sample_evaluations", _INT),
            ("sample_px", _INT),
        ],
        metadata={"artbank.schema": "bank/1"},
    )


@dataclass(frozen=True)
class BankEvent(_Row):
    """A promotion or retirement of one version of a collection.

    Attributes:
        collection: Its name.
        version: The version that it is about.
        bank_id: Of that version's bank.
        action: `promote` makes it what the collection's name stands for, `retire` takes it out of that.
        at: When; the latest counts.
    """

    collection: str
    version: int
    bank_id: str
    action: Literal["promote", "retire"]
    at: datetime

    SCHEMA: ClassVar[pa.Schema] = pa.schema(
        [("collection", _NAMED), ("version", _INT), ("bank_id", _TEXT), ("action", _TEXT), ("at", _TIME)],
        metadata={"artbank.schema": "bank-event/1"},
    )


@dataclass(frozen=True)
class PhotoTask(_Row):
    """One photo of a manifest: the styles it lacks, and the content its older results were made from.

    Attributes:
        key: Its name below the archive.
        size: Bytes, as listed.
        etag: What the store says of its content, as listed.
        styles: Those that it is to be drawn in.
        known_sha256: Content that its older results were made from; None where there are none.
        strikes: What went wrong while it was worked on, see `attempts`; None where nothing did.
        is_ambiguous: Its picture's name is marked, see `names`; None, in manifests of older versions, is False.
    """

    key: str
    size: int
    etag: str
    styles: list[str]
    known_sha256: str | None
    strikes: int | None = None
    is_ambiguous: bool | None = None

    SCHEMA: ClassVar[pa.Schema] = pa.schema(
        [
            ("key", _TEXT),
            ("size", _INT),
            ("etag", _TEXT),
            ("styles", _TEXTS),
            ("known_sha256", _TEXT),
            ("strikes", _INT),
            ("is_ambiguous", pa.bool_()),
        ],
        metadata={"artbank.schema": "manifest/1"},
    )


@dataclass(frozen=True)
class Result(_Row):
    """What became of one photo in one style: a row of the results. What a failed one lacks is None.

    Attributes:
        key: The photo's name below the archive.
        size: Bytes of the photo.
        etag: What the store said of the photo's content.
        sha256: Of the photo; None where it could not be read.
        style: The style's folder: its name, `:` written as `_`.
        recipe_id: 16 hex digits of a hash of recipe, base model and bank files: what would give the same picture.
        status: `done` or `failed`.
        failure: Why there is no picture, in a word that can be counted.
        reason: The same, to a person.
        file_name: The picture's name below the output, or that of the container it is in.
        file_size: Bytes of the picture.
        file_sha256: Of the picture.
        width_px: Of the picture.
        height_px: Of the picture.
        seed: The noise of this photo was drawn by it.
        clip_style: Cosine of the picture and the collection's artworks: does it look like them.
        clip_style_floor: The same of the untouched photo.
        clip_text: Cosine of the picture and the words for its style.
        clip_content: Cosine of the picture and the photo: is its content still there.
        clip_direction: Cosine of the way from photo to picture and the way from photos to artworks.
        ssim: Structural similarity of the lumas of picture and photo.
        flags: What is odd about the picture at first sight: `black`, `white` or `flat`.
        scorer: The CLIP that scored; scores of two do not compare.
        bank_ids: The banks of the style.
        base_model: What the base model was asked for by.
        base_model_hash: SHA-256 of its files.
        recipe: The whole recipe, JSON.
        seconds: The picture's share of its batch's time.
        created_at: When it was drawn, or failed; of two rows of one photo and style the younger one counts.
    """

    key: str
    size: int
    etag: str
    sha256: str | None
    style: str
    recipe_id: str
    status: Literal["done", "failed"]
    failure: Failure | None
    reason: str | None
    bank_ids: list[str]
    base_model: str
    base_model_hash: str
    recipe: str
    seconds: float
    created_at: datetime
    file_name: str | None = None
    file_size: int | None = None
    file_sha256: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    seed: int | None = None
    clip_style: float | None = None
    clip_style_floor: float | None = None
    clip_text: float | None = None
    clip_content: float | None = None
    clip_direction: float | None = None
    ssim: float | None = None
    flags: list[str] = field(default_factory=list)
    scorer: str | None = None

    SCHEMA: ClassVar[pa.Schema] = pa.schema(
        [
            ("key", _TEXT),
            ("size", _INT),
            ("etag", _TEXT),
            ("sha256", _TEXT),
            ("style", _TEXT),
            ("recipe_id", _TEXT),
            ("status", _TEXT),
            ("failure", _TEXT),
            ("reason", _TEXT),
            ("file_name", _TEXT),
            ("file_size", _INT),
            ("file_sha256", _TEXT),
            ("width_px", _INT),
            ("height_px", _INT),
            ("seed", _INT),
            ("clip_style", _FLOAT),
            ("clip_style_floor", _FLOAT),
            ("clip_text", _FLOAT),
            ("clip_content", _FLOAT),
            ("clip_direction", _FLOAT),
            ("ssim", _FLOAT),
            ("flags", _TEXTS),
            ("scorer", _TEXT),
            ("bank_ids", _TEXTS),
            ("base_model", _TEXT),
            ("base_model_hash", _TEXT),
            ("recipe", _TEXT),
            ("seconds", _FLOAT),
            ("created_at", _TIME),
        ],
        metadata={"artbank.schema": "result/1"},
    )


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        num_done: Pictures that are there, by photo and style, whichever run made them.
        num_failed: Those that could not be made; `results.parquet` has the reasons.
        num_new: Photos that this run worked on.
        places: URIs by what is there.
        text: The report, Markdown.
        alarms: What of this run's pictures a person should look at.
        cost: What this run took; None where it had nothing to do.
        styles: Name, done, failed, seconds a picture, mean `clip_style` and its gain, of each style.
    """

    num_done: int
    num_failed: int
    num_new: int
    places: dict[str, str]
    text: str
    alarms: list[Alarm] = field(default_factory=list)
    cost: RunCost | None = None
    styles: tuple[tuple[str, int, int, float | None, float | None, float | None], ...] = ()


@dataclass(frozen=True)
class Forecast:
    """What a run would do.

    Attributes:
        num_photos: Photos in the archive.
        num_tasks: Photos that the run would work on.
        num_pictures: Pictures that these lack.
        num_shards: Shards that they would be cut into.
        seconds_a_picture: What one may take, see `pace`; None where nothing is known.
        seconds: That, times the pictures that lack: on one worker.
        first_shards: Number of photos, first and last key of the first few shards.
        text: All of it, Markdown.
        num_evaluations: Of the UNet, for all these pictures.
        pace: What the forecast goes by.
    """

    num_photos: int
    num_tasks: int
    num_pictures: int
    num_shards: int
    seconds_a_picture: float | None
    seconds: float | None
    first_shards: list[tuple[int, str, str]]
    text: str
    num_evaluations: int = 0
    pace: Pace | None = None

"""The rows that artbank keeps: plain frozen dataclasses, each with the Arrow schema it is written under.

Scores are raw cosines, -1..1, or None where nothing was scored; times are UTC; sizes are bytes unless `_px` says px.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

import pyarrow as pa

from artbank.errors import Failure

_NAMED = pa.dictionary(pa.int32(), pa.string())  # what readers make of a `collection=` folder: both must be alike
_COLUMN_TYPES = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
    list[str]: pa.list_(pa.string()),
}


def _column_type(hint: Any) -> pa.DataType:
    """Return the Arrow type of a field; what may be None is what it is else."""
    for part in (hint, *get_args(hint)):
        if part in _COLUMN_TYPES:
            return _COLUMN_TYPES[part]
        if get_origin(part) is Literal:
            return pa.string()
    raise TypeError(f"expected a type of a column, found {hint}")


class _Row:
    """What the rows share: from and to Arrow tables, column by column."""

    SCHEMA: ClassVar[pa.Schema]

    def __init_subclass__(cls, *, schema: str, **columns: pa.DataType):
        """Derive `SCHEMA` of the fields, in their order.

        Args:
            schema: Its name and version, in the metadata of what is written.
            columns: Types of those that are no plain ones.
        """
        hints = get_type_hints(cls)
        types = {name: columns.get(name) or _column_type(hints[name]) for name in cls.__annotations__}
        cls.SCHEMA = pa.schema(list(types.items()), metadata={"artbank.schema": schema})

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
class BankRecord(_Row, schema="bank/1", collection=_NAMED):
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


@dataclass(frozen=True)
class BankEvent(_Row, schema="bank-event/1", collection=_NAMED):
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


@dataclass(frozen=True)
class PhotoTask(_Row, schema="manifest/1"):
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


@dataclass(frozen=True, kw_only=True)
class Result(_Row, schema="result/1"):
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
    bank_ids: list[str]
    base_model: str
    base_model_hash: str
    recipe: str
    seconds: float
    created_at: datetime

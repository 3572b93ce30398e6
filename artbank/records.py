"""The rows that artbank stores: frozen dataclasses, each with its Arrow schema.

Scores are raw cosines, -1..1, or None where nothing was scored. Times are UTC. Sizes are bytes,
`_px` are pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

import pyarrow as pa

from artbank.errors import Failure
from artbank.recipes import Mark, Metadata

_NAMED = pa.dictionary(pa.int32(), pa.string())  # the type that readers give to a `collection=` folder
_COLUMN_TYPES = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
    list[str]: pa.list_(pa.string()),
    list[float]: pa.list_(pa.float64()),
    list[int]: pa.list_(pa.int64()),
}


def _column_type(hint: Any) -> pa.DataType:
    """Return the Arrow type of a field; an optional field has the type of its value."""
    for part in (hint, *get_args(hint)):
        if part in _COLUMN_TYPES:
            return _COLUMN_TYPES[part]
        if get_origin(part) is Literal:
            return pa.string()
    raise TypeError(f"expected a type that a column can have, found {hint}")


class _Row:
    """Conversion of rows from and to Arrow tables, column by column."""

    SCHEMA: ClassVar[pa.Schema]

    def __init_subclass__(cls, *, schema: str, **columns: pa.DataType):
        """Derive `SCHEMA` from the fields, in their order.

        Args:
            schema: Name and version of the schema; every file has it in its metadata.
            columns: Types of the columns that do not follow from the field's type.
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
        """Return the rows of a table, without columns that this version does not know; missing columns are None."""
        names = [own.name for own in fields(cls)]  # pyright: ignore[reportArgumentType]
        return [cls(**{name: row.get(name) for name in names}) for row in table.to_pylist()]


@dataclass(frozen=True)
class BankRecord(_Row, schema="bank/1", collection=_NAMED):
    """One registered bank: a row of the catalog, never changed once written.

    Attributes:
        bank_id: 16 hex digits of a hash of fingerprint, recipe, base model and attempt.
        collection: Id of the collection that the bank was trained on, see `collection_ids`.
        version: The bank's number within its collection, from 1.
        created_at: When the bank was registered.
        gallery_uri: The gallery; of a bank of `artbank.train` the folder, or nothing if its artworks came one by one.
        fingerprint: SHA-256 of keys, sizes and etags of the collection's artworks and captions.
        num_artworks: Artworks that could be read.
        base_model: The base model as the run named it.
        base_model_hash: SHA-256 of the base model's files.
        num_tokens: Vectors in the bank; 0 for kind lora, as is the width.
        width: Length of each vector; with several text encoders, of those for all of them together.
        attention: The kind of attention that shaped the vectors; `none` for kind lora.
        recipe: The whole recipe, as JSON.
        attempt: 0, or the number of times the bank was trained again although nothing had changed.
        steps: Optimiser steps.
        train_loss: Mean loss of the last `validate_every` steps; None without steps.
        validation_loss: The best validation loss, on held-out artworks.
        clip_style: Mean style score of pictures drawn with the bank.
        clip_style_floor: Style score of the photos that these pictures were drawn from.
        clip_style_ceiling: Style score of held-out artworks; None if the collection has only one artwork.
        clip_style_gain: Position of `clip_style` between floor and ceiling: 0 no effect, 1 as similar as the artworks.
        scorer: The CLIP model of the scores; scores of different models do not compare.
        seconds: The bank's share of the training time.
        device: The device that the bank was trained on.
        weights_uri: The bank's file.
        weights_sha256: SHA-256 of the bank's file; a file with another one is refused.
        previous_version: The collection's highest version before this one; None for the first.
        code_version: Version of artbank.
        warnings: Findings of the collection doctor, and artworks that could not be read.
        sample_seconds: Seconds for one of the bank's samples with a warm model; None in rows of
            older versions, as are the next two.
        sample_evaluations: UNet evaluations for that sample, those that reuse features counted by their cost.
        sample_px: Side length of that sample.
        display_name: Name of the collection's folder in the gallery; None in rows of older
            versions, whose `collection` is that name.
        kind: `tokens`: vectors that take the place of words in a prompt; `lora`: changes of the UNet's attention
            layers. None in rows of older versions, which know tokens only, as are the next two.
        base_family: Family of the base model: `sd` (Stable Diffusion 1.x and 2.x, the embedded model) or `sdxl`.
        encoder_widths: Length of each vector for each text encoder of the base model; None for kind lora.
        base_model_licence: Licence of the base model by the files beside its weights; empty if they name none, None in
            rows of older versions.
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
    display_name: str | None = None
    kind: str | None = None
    base_family: str | None = None
    encoder_widths: list[int] | None = None
    base_model_licence: str | None = None

    @property
    def title(self) -> str:
        """The collection's name as people know it."""
        return self.display_name or self.collection

    @property
    def widths(self) -> str:
        """Length of each vector, for each text encoder: `768`, or `768 and 1280`."""
        return " and ".join(map(str, self.encoder_widths or [self.width]))


@dataclass(frozen=True)
class BankEvent(_Row, schema="bank-event/1", collection=_NAMED):
    """A promotion or retirement of one version of a collection.

    Attributes:
        collection: Id of the collection.
        version: The version that is promoted or retired.
        bank_id: The bank of that version.
        action: `promote` makes this version the one that the collection's name stands for; `retire`
            undoes that.
        at: When it happened; the latest event counts.
    """

    collection: str
    version: int
    bank_id: str
    action: Literal["promote", "retire"]
    at: datetime


@dataclass(frozen=True)
class PhotoTask(_Row, schema="manifest/1"):
    """One photo of a manifest: the styles to draw it in, and the content that its older results were made from.

    Attributes:
        key: The photo's name below the archive.
        size: Bytes of the photo, as listed.
        etag: The store's etag of the photo, as listed.
        styles: The styles to draw it in.
        known_sha256: SHA-256 of the content that its older results were made from; None where there are none.
        strikes: Failed attempts that may be this photo's fault, see `attempts`; None if there were
            none.
        is_ambiguous: Whether its picture's name gets a hash, see `filenames`; None, in manifests of
            older versions, is False.
        mark: The mark of the picture that it is to be drawn as again, byte for byte; None to follow the recipe, as in
            most manifests.
        metadata: The same for what it keeps of the photo's metadata.
        caption: Its caption in files beside it or in tables, see `caption_reader`; empty if these say that it has none.
            None without such a file, and without the recipe's `photo_captions`.
    """

    key: str
    size: int
    etag: str
    styles: list[str]
    known_sha256: str | None
    strikes: int | None = None
    is_ambiguous: bool | None = None
    mark: Mark | None = None
    metadata: Metadata | None = None
    caption: str | None = None

    @property
    def exact_settings(self) -> dict[str, Any]:
        """The settings of the recipe that this photo overrides: those that its picture was written with."""
        settings = {"mark": self.mark, "metadata": self.metadata}
        return {name: value for name, value in settings.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Result(_Row, schema="result/1"):
    """The result of one photo in one style: a row of the results. Columns that do not apply to a failed row are None.

    Attributes:
        key: The photo's name below the archive.
        size: Bytes of the photo.
        etag: The store's etag of the photo.
        sha256: SHA-256 of the photo; None if it could not be read.
        style: The style's folder: its name, with `_` for `:`.
        recipe_id: 16 hex digits of a hash of recipe, base model, LoRA, ControlNet and bank files: the same id gives the
            same picture.
        status: `done` or `failed`.
        failure: The kind of failure, one word that can be counted.
        reason: The failure in a sentence, for people.
        file_name: The picture's name below the output, or that of its container.
        file_size: Bytes of the picture.
        file_sha256: SHA-256 of the picture.
        width_px: Width of the picture.
        height_px: Height of the picture.
        seed: The seed of this photo's noise.
        clip_style: Cosine of the picture and the collection's artworks: how similar is the style?
        clip_style_floor: Cosine of the untouched photo and the collection's artworks.
        clip_style_recoloured: The same of the photo in the collection's colours, which shows how much of `clip_style`
            colours alone explain; None in rows of older versions.
        clip_text: Cosine of the picture and the words for its style.
        clip_content: Cosine of the picture and the photo: is its content still there?
        clip_direction: Cosine of the change from photo to picture and the change from photos to artworks.
        ssim: Structural similarity of the luma of picture and photo.
        dino_structure: 1 minus the mean squared difference between the patch self-similarities of picture and photo
            in a DINOv2: 1 as the photo, at least -3; None without a structure model.
        structure_model: The DINOv2 of that score; scores of different models do not compare.
        csd_style: Cosine of picture and the collection's artworks in the space of a CSD; None without a style model, or
            if the style's banks were not measured by it.
        csd_style_floor: The same of the untouched photo.
        style_model: The CSD of the run; None without one. Scores of different models do not compare.
        clip_texture: Cosine of the textures of picture and the collection's artworks, without colours; None without
            `texture`, or if the style's banks have no textures.
        clip_texture_floor: The same of the untouched photo.
        flags: Signs of a failed picture: `black`, `white` or `flat`; `loose` if it has less structure than
            the recipe's `keep_structure`; `faint` if it has less of the style than its `reach_style`.
        structure: The structure that was found for this photo; None without `keep_structure` and `reach_style`.
        lightness: The fraction of the photo's lightness that was returned for it; None without `keep_structure`.
        strength: The strength that was found for this photo; None without `reach_style`.
        gain: Position of `clip_style` between `clip_style_floor` (0) and the mean of held-out artworks (1); None
            without `reach_style`, and where it cannot be measured, which `notes` says.
        candidates: Mean of `clip_style` and `clip_content` of each picture that was drawn of this photo with the
            settings of the one that is kept, in the order of their seeds. None if only one was drawn.
        scorer: The CLIP model of the scores; scores of different models do not compare.
        bank_ids: The banks of the style.
        base_model: The base model as the run named it.
        base_model_hash: SHA-256 of the base model's files.
        recipe: The whole recipe, as JSON.
        seconds: The picture's share of its batch's time.
        created_at: When the picture was drawn, or failed; of two rows of one photo and style, the newer one counts.
        notes: Sentences that the photo's owner should know, such as high dynamic range mapped to sRGB, a mark that its
            picture does not have, or a style gain that cannot be measured; None in rows of older versions.
        mark: The mark in the picture's file: `iptc` (XMP's DigitalSourceType is
            compositeWithTrainedAlgorithmicMedia) or `none`; None in rows of older versions, which wrote none.
        metadata: What the file keeps of the photo's metadata: `keep`, `copyright` or `none`; None in rows of older
            versions, which kept none.
        kept_metadata: What of that the photo had: `copyright`, `artist`, `capture_date`, `rights`, `gps`, `camera`,
            `description`.
        photo_marks: Marks of provenance that the photo itself had: `c2pa`, `digital_source_type:TERM`, `iptc`, `aigc`.
            Its `notes` tell which of them the picture does not have.
        caption: The photo's caption, which stands in the prompt in place of the recipe's text; empty if a file says
            that it has none. None without `photo_captions`, and where no caption was found.
        prompt: The text that the picture was drawn with: caption or the recipe's text, and the style by its name; None
            in rows of older versions.
        caption_source: Where the caption was found: `file` (beside the photo, or in a table) or `photo` (its own XMP,
            IPTC record or Exif).
        loras: The LoRAs that were merged into the base model, each as its file's name, 12 hex digits of its SHA-256 and
            its weight, such as `ink.safetensors@0123456789ab:0.8`; None in rows of older versions, which had none.
        controls: The ControlNets that it was drawn with, each as kind, name, 12 hex digits of its SHA-256, weight and
            interval, such as `canny=sd15-canny@0123456789ab:0.8:0-1`; None in rows of older versions, which had none.
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
    clip_style_recoloured: float | None = None
    clip_text: float | None = None
    clip_content: float | None = None
    clip_direction: float | None = None
    ssim: float | None = None
    dino_structure: float | None = None
    structure_model: str | None = None
    csd_style: float | None = None
    csd_style_floor: float | None = None
    style_model: str | None = None
    clip_texture: float | None = None
    clip_texture_floor: float | None = None
    flags: list[str] = field(default_factory=list)
    structure: float | None = None
    lightness: float | None = None
    strength: float | None = None
    gain: float | None = None
    candidates: list[float] | None = None
    scorer: str | None = None
    bank_ids: list[str]
    base_model: str
    base_model_hash: str
    recipe: str
    seconds: float
    created_at: datetime
    notes: list[str] | None = None
    mark: Mark | None = None
    metadata: Metadata | None = None
    kept_metadata: list[str] | None = None
    photo_marks: list[str] | None = None
    caption: str | None = None
    prompt: str | None = None
    caption_source: Literal["file", "photo"] | None = None
    loras: list[str] | None = None
    controls: list[str] | None = None

    @property
    def given_caption(self) -> str | None:
        """The caption that its task had: that of files; None if it came from the photo itself."""
        return self.caption if self.caption_source == "file" else None

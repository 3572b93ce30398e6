"""The rows of an output: what is to be drawn of each photo, and what came of it.

Scores are raw cosines, -1..1, or None where nothing was scored. Times are UTC. Sizes are bytes, `_px` are pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from artbank.errors import Failure
from artbank.parameters.stylize_recipe import Mark, Metadata
from artbank.records.row import Row


@dataclass(frozen=True)
class PhotoTask(Row, schema="manifest/1"):
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
class Result(Row, schema="result/1"):
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
        lightness: The mean fraction of the photo's lightness that was returned for it; None without `keep_structure`.
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

"""The rows of the catalog: banks, and their promotions.

Scores are raw cosines, -1..1, or None where nothing was scored. Times are UTC. Sizes are bytes, `_px` are pixels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from artbank.records.row import NAMED, Row


@dataclass(frozen=True)
class BankRecord(Row, schema="bank/1", collection=NAMED):
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
        clip_style_recoloured: Style score of these photos in the artworks' colours, with nothing painted; None in rows
            of older versions, as is the next.
        gain_beyond_colours: Position of `clip_style` between that score and the ceiling: 0 no more than recoloured
            photos, 1 as similar as the artworks; None if the two are not clearly apart.
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
    clip_style_recoloured: float | None = None
    gain_beyond_colours: float | None = None

    @property
    def name(self) -> str:
        """The name by which users request it, such as `monet@3`."""
        return f"{self.collection}@{self.version}"

    @property
    def title(self) -> str:
        """The collection's name as people know it."""
        return self.display_name or self.collection

    @property
    def widths(self) -> str:
        """Length of each vector, for each text encoder: `768`, or `768 and 1280`."""
        return " and ".join(map(str, self.encoder_widths or [self.width]))

    def read_recipe(self) -> dict[str, Any]:
        """Return the fields of the recipe; none if its text is not a JSON object."""
        try:
            fields = json.loads(self.recipe)
        except (ValueError, TypeError, RecursionError):
            return {}
        return fields if isinstance(fields, dict) else {}


@dataclass(frozen=True)
class BankEvent(Row, schema="bank-event/1", collection=NAMED):
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

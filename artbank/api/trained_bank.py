"""A trained bank, ready to draw: what `artbank.train`, `artbank.open_store` and `artbank.load_bank` return."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from artbank.api import notebook_html
from artbank.api.bank_facts import list_facts
from artbank.api.bank_file import pack_bank
from artbank.api.bank_registration import register_bank
from artbank.api.drawing_style import DrawingStyle
from artbank.api.places import place_text
from artbank.catalog.bank_files import BANK, PREVIEW, REFERENCE, read_files
from artbank.errors import BankError
from artbank.parameters.run_config import RunConfig
from artbank.recipes import BankRecipe
from artbank.records.bank_records import BankRecord
from artbank.store.objects import Store
from artbank.store.places import open_file

if TYPE_CHECKING:  # these load torch, numpy or Pillow, which opening a store does without
    import numpy as np
    from PIL import Image

    from artbank.bank.lora_bank import AnyBank
    from artbank.scoring.style_reference import StyleReference
    from artbank.stylization.style import Style


@dataclass(frozen=True, repr=False, eq=False)
class TrainedBank(DrawingStyle):
    """The bank of one collection with its files, all in memory; draws with `stylize` and `stylize_each`.

    Attributes:
        record: Its row of the catalog: what it was trained on, how, and its scores.
        files: Its files by name: weights, reference, losses, pictures of its page.
        config: The base model, device and scorer that it draws with.
    """

    record: BankRecord
    files: Mapping[str, bytes] = field(repr=False)
    config: RunConfig

    @property
    def name(self) -> str:
        """Its collection's id and its version, such as `monet@1`."""
        return self.record.name

    @property
    def recipe(self) -> BankRecipe:
        """The settings that it was trained with."""
        return self.bank.recipe

    @property
    def vectors(self) -> np.ndarray:
        """The learned vectors, float32 [N, D], of the text encoder's width D.

        Raises:
            BankError: The bank is of kind lora, which has none.
        """
        from artbank.bank.lora_bank import LoraBank

        if isinstance(self.bank, LoraBank):
            raise BankError(f"bank {self.name} is of kind lora and has no vectors; its factors are in bank.layers")
        return self.bank.vectors.numpy()

    @property
    def preview(self) -> Image.Image | None:
        """Artworks of the collection and photos in its style, RGB; None for banks without that file."""
        from PIL import Image

        data = self.files.get(PREVIEW)
        return None if data is None else Image.open(io.BytesIO(data))

    @cached_property
    def bank(self) -> AnyBank:
        """The bank as the core uses it.

        Raises:
            BankError: Its weights are damaged.
        """
        from artbank.bank.lora_bank import read_bank

        return read_bank(self.files[BANK])

    @cached_property
    def reference(self) -> StyleReference:
        """Its collection as the scorer sees it.

        Raises:
            BankError: The reference is damaged.
        """
        from artbank.scoring.style_reference import StyleReference

        return StyleReference.from_bytes(self.files[REFERENCE])

    def to_diffusers(self, pipeline: Any) -> str:
        """Load the vectors, or the LoRA, into a pipeline of diffusers, in place of an earlier bank of the collection.

        Args:
            pipeline: A pipeline for Stable Diffusion or SDXL whose text encoders have the widths of this bank.

        Returns:
            The token that stands for the style in prompts, such as `<monet>`; the word of a bank of kind lora.

        Raises:
            BankError: The pipeline is one for another base model.
        """
        from artbank.api.pipelines import add_style
        from artbank.catalog.bank_export import default_token

        return add_style(pipeline, self.bank, default_token(self.record), self.name)

    def save(self, path: str | os.PathLike[str]) -> str:
        """Write the bank with all its files as one file, for `artbank.load_bank`.

        Args:
            path: Path or URI of the file; by custom it ends in `.bank`.

        Returns:
            The path or URI of the file.

        Raises:
            ConfigError: The path is that of a folder, or no path.
            OSError: The file cannot be written.
        """
        store, name = open_file(place_text(path, "the file of a bank"))
        store.write(name, pack_bank(self.record, self.files))
        return store.uri_of(name)

    def register(self, store: str | os.PathLike[str]) -> TrainedBank:
        """Add the bank to the catalog of a store, which is made if it is not there.

        Args:
            store: Folder or URI of the store.

        Returns:
            The bank as it is registered there: with its version. One that was registered before is not added again.

        Raises:
            ConfigError: The place holds pages of another store, or an output.
            CatalogError: The catalog cannot be read.
            OSError: The store failed.
        """
        target = Store.open(place_text(store, "the place of a store"))
        return TrainedBank.fetch(target, register_bank(target, self.record, self.files), self.config)

    @classmethod
    def fetch(cls, store: Store, record: BankRecord, config: RunConfig) -> TrainedBank:
        """Read a registered bank.

        Raises:
            BankError: Its weights or its reference are missing or damaged.
            OSError: The store failed.
        """
        return cls(record, read_files(store, record), config)

    def _load_style(self) -> tuple[Style, StyleReference]:
        from artbank.stylization.style import Style

        return Style(self.name, ((self.bank, 1.0),), self.reference.palette), self.reference

    def __repr__(self) -> str:
        """Return its name and its main facts in one line."""
        return f"<TrainedBank {self.name}: {', '.join(f'{k} {v}' for k, v in list_facts(self.record).items())}>"

    def _repr_html_(self) -> str:
        title = f"{self.record.title}, version {self.record.version}"
        return notebook_html.facts(title, list_facts(self.record), self.files.get(PREVIEW))

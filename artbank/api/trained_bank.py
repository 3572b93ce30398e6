"""A trained bank, ready to draw: what `artbank.train`, `artbank.open_store` and `artbank.load_bank` return."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack, overload

from artbank.api import notebook_html
from artbank.api.bank_facts import list_facts
from artbank.api.bank_file import open_folder, pack_bank
from artbank.api.settings import StylizeSettings, read_drawing
from artbank.catalog.bank_files import BANK, PREVIEW, REFERENCE, read_files
from artbank.catalog.catalog import Catalog
from artbank.catalog.registration import register_files
from artbank.control_specs import ControlSpec
from artbank.errors import BankError, CatalogError
from artbank.pages.banks.build import refresh
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.records import BankRecord
from artbank.run_config import RunConfig
from artbank.store.objects import Store

if TYPE_CHECKING:  # these load torch, numpy or Pillow, which opening a store does without
    import numpy as np
    from PIL import Image

    from artbank.api.drawing import PhotoDrawer, Progress
    from artbank.api.drawn_picture import DrawnPicture
    from artbank.api.photo_inputs import PhotoInput
    from artbank.bank.lora_bank import AnyBank
    from artbank.scoring.style_reference import StyleReference


@dataclass(frozen=True, repr=False, eq=False)
class TrainedBank:
    """The bank of one collection with its files, all in memory.

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
        return f"{self.record.collection}@{self.record.version}"

    @property
    def recipe(self) -> BankRecipe:
        """The settings that it was trained with."""
        return self.bank.recipe

    @property
    def vectors(self) -> np.ndarray:
        """What was learned, float32 [N, D]: N vectors of the text encoder's width D.

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

    @overload
    def stylize(
        self,
        photos: PhotoInput,
        *,
        root: str | os.PathLike[str] | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
        control: str | Sequence[str] = (),
        depth_model: str | None = None,
        **settings: Unpack[StylizeSettings],
    ) -> DrawnPicture: ...

    @overload
    def stylize(
        self,
        photos: Iterable[PhotoInput],
        *,
        root: str | os.PathLike[str] | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
        control: str | Sequence[str] = (),
        depth_model: str | None = None,
        **settings: Unpack[StylizeSettings],
    ) -> list[DrawnPicture]: ...

    def stylize(
        self,
        photos: PhotoInput | Iterable[PhotoInput],
        *,
        root: str | os.PathLike[str] | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
        control: str | Sequence[str] = (),
        depth_model: str | None = None,
        **settings: Unpack[StylizeSettings],
    ) -> DrawnPicture | list[DrawnPicture]:
        """Draw one photo, or a list of photos, in the style of this bank.

        A photo is the path or URI of a file, a PIL image, or an array uint8 [H, W, 3] sRGB. A list may also hold
        folders and globs, such as `["photos"]` or `["photos/**/*.jpg"]`.

        Pictures are those that `artbank stylize` writes for the same photo, key, bank, recipe and seed.

        Args:
            photos: One photo, or a list.
            root: Folder that keys are relative to, as those of an archive. The noise of a photo depends on the seed
                and its key, which is the name of its file by default; images and arrays have a hash of their pixels.
            batch_size: Photos that go through the model at once; by default 8, and 16 on CUDA.
            progress: Called with the number of pictures that are done, and their total.
            control: A ControlNet such as `canny=models/canny:0.8`, or several; as `--control` of `artbank stylize`.
            depth_model: Folder, store URI or hub id of the model that estimates depth, for control `depth`.
            settings: Those of `StylizeRecipe`: preset, strength, seed, size, resolution_px and so on.

        Returns:
            One picture for one photo. For a list, one for each photo in order; those that could not be drawn have an
            `error`.

        Raises:
            ConfigError: A setting is unknown or wrong, or a photo is not there; nothing is drawn.
            ImageError: The one photo cannot be drawn.
            BankError: The bank was trained on another base model.
            BaseModelError: A model is missing or damaged, or a ControlNet is for another base model.
        """
        from artbank.api.photo_inputs import find_photo, find_photos, is_photo

        drawing = read_drawing(settings, control, depth_model)
        if not is_photo(photos):
            found = find_photos(photos, root)
            drawn = dict(self._open_drawer(*drawing).draw(found, batch_size, progress))
            return [drawn[number] for number in range(len(found))]
        photo = find_photo(photos, root)
        [(_, picture)] = self._open_drawer(*drawing).draw([photo], batch_size, progress)
        if picture.error is not None:
            raise picture.error
        return picture

    def stylize_each(
        self,
        photos: PhotoInput | Iterable[PhotoInput],
        *,
        root: str | os.PathLike[str] | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
        control: str | Sequence[str] = (),
        depth_model: str | None = None,
        **settings: Unpack[StylizeSettings],
    ) -> Iterator[DrawnPicture]:
        """Yield pictures of many photos as they are finished, so that they are never in memory together.

        Args:
            photos: A folder, a glob, or a list; see `stylize`.
            root: See `stylize`.
            batch_size: See `stylize`.
            progress: See `stylize`.
            control: See `stylize`.
            depth_model: See `stylize`.
            settings: See `stylize`.

        Returns:
            Pictures in the order in which they are finished; `key` names the photo, and `error` says why a photo
            could not be drawn.

        Raises:
            ConfigError, BankError, BaseModelError: See `stylize`.
        """
        from artbank.api.photo_inputs import find_photos

        drawing = read_drawing(settings, control, depth_model)
        found = find_photos(photos, root)
        drawn = self._open_drawer(*drawing).draw(found, batch_size, progress)
        return (picture for _, picture in drawn)

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
            OSError: The file cannot be written.
        """
        store, name = open_folder(path)
        store.write(name, pack_bank(self.record, self.files))
        return store.uri_of(name)

    def register(self, store: str | os.PathLike[str]) -> TrainedBank:
        """Add the bank to the catalog of a store, which is made if it is not there.

        Args:
            store: Folder or URI of the store.

        Returns:
            The bank as it is registered there: with its version. One that was registered before is not added again.

        Raises:
            CatalogError: The catalog cannot be read.
            OSError: The store failed.
        """
        target = Store.open(os.fspath(store))
        record = self._find_in(target) or self._add_to(target)
        return TrainedBank.fetch(target, record, self.config)

    @classmethod
    def fetch(cls, store: Store, record: BankRecord, config: RunConfig) -> TrainedBank:
        """Read a registered bank.

        Raises:
            BankError: Its weights or its reference are missing or damaged.
            OSError: The store failed.
        """
        return cls(record, read_files(store, record), config)

    def _find_in(self, store: Store) -> BankRecord | None:
        banks = Catalog(store).banks(self.record.collection)
        return next((bank for bank in banks if bank.bank_id == self.record.bank_id), None)

    def _add_to(self, store: Store) -> BankRecord:
        record = register_files(store, replace(self.record, created_at=datetime.now(UTC)), self.files)
        refresh(store)
        found = record or self._find_in(store)
        if found is None:
            raise CatalogError(f"{store.uri} has lost bank {self.record.bank_id} while it was registered; try it again")
        return found

    def _open_drawer(
        self, recipe: StylizeRecipe, controls: Sequence[ControlSpec], depth_model: str | None
    ) -> PhotoDrawer:
        from artbank.api.drawing import PhotoDrawer
        from artbank.stylization.style import Style

        style = Style(self.name, ((self.bank, 1.0),), self.reference.palette)
        return PhotoDrawer(self.config, style, self.reference, recipe, controls, depth_model)

    def __repr__(self) -> str:
        """Return its name and its main facts in one line."""
        return f"<TrainedBank {self.name}: {', '.join(f'{k} {v}' for k, v in list_facts(self.record).items())}>"

    def _repr_html_(self) -> str:
        title = f"{self.record.title}, version {self.record.version}"
        return notebook_html.facts(title, list_facts(self.record), self.files.get(PREVIEW))

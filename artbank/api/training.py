"""Train the bank of one collection, as the flow `train_banks` does for all collections of a gallery."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Unpack

from artbank.api.photo_inputs import NamedPhoto, PhotoInput, find_photos, is_path
from artbank.api.places import place_text
from artbank.api.progress import Progress, ProgressOption, open_progress
from artbank.api.settings import ModelSettings, TrainSettings, read_models, read_settings
from artbank.api.trained_bank import TrainedBank
from artbank.catalog.catalog import Catalog
from artbank.catalog.store_places import check_may_hold_banks
from artbank.config import TrainConfig
from artbank.errors import CatalogError, CollectionError, ConfigError
from artbank.gallery.artwork_folders import warn_of_galleries
from artbank.gallery.plan import TrainJob, plan_collections
from artbank.gallery.train import train_collections, wait_and_train
from artbank.images.suffixes import IMAGE_SUFFIXES
from artbank.pages.banks.build import refresh
from artbank.recipes import BankRecipe
from artbank.records.bank_records import BankRecord
from artbank.store.objects import Store
from artbank.store.places import check_apart, check_there

_UNNAMED = "style"


@dataclass(frozen=True)
class _Place:
    """The folder of a collection as a part of a gallery.

    Attributes:
        gallery_uri: The folder that it is in.
        folder: Its name.
        recorded_uri: Where the bank's row says that its artworks are; empty if they were given one by one.
        artworks: Those that were given one by one, which are to be written there.
    """

    gallery_uri: str
    folder: str
    recorded_uri: str
    artworks: tuple[NamedPhoto, ...] = ()

    @classmethod
    def of_folder(cls, uri: str) -> _Place:
        """Return the place of a folder, split into its gallery and its name.

        Raises:
            ConfigError: It is the top of a disk or a bucket.
        """
        collection_uri = Store.open(uri).uri
        gallery_uri, _, folder = collection_uri.rpartition("/")
        if not folder or gallery_uri.endswith(":/"):
            raise ConfigError(f"expected a folder with a name of its own, found {uri}; name a folder in it")
        return cls(gallery_uri or "/", folder, collection_uri)

    def check(self, store: Store) -> None:
        """Check that artworks are there, and that the bank may be stored where it is to be.

        Raises:
            ConfigError: It is not so.
            OSError: A store failed.
        """
        collection = Store.open(self.gallery_uri).child(self.folder)
        check_apart({"collection": collection}, {"store": store})
        check_there(collection, "artworks")
        check_may_hold_banks(store)

    def fill(self) -> None:
        """Write the artworks that were given one by one.

        Raises:
            OSError: One cannot be read.
        """
        gallery = Store.open(self.gallery_uri)
        for number, artwork in enumerate(self.artworks):
            key = f"{self.folder}/{number:05d}-{PurePosixPath(artwork.key).name}"
            if PurePosixPath(key).suffix.lower() in IMAGE_SUFFIXES:
                gallery.write(key, artwork.read())


def train(
    artworks: str | os.PathLike[str] | Sequence[PhotoInput],
    *,
    name: str | None = None,
    store: str | os.PathLike[str] | None = None,
    progress: ProgressOption = None,
    **settings: Unpack[TrainSettings],
) -> TrainedBank:
    """Learn a style from artworks; the same artworks, settings and base model give the same bank.

    With a `store` the bank is registered there, as by `artbank train`: if it is there already, nothing is trained, and
    a training that was interrupted goes on from its last checkpoint. Without one, nothing is kept but what is returned.

    Args:
        artworks: A folder or URI with images, at any depth and with their captions if there are any; or a list of
            paths, globs, folders, PIL images and arrays uint8 [H, W, 3].
        name: Name of the style, if it is not that of the folder.
        store: Folder or URI of a store of banks.
        progress: Called after each step with the steps so far and the most that there can be; training ends earlier
            where the validation loss no longer falls. True shows a bar on standard error, False nothing; by default
            there is a bar at a terminal and in a notebook.
        settings: Those of `BankRecipe` (max_steps, num_tokens, seed and so on), of the models (base_model, device,
            dtype and so on), and `num_samples`, `force` and `allow_missing` of `TrainConfig`.

    Raises:
        ConfigError: A setting is unknown or wrong; there is no such folder; or folder and store overlap.
        CollectionError: There is no artwork that can be read, or too many are missing since the last training.
        BaseModelError: There is no such base model or scorer.
        TrainingError: The loss was not finite, or a checkpoint is damaged.
        CatalogError: The catalog cannot be read, or has lost the bank.
        OSError: A store failed.
    """
    with _open_gallery(artworks, name) as place, _open_store(store) as store_uri:
        config = _read_config(settings, place, store_uri)  # wrong settings are refused before anything is read
        target = Store.open(config.store_uri, is_durable=config.is_durable)
        place.fill()
        place.check(target)
        with open_progress(progress, "step") as report:
            record = _train(config, place, target, report)
        if store is not None:
            refresh(target)
        models = {field: value for field, value in settings.items() if field in ModelSettings.__annotations__}
        return TrainedBank.fetch(target, record, read_models(models, "train"))


def _read_config(settings: TrainSettings, place: _Place, store_uri: str) -> TrainConfig:
    recipe = {field: value for field, value in settings.items() if field in BankRecipe.model_fields}
    others = {field: value for field, value in settings.items() if field not in recipe}
    places = {"gallery_uri": place.gallery_uri, "store_uri": store_uri, "collections": (place.folder,)}
    if wrong := sorted(others.keys() & {*places, "recipe", "dry_run"}):
        raise ConfigError(f"train() takes no {wrong[0]}; pass the folder of the collection, and store=...")
    given: dict[str, Any] = {**others, **places, "recipe": recipe}
    return read_settings(TrainConfig, given, "train", TrainSettings.__annotations__)


def _train(config: TrainConfig, place: _Place, store: Store, progress: Progress) -> BankRecord:
    """Train the collection unless its bank is registered; returns the row."""
    gallery = Store.open(config.gallery_uri)
    plan = plan_collections(config, gallery, store)
    for error in plan.refused.values():
        raise error
    for job in plan.jobs:
        placed = replace(job, collection=replace(job.collection, gallery_uri=place.recorded_uri))
        return _train_job(config, placed, store, progress)
    [(name, bank_id)] = plan.current_ids.items()
    return _find(store, name, bank_id)


def _train_job(config: TrainConfig, job: TrainJob, store: Store, progress: Progress) -> BankRecord:
    def on_step(done: int, most: int, _: float) -> None:
        progress(done, most)

    # Processes would import the caller's script again, which then needs a guard of its main part.
    ends = train_collections(config, [job], on_step, may_start_processes=False)
    ends = ends or wait_and_train(config, [job], on_step, may_start_processes=False)
    for end in ends.values():
        if isinstance(end, Exception):
            raise end
        return end
    return _find(store, job.collection.name, job.bank_id)  # another run has registered it meanwhile


def _find(store: Store, collection: str, bank_id: str) -> BankRecord:
    if bank := Catalog(store).find_bank(collection, bank_id):
        return bank
    raise CatalogError(f"{store.uri} has lost bank {bank_id} of {collection}; train it again")


@contextmanager
def _open_store(store: str | os.PathLike[str] | None) -> Iterator[str]:
    if store is not None:
        yield place_text(store, "the place of a store")
        return
    with tempfile.TemporaryDirectory(prefix="artbank-") as folder:
        yield folder


@contextmanager
def _open_gallery(artworks: str | os.PathLike[str] | Sequence[PhotoInput], name: str | None) -> Iterator[_Place]:
    """Yield the place of a collection; that of artworks in a list is a temporary folder."""
    if is_path(artworks):
        if name is not None:
            raise ConfigError(f"name={name!r} is for a list; a folder's name is that of its style, rename the folder")
        yield _Place.of_folder(os.fspath(artworks))
        return
    folder = _UNNAMED if name is None else name
    if PurePosixPath(folder).name != folder or folder.startswith("."):
        raise ConfigError(f"name={name!r}: expected a name that a folder can have, such as 'monet'")
    photos = tuple(find_photos(artworks))
    if not photos:
        raise CollectionError("expected artworks, found an empty list; give at least one, better 10 or more")
    for uri in dict.fromkeys(photo.folder for photo in photos if photo.folder):
        warn_of_galleries(folder, Store.open(uri), [photo.place for photo in photos if photo.folder == uri])
    with tempfile.TemporaryDirectory(prefix="artbank-") as scratch:
        yield _Place(scratch, folder, "", photos)

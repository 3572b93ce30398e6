"""Models in a store, and their copies on this machine."""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from artbank.diffusion.cache import cache_folder
from artbank.diffusion.checkpoint_kinds import find_kind
from artbank.diffusion.file_hashes import hash_all_files
from artbank.diffusion.hub import CARD_FILES
from artbank.diffusion.weights import SETTINGS_SUFFIXES, hash_base_model, select_files
from artbank.errors import BaseModelError
from artbank.runtime.hashing import short_hash
from artbank.store.objects import Store, StoredObject

logger = logging.getLogger(__name__)

_LOCK_SECONDS = 0.2  # a wait for another process that takes longer is logged


@dataclass(frozen=True)
class LocalCopy:
    """A model in a store, and its copy on this machine.

    Attributes:
        store: The model's place.
        objects: Those that are copied.
        folder: Where the copy is, or will be.
        hash_folder: Returns the hash of a copy's files.
    """

    store: Store
    objects: Sequence[StoredObject]
    folder: Path
    hash_folder: Callable[[Path], str]

    @property
    def checksum_file(self) -> Path:
        """The file with the hash of the copy, beside its folder."""
        return self.folder.with_name(f"{self.folder.name}.sha256")

    def is_intact(self) -> bool:
        """Return whether the copy is there and has the bytes that were fetched; reads only files that changed."""
        if not self.folder.is_dir() or not self.checksum_file.is_file():
            return False
        return self.checksum_file.read_text() == self.hash_folder(self.folder)

    def fetch(self, check: Callable[[Path], None]) -> Path:
        """Copy the model, once, and return the folder; a copy whose bytes have changed since is fetched again.

        Of several processes and threads that fetch it at once, one does, and the others wait for it: none deletes a
        folder that another one loads.

        Args:
            check: Raises a `BaseModelError` if the copied files are not a whole model.

        Raises:
            BaseModelError: See `check`; names the model's place in the store.
            OSError: The store or the disk failed.
        """
        if not self.is_intact():
            with self._lock():
                if not self.is_intact():  # another process may have fetched it meanwhile
                    self._fetch(check)
        return self.folder

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep other processes and threads out of such a block; of a process that ends the lock is free."""
        from huggingface_hub.utils import WeakFileLock

        path = cache_folder() / "locks" / f"{self.folder.name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(WeakFileLock(path, timeout=_LOCK_SECONDS))
            except TimeoutError:
                logger.info("waiting for another process that fetches model %s to %s", self.store.uri, self.folder)
                stack.enter_context(WeakFileLock(path))
            yield

    def _fetch(self, check: Callable[[Path], None]) -> None:
        logger.info("fetching model %s to %s", self.store.uri, self.folder)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=f".{self.folder.name}-") as scratch:
            partial = Path(scratch) / self.folder.name
            for stored in self.objects:
                path = partial / stored.key
                path.parent.mkdir(parents=True, exist_ok=True)
                self.store.download(stored, path)
            self.check(partial, check)
            checksum = self.hash_folder(partial)
            with contextlib.suppress(FileNotFoundError):  # a damaged copy
                self.folder.rename(Path(scratch) / "damaged")
            self.checksum_file.write_text(checksum)  # before the folder: a copy that is there has its checksum
            partial.replace(self.folder)

    def fetch_file(self) -> Path:
        """Copy a single file with its settings, once, and return its path.

        Raises:
            BaseModelError: See `checkpoint_kinds.find_kind`; names the file's place in the store.
            OSError: The store failed.
        """
        name = self.objects[0].key

        def check(folder: Path) -> None:
            find_kind(folder / name)

        return self.fetch(check) / name

    def check(self, folder: Path, check: Callable[[Path], None]) -> None:
        """Check files that are a copy of the model; an error names the model's place instead of their folder.

        Raises:
            BaseModelError: See `fetch`.
        """
        try:
            check(folder)
        except BaseModelError as error:
            raise BaseModelError(str(error).replace(str(folder), self.store.uri)) from error


def plan_copy(store: Store, objects: Sequence[StoredObject], hash_folder: Callable[[Path], str]) -> LocalCopy:
    """Name the folder of the copy of a model after the listing of its files; see `LocalCopy`."""
    listing = json.dumps([(o.key, o.size, o.etag) for o in objects])
    folder = cache_folder() / "models" / short_hash(f"{store.uri} {listing}")
    return LocalCopy(store, objects, folder, hash_folder)


def plan_local_copy(uri: str) -> LocalCopy:
    """List a base model in a store, and name the folder of its copy after the files that are loaded.

    Raises:
        BaseModelError: There is no base model at that URI.
        OSError: The store failed.
    """
    store = Store.open(uri)
    listed = store.list()
    selected = set(select_files([stored.key for stored in listed]))
    objects = [stored for stored in listed if stored.key in selected]
    if not objects:
        raise BaseModelError(
            f"{uri}: expected a Stable Diffusion in diffusers' layout, found no base model; correct the URI"
        )
    copy = plan_copy(store, objects, hash_base_model)
    cards = [stored for stored in listed if stored.key in CARD_FILES]
    return replace(copy, objects=[*objects, *cards])


def plan_file_copy(uri: str) -> LocalCopy:
    """List a single file of a base model in a store, and the settings in a folder of its name beside it.

    Raises:
        BaseModelError: There is no such file.
        OSError: The store failed.
    """
    parent, _, name = uri.rpartition("/")
    store = Store.open(parent)
    stem = name.removesuffix(Path(name).suffix)
    beside = [o for o in store.list(stem + "/") if Path(o.key).suffix in SETTINGS_SUFFIXES]
    file = [o for o in store.list_files() if o.key == name]
    if not file:
        raise BaseModelError(f"{uri}: expected a safetensors file of a base model, found none; correct the URI")
    return plan_copy(store, [*file, *beside], hash_all_files)

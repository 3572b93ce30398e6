"""Fetch a base model to a local folder: from this package, a folder, a store or the hub."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artbank.diffusion.cache import cache_folder, hash_files
from artbank.diffusion.single_file import convert, find_converted, find_kind, is_single_file
from artbank.diffusion.weights import HUB_PATTERNS, MINI, PARTS, SUFFIXES, check_base_model, hash_base_model
from artbank.errors import BaseModelError
from artbank.mini import WEIGHTS
from artbank.runtime.hashing import short_hash
from artbank.store.objects import Store, StoredObject

logger = logging.getLogger(__name__)


def fetch_base_model(source: str, revision: str | None = None) -> Path:
    """Return the local folder of a base model, checked; fetches the model if it is not on this machine.

    Args:
        source: `mini`, a local folder, a store URI such as `s3://models/sd15`, a hub id such as `owner/name`, or a
            single `.safetensors` file, local or in a store.
        revision: Commit, tag or branch of a hub id.

    Raises:
        BaseModelError: There is no such model, or a part of it is missing.
        OSError: The store or the hub failed.
    """
    folder = _locate(source, revision)
    check_base_model(folder)
    return folder


def find_local(source: str, revision: str | None = None) -> Path | None:
    """Return the folder of a base model that is already on this machine, unchecked; None if it is not.

    A store URI costs one listing; a hub id costs no request. A single file counts once it was converted.

    Raises:
        BaseModelError: The source is neither folder, store URI nor hub id.
        OSError: The store failed.
    """
    if is_single_file(source):
        path = _find_file(source)
        return path and find_converted(path)
    if "://" not in source:
        with contextlib.suppress(BaseModelError):
            return _locate(source, revision, local_files_only=True)
        _check_hub_id(source)
        return None
    copy = plan_local_copy(source)
    return copy.folder if copy.is_intact() else None


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
    objects: list[StoredObject]
    folder: Path
    hash_folder: Callable[[Path], str]

    @property
    def checksum_file(self) -> Path:
        """The file with the hash of the copy, beside its folder."""
        return self.folder.with_name(f"{self.folder.name}.sha256")

    def is_intact(self) -> bool:
        """Tell whether the copy is there and has the bytes that were fetched."""
        if not self.folder.is_dir() or not self.checksum_file.is_file():
            return False
        return self.checksum_file.read_text() == self.hash_folder(self.folder)

    def fetch(self, check: Callable[[Path], None]) -> Path:
        """Copy the model, once, and return the folder; a copy whose bytes have changed since is fetched again.

        Args:
            check: Raises a `BaseModelError` if the copied files are not a whole model.

        Raises:
            BaseModelError: See `check`; names the model's place in the store.
            OSError: The store failed.
        """
        if self.is_intact():
            return self.folder
        logger.info("fetching model %s to %s", self.store.uri, self.folder)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=f".{self.folder.name}-") as scratch:
            partial = Path(scratch) / self.folder.name
            for stored in self.objects:
                path = partial / stored.key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.store.read(stored.key))
            self.check(partial, check)
            checksum = self.hash_folder(partial)
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # another process put the same files there first
                partial.replace(self.folder)
        self.checksum_file.write_text(checksum)
        return self.folder

    def fetch_file(self) -> Path:
        """Copy a single file with its settings, once, and return its path.

        Raises:
            BaseModelError: See `single_file.find_kind`; names the file's place in the store.
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


def plan_local_copy(uri: str) -> LocalCopy:
    """List a base model in a store, and name the folder of its copy after that listing.

    Raises:
        BaseModelError: There is no base model at that URI.
        OSError: The store failed.
    """
    store = Store.open(uri)
    objects = [o for o in store.list() if Path(o.key).suffix in SUFFIXES and o.key.split("/")[0] in PARTS]
    if not objects:
        raise BaseModelError(
            f"{uri}: expected a Stable Diffusion in diffusers' layout, found no base model; correct the URI"
        )
    return plan_copy(store, objects, hash_base_model)


def plan_copy(store: Store, objects: list[StoredObject], hash_folder: Callable[[Path], str]) -> LocalCopy:
    """Name the folder of the copy of a model after the listing of its files; see `LocalCopy`."""
    listing = json.dumps([(o.key, o.size, o.etag) for o in objects])
    folder = cache_folder() / "models" / short_hash(f"{store.uri} {listing}")
    return LocalCopy(store, objects, folder, hash_folder)


def _locate(source: str, revision: str | None, *, local_files_only: bool = False) -> Path:
    if source == MINI:
        return WEIGHTS
    if is_single_file(source):
        path = plan_file_copy(source).fetch_file() if "://" in source else _find_file(source)
        if path is None:
            raise BaseModelError(f"base model {source!r} is no file; correct its path")
        return convert(path)
    if Path(source).expanduser().is_dir():
        return Path(source).expanduser().resolve()
    if "://" in source:
        return plan_local_copy(source).fetch(check_base_model)
    _check_hub_id(source)
    return _download_from_hub(source, revision, local_files_only=local_files_only)


def plan_file_copy(uri: str) -> LocalCopy:
    """List a single file of a base model in a store, and the settings in a folder of its name beside it.

    Raises:
        BaseModelError: There is no such file.
        OSError: The store failed.
    """
    parent, _, name = uri.rpartition("/")
    store = Store.open(parent)
    stem = name.removesuffix(Path(name).suffix)
    beside = [o for o in store.list(stem + "/") if Path(o.key).suffix in (".json", ".txt")]
    file = [o for o in store.list_files() if o.key == name]
    if not file:
        raise BaseModelError(f"{uri}: expected a safetensors file of a base model, found none; correct the URI")
    return plan_copy(store, [*file, *beside], hash_files)


def _find_file(source: str) -> Path | None:
    """Return the path of a single file on this machine, or of its copy from a store; None if it is not here."""
    if "://" not in source:
        path = Path(source).expanduser()
        return path.resolve() if path.is_file() else None
    copy = plan_file_copy(source)
    return copy.folder / copy.objects[0].key if copy.is_intact() else None


def _check_hub_id(source: str) -> None:
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise BaseModelError(
            f"base model {source!r} is no folder; expected 'mini', a folder, a single .safetensors file, a store URI "
            "or a hub id owner/name"
        )


def _download_from_hub(source: str, revision: str | None, *, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    options: Any = {"allow_patterns": HUB_PATTERNS, "local_files_only": local_files_only}
    try:
        return Path(snapshot_download(source, revision=revision, **options))
    except LocalEntryNotFoundError as error:
        raise BaseModelError(
            f"base model {source!r} is no folder here, and the hub cannot be reached; pass a folder or a store URI"
        ) from error
    except HfHubHTTPError as error:
        raise BaseModelError(
            f"the hub has no base model {source!r} at revision {revision or 'main'}; correct the id or the revision"
        ) from error

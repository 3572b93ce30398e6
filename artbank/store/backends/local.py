"""Objects as local files."""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, TypeVar

from artbank.runtime.counts import number_text
from artbank.runtime.processes import is_dead
from artbank.store.backends.backend import Backend, ContentHash, ListedObject, copy_file, hash_file, try_read
from artbank.store.backends.exclusive_rename import publish
from artbank.store.backends.flushing import flush_folder
from artbank.store.backends.partial_files import PARTIAL_NAME, partial_file
from artbank.store.skipped import SkippedFiles
from artbank.store.transient_errors import concerns_one_object

logger = logging.getLogger(__name__)

_Item = TypeVar("_Item")
_T = TypeVar("_T")
_NUM_THREADS = 16
_WRITE_ATTEMPTS = 3
_HAS_STATUS_TIME = os.name != "nt"  # there st_ctime is the time of creation


@dataclass(frozen=True)
class LocalBackend:
    """Files below one folder.

    Links below the folder may lead out of it or in circles: listings leave them out, and nothing is read, written or
    deleted through one. The folder itself may be a link, and so may those above it.

    A write first goes to a hidden file beside its target; if the process is killed meanwhile, that file stays behind,
    unlisted. See `exclusive_rename` for how a creation is exclusive.

    Attributes:
        root: The folder.
        is_durable: Flush each file, and the folders that lead to it, to the disk before a write returns. So what is
            written first survives a power cut if what is written later does.
        opened: The folder of the store that this is a folder of; None if that is `root` itself.
    """

    root: Path
    is_durable: bool
    opened: Path | None = None

    def child(self, folder: str) -> LocalBackend:
        """See `Backend.child`."""
        return replace(self, root=self.root / folder, opened=self.opened or self.root)

    def contains(self, other: Backend) -> bool:
        """See `Backend.contains`; follows links, and knows mounts and names that the file system takes as equal."""
        if not isinstance(other, LocalBackend):
            return False
        roots = (self.root, Path(os.path.realpath(self.root)))
        others = (other.root, Path(os.path.realpath(other.root)))
        if any(path.is_relative_to(root) for root in roots for path in others):
            return True
        return any(_is_same_folder(path, self.root) for path in (others[1], *others[1].parents))

    def walk(self, prefix: str, skipped: SkippedFiles | None = None) -> Iterator[ListedObject]:
        """See `Backend.walk`."""
        for key, entry in self._entries(prefix, skipped=skipped):
            try:
                listed = _to_listed(key, entry)
            except OSError as error:  # its folder may be listed, but not entered
                if skipped is None or not concerns_one_object(error):
                    raise
                skipped.add("unreadable", key)
                continue
            if listed is not None:
                yield listed
            elif skipped is not None:
                skipped.add("link" if entry.is_symlink() else "special", key)

    def list_leftovers(self, folders: Iterable[str] | None = None) -> Iterator[ListedObject]:
        """See `Backend.list_leftovers`."""
        entries = self._entries("", with_partial=True) if folders is None else self._entries_directly_in(folders)
        for key, entry in entries:
            match = PARTIAL_NAME.fullmatch(entry.name)
            if match is None or (listed := _to_listed(key, entry)) is None:
                continue
            yield replace(listed, changed_ns=0) if is_dead(match[1], int(match[2], 16)) else listed

    def list_folders(self, prefix: str) -> list[str]:
        """See `Backend.list_folders`; includes empty folders."""
        return [entry.name for entry in self._scan(prefix) if entry.is_dir(follow_symlinks=False)]

    def list_files(self, prefix: str) -> Iterator[ListedObject]:
        """See `Backend.list_files`."""
        for entry in self._scan(prefix):
            if (found := _to_listed(f"{prefix}/{entry.name}".lstrip("/"), entry)) is not None:
                yield found

    def exists(self, key: str) -> bool:
        """See `Backend.exists`."""
        path = self._path(key)
        return path.is_file() and not path.is_symlink()

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes | Exception]:
        """See `Backend.read_many`."""
        return dict(zip(keys, _in_threads(lambda key: try_read(self._read, key), keys), strict=True))

    def copy(self, key: str, target: BinaryIO) -> int:
        """See `Backend.copy`."""
        with self._open(key) as file:
            return copy_file(file, target)

    def abandon_reads(self) -> None:
        """See `Backend.abandon_reads`; does nothing."""

    def hash_many(self, keys: Sequence[str]) -> dict[str, ContentHash | Exception]:
        """See `Backend.hash_many`."""
        return dict(zip(keys, _in_threads(lambda key: try_read(self._hash, key), keys), strict=True))

    def write_many(self, objects: Mapping[str, bytes]) -> None:
        """See `Backend.write_many`."""
        list(_in_threads(lambda item: self._place(*item, self._replace), objects.items()))
        self._flush_folders(objects)

    def create(self, key: str, data: bytes) -> bool:
        """See `Backend.create`."""
        is_created = self._place(key, data, self._publish)
        self._flush_folders([key])  # also if another process was first: it may not have come that far
        return is_created

    def delete_many(self, keys: Sequence[str]) -> None:
        """See `Backend.delete_many`; leaves empty folders behind."""
        list(_in_threads(self._delete, keys))

    def delete_versions(self, key: str) -> bool:
        """See `Backend.delete_versions`; no older versions are kept."""
        self.delete_many([key])
        return False

    def _entries(
        self, prefix: str, *, with_partial: bool = False, skipped: SkippedFiles | None = None
    ) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Yield all files below a folder with their keys."""
        pending = [prefix]
        while pending:
            folder = pending.pop()
            try:
                entries = self._scan(folder, with_partial=with_partial, skipped=skipped)
            except OSError as error:
                if skipped is None or not folder or not concerns_one_object(error):
                    raise
                skipped.add("unreadable", folder)
                continue
            for entry in entries:
                key = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append(key)
                else:
                    yield key, entry

    def _entries_directly_in(self, folders: Iterable[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
        for folder in folders:
            for entry in self._scan(folder, with_partial=True):
                yield f"{folder}/{entry.name}".lstrip("/"), entry

    def _scan(
        self, folder: str, *, with_partial: bool = False, skipped: SkippedFiles | None = None
    ) -> list[os.DirEntry[str]]:
        """List a folder without hidden entries; on request with the partial files of writes."""

        def is_wanted(entry: os.DirEntry[str]) -> bool:
            if not entry.name.startswith("."):
                return True
            return with_partial and PARTIAL_NAME.fullmatch(entry.name) is not None

        try:
            with os.scandir(self._path(f"{folder}/_" if folder else "_").parent) as entries:
                listed_entries = list(entries)
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            if not folder:
                raise  # the store itself is a file: an error that the user must see
            return []
        wanted = [entry for entry in listed_entries if is_wanted(entry)]
        if skipped is not None:
            hidden = [entry.name for entry in listed_entries if entry.name.startswith(".")]
            for name in hidden:
                skipped.add("hidden", f"{folder}/{name}" if folder else name)
            return wanted
        links = [entry.path for entry in wanted if entry.is_symlink()]
        if links:
            logger.warning(
                "left out %s, such as %s; put targets in place of links", number_text(len(links), "link"), links[0]
            )
        return wanted

    def _path(self, key: str) -> Path:
        """Return the path of a file.

        Raises:
            OSError: A folder between the store and the file is a link.
        """
        path = self.root / key
        top = self.opened or self.root
        for folder in itertools.takewhile(lambda above: above != top, path.parents):
            if os.path.islink(folder):  # noqa: PTH114 - a third of the time, and this runs for every file
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))
        return path

    def _hash(self, key: str) -> ContentHash:
        with self._open(key) as file:
            return hash_file(file)

    def _read(self, key: str) -> bytes:
        with self._open(key) as file:
            return file.read()

    @contextlib.contextmanager
    def _open(self, key: str) -> Iterator[BufferedReader]:
        try:
            with open(self._path(key), "rb", opener=_open_no_link) as file:
                yield file
        except NotADirectoryError as error:
            message = "a file has the name of one of its folders"
            raise FileNotFoundError(error.errno, message, str(self.root / key)) from error

    def _place(self, key: str, data: bytes, place: Callable[[Path, str], bool]) -> bool:
        """Write data to a hidden file and give it its name; again if something deletes the hidden file meanwhile.

        A clean-up on another machine takes it for a leftover once it is old: a paused process, a wrong clock.
        """
        target = self._path(key)
        for _ in range(_WRITE_ATTEMPTS - 1):
            with (
                contextlib.suppress(FileNotFoundError),
                partial_file(target, data, is_durable=self.is_durable) as partial,
            ):
                return place(partial, key)
        with partial_file(target, data, is_durable=self.is_durable) as partial:
            return place(partial, key)

    def _replace(self, partial: Path, key: str) -> bool:
        partial.replace(self._path(key))
        return True

    def _publish(self, partial: Path, key: str) -> bool:
        try:
            publish(partial, self._path(key))
        except FileExistsError:
            return False
        return True

    def _flush_folders(self, keys: Iterable[str]) -> None:
        if self.is_durable:
            for folder in {(self.root / key).parent for key in keys}:
                flush_folder(folder)

    def _delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            self._path(key).unlink()


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))


def _to_listed(key: str, entry: os.DirEntry[str]) -> ListedObject | None:
    """Return a directory entry as an object; None for sockets, pipes, devices, and for files deleted meanwhile."""
    try:
        if not entry.is_file(follow_symlinks=False):
            return None
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    status_ns = status.st_ctime_ns if _HAS_STATUS_TIME else None
    return ListedObject(key, status.st_size, None, status.st_mtime_ns, status_ns)


def _is_same_folder(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # one of them does not exist, or may not be entered
        return False


def _in_threads(work: Callable[[_Item], _T], items: Iterable[_Item]) -> Iterator[_T]:
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        yield from pool.map(work, items)

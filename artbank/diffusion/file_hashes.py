"""The SHA-256 of files of models, kept on this machine, so that gigabytes are read once and not in every run.

A kept hash counts only while the file has the same size, the same times and the same inode. A file that changed within
the last seconds is always read: a second change could leave its times as they are.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from artbank.diffusion.cache import cache_folder
from artbank.runtime.hashing import short_hash

_SETTLED_SECONDS = 3.0  # coarser than the times of any file system; FAT has 2 s
_SMALLEST = 1_000_000  # bytes; a smaller file is read faster than its kept hash is worth


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, hex; reads it only if it changed since its hash was kept."""
    path = path.resolve()  # the hub's cache links to the files
    before = path.stat()
    if before.st_size < _SMALLEST:
        return _read(path)
    kept = _kept_file(path)
    state = _state(before)
    if (known := _load(kept, state)) is not None:
        return known
    digest = _read(path)
    is_settled = time.time() - max(before.st_mtime, before.st_ctime) > _SETTLED_SECONDS
    if is_settled and _state(path.stat()) == state:
        _save(kept, {"path": str(path), "state": state, "sha256": digest})
    return digest


def hash_folder(folder: Path, paths: Iterable[Path]) -> str:
    """Return the SHA-256, hex, over the names below a folder and the contents of some of its files."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path.relative_to(folder).as_posix()} {hash_file(path)}\n".encode())
    return total.hexdigest()


def hash_all_files(folder: Path) -> str:
    """Return the SHA-256, hex, over the names and contents of all files below a folder."""
    return hash_folder(folder, (path for path in folder.rglob("*") if path.is_file()))


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _kept_file(path: Path) -> Path:
    return cache_folder() / "hashes" / f"{short_hash(str(path))}.json"


def _load(kept: Path, state: list[int]) -> str | None:
    try:
        cached = json.loads(kept.read_text())
        return str(cached["sha256"]) if cached["state"] == state else None
    except (OSError, ValueError, LookupError, TypeError):  # none, or a damaged one: the file is read
        return None


def _save(kept: Path, entry: dict[str, object]) -> None:
    partial = kept.with_name(f".{kept.name}.{os.getpid()}")
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, and no run
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(entry))
        partial.replace(kept)

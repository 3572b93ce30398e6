"""File systems without hard links: exFAT, FAT, SMB, FUSE."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from artbank.store.backends import exclusive_rename
from artbank.store.objects import Store

# Linux: FAT and exFAT; SMB; sshfs and gcsfuse; Android. macOS has the second for all of them.
WITHOUT_LINKS = [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EMLINK, errno.EINVAL]


def refuse(number: int) -> Any:
    def call(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return call


@pytest.fixture(params=WITHOUT_LINKS, ids=errno.errorcode.__getitem__)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store on a file system that refuses links."""
    monkeypatch.setattr(os, "link", refuse(request.param))
    return Store.open(str(tmp_path))


@pytest.mark.parametrize("can_rename", [True, False])
def test_an_object_is_created_once_and_nothing_is_left(
    store: Store, monkeypatch: pytest.MonkeyPatch, can_rename: bool
) -> None:
    if not can_rename:
        monkeypatch.setattr(exclusive_rename, "_rename_exclusively", refuse(errno.EINVAL))
    assert store.create("folder/a", b"first")
    assert not store.create("folder/a", b"second")
    assert store.create("folder/a", b"first")  # equal bytes: it does not matter who wrote them
    assert store.read("folder/a") == b"first"
    assert os.listdir(Path(store.uri) / "folder") == ["a"]  # noqa: PTH208 - hidden files too


@pytest.mark.parametrize("can_rename", [True, False])
def test_of_many_writers_one_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_rename: bool) -> None:
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    if not can_rename:
        monkeypatch.setattr(exclusive_rename, "_rename_exclusively", refuse(errno.ENOSYS))
    store = Store.open(str(tmp_path))
    won: list[int] = []
    together = threading.Barrier(8)

    def write(number: int) -> None:
        together.wait()
        if store._backend.create("a", bytes([number])):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and store.read("a") == bytes(won)


def test_a_folder_without_rights_is_still_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_link", "_rename_exclusively", "_claim_and_replace"):
        monkeypatch.setattr(exclusive_rename, name, refuse(errno.EACCES))
    with pytest.raises(PermissionError):
        Store.open(str(tmp_path)).create("a", b"1")

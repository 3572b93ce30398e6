"""Tests of artbank.store.backends.fsspec: stores in memory, and whatever else fsspec knows."""

from __future__ import annotations

import time
from collections.abc import ItemsView, Iterator
from datetime import datetime
from typing import Any

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from artbank.store.backends.backend import to_nanoseconds
from artbank.store.objects import Store
from tests.support.bad_servers import failing_server


class ChangingFiles(dict[str, Any]):
    """Files of a file system in memory, to which another thread adds one during the first walk over them."""

    walks = 0

    def items(self) -> ItemsView[str, Any]:
        """Return the names and files, but not in the first walk."""
        self._break_first_walk()
        return super().items()

    def __iter__(self) -> Iterator[str]:
        """Return the names, but not in the first walk."""
        self._break_first_walk()
        return super().__iter__()

    def _break_first_walk(self) -> None:
        self.walks += 1
        if self.walks == 1:
            raise RuntimeError("dictionary changed size during iteration")


def test_a_listing_in_memory_bears_that_others_write_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open("memory://changing")
    for key in ("a/1.txt", "a/b/2.txt"):
        store.write(key, b"text")
    for list_names in (
        lambda: [stored.key for stored in store.scan("a")],
        lambda: [stored.key for stored in store.list_files("a")],
        lambda: store.list_folders("a"),
    ):
        expected = list_names()
        files = ChangingFiles(MemoryFileSystem.store)
        monkeypatch.setattr(MemoryFileSystem, "store", files)
        assert list_names() == expected
        assert files.walks == 2


def test_an_outage_is_not_taken_for_an_object_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: MemoryFileSystem, path: str, **_: Any) -> Any:
        raise ConnectionError("the store is away")

    store = Store.open("memory://outage")
    store.write("folder/there.txt", b"text")
    assert store.exists("folder/there.txt")
    assert not store.exists("folder") and not store.exists("missing.txt")
    monkeypatch.setattr(MemoryFileSystem, "isfile", AbstractFileSystem.isfile)  # as most file systems have it
    monkeypatch.setattr(MemoryFileSystem, "info", refuse)
    with pytest.raises(ConnectionError):
        store.exists("folder/there.txt")


def test_an_outage_of_a_web_server_is_not_taken_for_a_file_that_is_not_there() -> None:
    pytest.importorskip("aiohttp")
    with failing_server({"/photos/gone.jpg": 404, "/photos/withdrawn.jpg": 410, "/photos/there.jpg": 503}) as port:
        archive = Store.open(f"http://127.0.0.1:{port}/photos")
        assert not archive.exists("gone.jpg") and not archive.exists("withdrawn.jpg")
        with pytest.raises(Exception, match="503") as failed:
            archive.exists("there.jpg")
        assert not isinstance(failed.value, FileNotFoundError)
    with pytest.raises(OSError, match="Cannot connect"):
        archive.exists("there.jpg")


@pytest.fixture
def far_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC+9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_zone")
def test_a_listed_time_without_a_zone_is_the_same_on_machines_of_every_zone() -> None:
    assert to_nanoseconds(datetime(1970, 1, 2)) == 86_400 * 10**9

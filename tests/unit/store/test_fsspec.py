"""Tests of artbank.store.backends.fsspec: stores in memory, and whatever else fsspec knows."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator
from typing import Any

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from artbank.store.objects import Store


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

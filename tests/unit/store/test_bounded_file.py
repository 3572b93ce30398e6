"""Small objects that others may have written: one that is far too large never comes into memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from artbank.comparison.unblinding import UnblindingKey
from artbank.errors import ComparisonError
from artbank.pages.banks.build import SITE, build
from artbank.results import known_parts, vacuum
from artbank.results.layout import KNOWN_PARTS
from artbank.results.snapshots import PartListing
from artbank.store.bounded_file import MOST_BYTES, OversizeError
from artbank.store.objects import Store


def test_an_object_within_the_limit_is_read_and_a_larger_one_is_not(store_uri: str) -> None:
    store = Store.open(store_uri)
    store.write_many({"a/b.json": b"12345", "empty": b""})
    assert store.read_small("a/b.json", 5) == store.read_small("a/b.json") == b"12345"
    assert store.read_small("empty", 0) == b""
    with pytest.raises(OversizeError, match=r"a/b\.json: expected at most 4 bytes, found more$"):
        store.read_small("a/b.json", 4)
    with pytest.raises(FileNotFoundError):
        store.read_small("none")


@pytest.fixture
def place(tmp_path: Path) -> Store:
    """A store whose small files have 8 GB each, all zeros, which take no space."""
    for name in (KNOWN_PARTS, SITE, f"results/{vacuum._CHECKED}", f"keys/{'0' * 16}.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("wb") as file:
            file.truncate(2**33)
    return Store.open(str(tmp_path))


def test_far_too_large_files_are_as_damaged_ones(place: Store) -> None:
    tracemalloc.start()
    try:
        assert known_parts.find_deleted(place, PartListing({}, (), {})) == []
        assert vacuum._read_checked(place.child("results")) == {}
        assert build(place).num_written == 1
        with pytest.raises(
            ComparisonError, match="should be an unblinding key, but cannot be read: .*expected at most"
        ):
            UnblindingKey.load(place, "0" * 16)
        assert tracemalloc.get_traced_memory()[1] < 4 * MOST_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("body", [b"[1]", b"3", b"{", b"[" * 100_000])
def test_a_note_of_checked_containers_of_another_form_is_as_none(body: bytes) -> None:
    parts = Store.open("memory://notes-of-another-form")
    parts.write(vacuum._CHECKED, body)
    assert vacuum._read_checked(parts) == {}

"""A group of collections: what is in memory while it trains, and what fails alone."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artbank.catalog.catalog import Catalog
from artbank.config import TrainConfig
from artbank.gallery import train
from artbank.gallery.collections import Artwork, Collection, read_artworks
from artbank.gallery.plan import plan_training
from artbank.gallery.train import train_collections
from artbank.images.codec import resize
from artbank.records.bank_records import BankRecord
from artbank.store.objects import Store
from tests.support.small_inputs import add_collection, training

NAMES = ("ferrante", "novak", "okafor")


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    """A run over three collections."""
    for name in NAMES:
        add_collection(Store.open(str(tmp_path / "gallery")), name, count=3)
    return training(str(tmp_path / "gallery"), str(tmp_path / "store"))


@pytest.mark.faults
def test_no_artwork_is_in_memory_at_its_full_size_while_a_group_trains(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures: list[weakref.ref[np.ndarray]] = []
    alive: list[list[int]] = []

    def read(gallery: Store, collection: Collection, **limits: Any) -> Any:
        gc.collect()
        alive.append(count_alive(pictures))
        artworks, findings = read_artworks(gallery, collection, **limits)
        large = [Artwork(one.key, resize(one.picture, 768, 640)) for one in artworks]
        pictures.extend(weakref.ref(one.picture) for one in large)
        return large, findings

    def look(done: int, most: int, loss: float) -> None:
        gc.collect()
        alive.append(count_alive(pictures))

    monkeypatch.setattr(train, "read_artworks", read)
    ends = train_collections(config, plan_training(config).jobs, look)
    assert [type(end) for end in ends.values()] == [BankRecord] * 3
    assert len(pictures) == 9 and len(alive) == 3 + 3
    assert not any(alive)


def count_alive(pictures: list[weakref.ref[np.ndarray]]) -> list[int]:
    return [number for number, picture in enumerate(pictures) if picture() is not None]


def test_a_collection_that_the_store_refuses_fails_alone(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(gallery: Store, collection: Collection, **limits: Any) -> Any:
        if collection.name == "novak":
            raise PermissionError("not yours")
        return read_artworks(gallery, collection, **limits)

    monkeypatch.setattr(train, "read_artworks", read)
    ends = train_collections(config, plan_training(config).jobs)
    assert [type(ends[name]) for name in NAMES] == [BankRecord, PermissionError, BankRecord]
    assert [bank.collection for bank in Catalog(Store.open(config.store_uri)).banks()] == ["ferrante", "okafor"]


def test_trouble_of_the_store_that_may_heal_ends_the_group_so_that_it_is_tried_again(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(gallery: Store, collection: Collection, **limits: Any) -> Any:
        raise ConnectionResetError("hung up")

    monkeypatch.setattr(train, "read_artworks", read)
    with pytest.raises(ConnectionResetError):
        train_collections(config, plan_training(config).jobs)


def test_what_is_registered_is_not_done_again(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = plan_training(config).jobs
    first = train_collections(config, jobs[:1])
    ends = train_collections(config, jobs)
    assert ends["ferrante"] == first["ferrante"]
    assert list(ends) == list(NAMES)
    monkeypatch.setattr(train, "read_artworks", None)
    assert train_collections(config, jobs) == ends

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from artbank.catalog.catalog import Catalog
from artbank.config import WatchConfig
from artbank.errors import CollectionError, StopRequested
from artbank.gallery.changes import Changes, await_changes, describe_changes, find_changes, mark_reported
from artbank.gallery.collections import list_collections
from artbank.store.objects import Store
from tests.support.rows import bank_record, register


@dataclass
class Place:
    """A gallery and a store, with time that passes only where somebody waits."""

    uri: str
    now: float = 0.0
    uploads: dict[float, str] = field(default_factory=dict)

    @property
    def gallery(self) -> Store:
        return Store.open(f"{self.uri}/gallery")

    @property
    def store(self) -> Store:
        return Store.open(f"{self.uri}/store")

    def config(self, **values: Any) -> WatchConfig:
        places = {"gallery_uri": f"{self.uri}/gallery", "store_uri": f"{self.uri}/store"}
        return WatchConfig.model_validate({**places, "quiet_seconds": 10, "longest_seconds": 100, **values})

    def put(self, key: str, data: bytes = b"picture") -> None:
        self.gallery.write(key, data)

    def train(self, name: str) -> None:
        """Register a bank of what a collection holds now."""
        [found] = list_collections(self.gallery, [name])
        record = bank_record(found.fingerprint[:16], name, fingerprint=found.fingerprint)
        register(Catalog(self.store), record)

    def changed(self, **values: Any) -> list[str]:
        return sorted(self.find(**values).fingerprints)

    def find(self, **values: Any) -> Changes:
        return find_changes(self.config(**values), self.gallery, self.store)

    def tell(self) -> Changes:
        found = self.find()
        mark_reported(self.config(), found)
        return found

    def wait(self, seconds: float, should_stop: Callable[[], bool]) -> None:
        if should_stop():
            raise StopRequested
        self.now += seconds
        for at in [at for at in self.uploads if at <= self.now]:
            self.put(self.uploads.pop(at))

    def watch(self, **values: Any) -> list[str]:
        return sorted(await_changes(self.config(**values), wait=self.wait, clock=lambda: self.now).fingerprints)


@pytest.fixture
def place(store_uri: str) -> Place:
    found = Place(store_uri)
    for name in ("monet", "novak"):
        found.put(f"{name}/1.png")
        found.train(name)
    return found


def test_what_is_trained_did_not_change_by_whichever_recipe(place: Place) -> None:
    assert place.changed() == []


def test_what_was_added_or_altered_changed_until_it_is_trained(place: Place) -> None:
    place.put("monet/2.png")
    place.put("okafor/1.png")
    assert place.changed() == ["monet", "okafor"]
    assert place.changed(collections=["monet", "novak"]) == ["monet"]
    place.train("monet")
    assert place.changed() == ["okafor"]


def test_a_state_is_told_of_once_while_it_is_trained_and_after_that_failed(place: Place) -> None:
    place.put("monet/2.png")
    told = place.tell()
    assert place.changed() == []
    assert place.changed(again=True) == ["monet"]
    place.put("monet/3.png")
    assert place.changed() == ["monet"] and place.find().event_id != told.event_id


def test_a_state_that_comes_back_is_told_of_again_and_only_the_last_note_is_kept(place: Place) -> None:
    place.put("monet/2.png", b"one")
    first = place.tell()
    place.put("monet/2.png", b"another")
    place.tell()
    place.put("monet/2.png", b"one")
    assert place.find() == first
    place.tell()
    assert len(Store.open(f"{place.uri}/store").list("told")) == 1


def test_the_same_news_has_the_same_id_and_tells_places_and_names(place: Place) -> None:
    place.put("monet/2.png")
    found = place.find()
    assert found == place.find()
    told = describe_changes(place.config(), found)
    assert told["collections"] == ["monet"] and told["fingerprints"] == found.fingerprints
    assert told["gallery_uri"] == f"{place.uri}/gallery"
    assert place.find(again=True).event_id != found.event_id


def test_nothing_is_waited_for_where_nothing_changed(place: Place) -> None:
    assert place.watch() == [] and place.now == 0


def test_uploads_are_waited_for_until_all_is_as_it_was_for_long_enough(place: Place) -> None:
    place.put("monet/2.png")
    place.uploads = {10: "monet/3.png", 20: "okafor/1.png", 35: "too/late.png"}
    assert place.watch() == ["monet", "okafor"]
    assert place.now == 30


def test_uploads_that_do_not_end_are_told_of_after_the_longest_time(place: Place) -> None:
    place.put("monet/2.png")
    place.uploads = {10.0 * at: f"monet/new-{at}.png" for at in range(1, 10)}
    assert place.watch(longest_seconds=35) == ["monet"]
    assert place.now == 40


def test_who_is_asked_to_end_waits_no_longer(place: Place) -> None:
    place.put("monet/2.png")
    with pytest.raises(StopRequested):
        await_changes(place.config(quiet_seconds=60), should_stop=lambda: True)


def test_a_gallery_without_a_collection_is_an_error(place: Place) -> None:
    with pytest.raises(CollectionError, match="has no okafor"):
        place.changed(collections=["okafor"])

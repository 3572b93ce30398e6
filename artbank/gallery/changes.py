"""Detect what changed in a gallery since its banks were trained, and report each change once; no model is loaded.

    <store>/told/<collection>/<fingerprint>    this state of the collection was reported; holds the id of the event

A collection has changed when no bank, with any recipe, was trained on its current content. Each state is reported
once, also while its training runs and after that has failed. It is reported again if the collection was in another
state in between, or with `WatchConfig.again`.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from artbank.catalog.catalog import Catalog
from artbank.config import WatchConfig
from artbank.gallery.collections import check_places, list_collections
from artbank.gallery.missing_collections import warn_of_missing
from artbank.runtime.processes import sleep_or_stop
from artbank.store.objects import Store

EVENT = "gallery.changed"
_REPORTED = "told"  # the folder of the marks; the name is older than the word


@dataclass(frozen=True)
class Changes:
    """Collections of a gallery that changed.

    Attributes:
        event_id: Id of the event that reports them.
        fingerprints: Current fingerprint of each collection by its name; see `Collection`.
    """

    event_id: str
    fingerprints: Mapping[str, str]


def find_changes(config: WatchConfig, gallery: Store, store: Store) -> Changes:
    """Find the collections that changed and were not reported yet.

    Args:
        config: The run's configuration.
        gallery: The gallery.
        store: The store of the catalog and of the marks.

    Raises:
        CollectionError: The gallery has no collection, or not one that was asked for.
        CatalogError: A row of the catalog cannot be read.
        OSError: A store failed.
    """
    collections = list_collections(gallery, config.collections, config.skip)
    settled = {(bank.collection, bank.fingerprint) for bank in Catalog(store).banks()}
    if not config.again:
        settled |= _list_reported(store)
    changed = {
        collection.name: collection.fingerprint
        for collection in collections
        if (collection.name, collection.fingerprint) not in settled
    }
    return Changes(_make_event_id(config, changed), changed)


def await_changes(
    config: WatchConfig,
    should_stop: Callable[[], bool] = lambda: False,
    wait: Callable[[float, Callable[[], bool]], None] = sleep_or_stop,
    clock: Callable[[], float] = time.monotonic,
) -> Changes:
    """Find what changed, once it has not changed further for `quiet_seconds`, or after `longest_seconds`.

    Returns at once if nothing changed. Collections that are gone are no change; a warning names them.

    Args:
        config: The run's configuration.
        should_stop: Asked while waiting.
        wait: Waits for a number of seconds.
        clock: Returns the seconds of a monotonic clock.

    Raises:
        StopRequested: `should_stop` returned True.
        ConfigError: Nothing is in the gallery, or gallery and store overlap.
        CollectionError, CatalogError, OSError: See `find_changes`.
    """
    gallery = Store.open(config.gallery_uri)
    store = Store.open(config.store_uri)
    check_places(gallery, store)
    start = clock()
    changes = find_changes(config, gallery, store)
    if not config.collections:
        catalog = Catalog(store)
        warn_of_missing(gallery, catalog, catalog.banks())
    while changes.fingerprints:
        wait(config.quiet_seconds, should_stop)
        before = changes
        changes = find_changes(config, gallery, store)
        is_quiet = changes.fingerprints == before.fingerprints
        if is_quiet or clock() - start >= config.longest_seconds:
            break
    return changes


def describe_changes(config: WatchConfig, changes: Changes) -> dict[str, object]:
    """Return the content of the event, as JSON."""
    return {
        "gallery_uri": config.gallery_uri,
        "store_uri": config.store_uri,
        "collections": sorted(changes.fingerprints),
        "fingerprints": dict(changes.fingerprints),
    }


def mark_reported(config: WatchConfig, changes: Changes) -> None:
    """Mark changes as reported, and delete the marks of other states of these collections.

    Raises:
        OSError: The store failed.
    """
    store = Store.open(config.store_uri)
    keys = {f"{_REPORTED}/{name}/{fingerprint}" for name, fingerprint in changes.fingerprints.items()}
    store.write_many(dict.fromkeys(keys, changes.event_id.encode()))
    marks = [stored.key for name in changes.fingerprints for stored in store.scan(f"{_REPORTED}/{name}")]
    store.delete_many(key for key in marks if key not in keys)


def _list_reported(store: Store) -> set[tuple[str, str]]:
    """Return the collections and fingerprints that were reported."""
    reported = set()
    for stored in store.scan(_REPORTED):
        _, *names = stored.key.split("/")
        reported.add(tuple(names))
    return reported


def _make_event_id(config: WatchConfig, changed: Mapping[str, str]) -> str:
    """Return the same id for the same changes, so that a run that is cut off before the mark reports them once."""
    if config.again:
        return str(uuid.uuid4())
    facts = json.dumps([config.gallery_uri, config.store_uri, sorted(changed.items())])
    return str(uuid.uuid5(uuid.NAMESPACE_URL, facts))

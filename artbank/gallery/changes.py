"""What changed in a gallery since its banks were trained, and who was told of it; no model is loaded.

    <store>/told/<collection>/<fingerprint>    that a collection was told of in this state: the id of the event

A collection changed where no bank of it, by whichever recipe, was trained on what it holds now. It is told of once in
each state: while its training is under way, and after that has failed, the note stays. A state is told of again when
the collection was in another one meanwhile, or with `WatchConfig.again`.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from artbank.catalog.catalog import Catalog
from artbank.config import WatchConfig
from artbank.gallery.collections import list_collections
from artbank.runtime.processes import sleep_or_stop
from artbank.store.objects import Store

EVENT = "gallery.changed"
_TOLD = "told"


@dataclass(frozen=True)
class Changes:
    """Collections of a gallery that changed.

    Attributes:
        event_id: Names the event that tells of them.
        fingerprints: What each collection holds now, by its name; see `Collection`.
    """

    event_id: str
    fingerprints: Mapping[str, str]


def find_changes(config: WatchConfig) -> Changes:
    """Find the collections that changed and were not told of.

    Raises:
        CollectionError: The gallery holds no collection, or not one that was asked for.
        CatalogError: A row of the catalog cannot be read.
        OSError: The store failed.
    """
    store = Store.open(config.store_uri)
    holdings = {
        one.name: one.fingerprint for one in list_collections(Store.open(config.gallery_uri), config.collections)
    }
    known = {(bank.collection, bank.fingerprint) for bank in Catalog(store).banks()}
    told = set() if config.again else {tuple(stored.key.split("/")[1:]) for stored in store.scan(_TOLD)}
    changed = {name: now for name, now in holdings.items() if (name, now) not in known | told}
    return Changes(_name_event(config, changed), changed)


def await_changes(
    config: WatchConfig,
    should_stop: Callable[[], bool] = lambda: False,
    wait: Callable[[float, Callable[[], bool]], None] = sleep_or_stop,
    clock: Callable[[], float] = time.monotonic,
) -> Changes:
    """Find what changed once it stays as it is for `quiet_seconds`, or after `longest_seconds`.

    Where nothing changed it returns at once.

    Args:
        config: The run's.
        should_stop: Asked while it waits.
        wait: Lets so many seconds go by.
        clock: Seconds that only grow.

    Raises:
        StopRequested: It should stop.
        CollectionError, CatalogError, OSError: See `find_changes`.
    """
    start, found = clock(), find_changes(config)
    while found.fingerprints:
        wait(config.quiet_seconds, should_stop)
        before, found = found, find_changes(config)
        if found.fingerprints == before.fingerprints or clock() - start >= config.longest_seconds:
            break
    return found


def describe_changes(config: WatchConfig, changes: Changes) -> dict[str, object]:
    """Return what the event tells, as JSON has it."""
    places = {"gallery_uri": config.gallery_uri, "store_uri": config.store_uri}
    return {**places, "collections": sorted(changes.fingerprints), "fingerprints": dict(changes.fingerprints)}


def mark_reported(config: WatchConfig, changes: Changes) -> None:
    """Note that changes were told of; notes of other states of these collections go.

    Raises:
        OSError: The store failed.
    """
    store = Store.open(config.store_uri)
    keys = {f"{_TOLD}/{name}/{now}" for name, now in changes.fingerprints.items()}
    store.write_many(dict.fromkeys(keys, changes.event_id.encode()))
    older = [stored.key for name in changes.fingerprints for stored in store.scan(f"{_TOLD}/{name}")]
    store.delete_many(key for key in older if key not in keys)


def _name_event(config: WatchConfig, changed: Mapping[str, str]) -> str:
    """Return the same id for the same news: a run that is cut off before its note is not taken for another one."""
    if config.again:
        return str(uuid.uuid4())
    facts = json.dumps([config.gallery_uri, config.store_uri, sorted(changed.items())])
    return str(uuid.uuid5(uuid.NAMESPACE_URL, facts))

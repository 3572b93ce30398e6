"""The catalog: the registered banks, and the default version of each collection.

    catalog/banks/collection=<collection>/<bank_id>.parquet        one row for each registration
    catalog/versions/collection=<collection>/<000001>              the bank_id that holds this version number
    catalog/events/collection=<collection>/<time in ns>-<hash>.parquet    one promotion or retirement

Files are only added, each by a conditional create, so any number of processes can register banks at once without a
lock. `collection` is a column of every row and also the name of its folder, as readers of partitioned tables expect.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Literal

import pyarrow as pa

from artbank.catalog.rows import Row, check_size, damaged_row, parse_row
from artbank.errors import CatalogError
from artbank.records.bank_records import BankEvent, BankRecord
from artbank.runtime.collection_ids import collection_id
from artbank.runtime.hashing import short_hash
from artbank.runtime.name_advice import advise_name
from artbank.runtime.style_names import split_mix, split_version
from artbank.store.delivered import require, require_all
from artbank.store.objects import Store
from artbank.store.parquet import table_bytes

_VERSION = re.compile("[0-9]{6,9}")
_MOST_ID_BYTES = 64


def make_bank_id(*, fingerprint: str, recipe_digest: str, base_model_hash: str, attempt: int = 0) -> str:
    """Return a bank's id: 16 hex digits, the same for the same artworks, recipe and base model.

    Args:
        fingerprint: Fingerprint of the collection's artworks.
        recipe_digest: `BankRecipe.digest()`.
        base_model_hash: Hash of the frozen model's weights.
        attempt: Above 0 for a bank that is trained again although nothing has changed.
    """
    return short_hash(json.dumps([fingerprint, recipe_digest, base_model_hash, attempt]))


@dataclass(frozen=True)
class ReservedVersion:
    """A version number that is kept for one bank, and the registered version before it, if any."""

    number: int
    previous: int | None


class Catalog:
    """The banks of one store."""

    def __init__(self, store: Store):
        """Use the catalog of a store, which may not exist yet."""
        self._root = store.child("catalog")
        self._rows = self._root.child("banks")
        self._events = self._root.child("events")

    def reserve_version(self, collection: str, bank_id: str) -> ReservedVersion:
        """Reserve the next version of a collection for a bank, which keeps it from now on.

        Reserving again gives the same version. A reserved version that is never used leaves a gap in the numbers.
        """
        registered = {stored.key for stored in self._rows.list(_folder(collection))}
        version, owners = self._reserve(collection, bank_id)
        earlier = [
            number for number, owner in owners.items() if number < version and _row_key(collection, owner) in registered
        ]
        return ReservedVersion(version, max(earlier, default=None))

    def register(self, record: BankRecord) -> BankRecord:
        """Add the row of a bank whose version is reserved, or return the row that is there already.

        Raises:
            CatalogError: The bank's row is there and cannot be read.
        """
        key = _row_key(record.collection, record.bank_id)
        if self._rows.create(key, table_bytes(BankRecord.to_table([record]))):
            return record
        return self._parse(BankRecord, self._rows, key, self._rows.read(key))

    def banks(self, collection: str | None = None) -> list[BankRecord]:
        """Return all registered banks, or those of one collection, by collection and version.

        Raises:
            CatalogError: A row cannot be read.
        """
        rows = self._read(BankRecord, self._rows, collection)
        return sorted(rows, key=lambda bank: (bank.collection, bank.version))

    def find_bank(self, collection: str, bank_id: str) -> BankRecord | None:
        """Return the bank of a collection with an id; None if it is not registered.

        Raises:
            CatalogError: A row cannot be read.
        """
        return next((bank for bank in self.banks(collection) if bank.bank_id == bank_id), None)

    def inspect(self) -> tuple[list[BankRecord], dict[str, str]]:
        """Return all banks whose rows can be read, and the reason for each row and event that cannot, by key.

        The keys are those below the store of the catalog.
        """
        faults: dict[str, str] = {}
        banks = self._inspect(BankRecord, "banks", faults)
        self._inspect(BankEvent, "events", faults)
        return sorted(banks, key=lambda bank: (bank.collection, bank.version)), faults

    def table(self) -> pa.Table:
        """Return the rows of `banks()` with a column `status`: `default`, `available` or `retired`.

        Raises:
            CatalogError: A row cannot be read.
        """
        banks = self.banks()
        events: dict[str, list[BankEvent]] = defaultdict(list)
        for event in self._read(BankEvent, self._events):
            events[event.collection].append(event)
        status: list[str] = []
        for collection, group in groupby(banks, key=lambda bank: bank.collection):
            status += _status(list(group), events[collection])
        return BankRecord.to_table(banks).append_column("status", pa.array(status, pa.string()))

    def file_keys(self) -> frozenset[str]:
        """Return the keys of all rows and events; the catalog has changed if and only if they have."""
        return frozenset(stored.key for part in (self._rows, self._events) for stored in part.scan())

    def find(self, name: str) -> BankRecord:
        """Return the bank that is named `COLLECTION@VERSION`, or the default version of `COLLECTION`.

        `COLLECTION` is the id of a collection or its name. A retired version can still be named by its number.

        Raises:
            CatalogError: There is no such collection or version, or all versions of the collection are retired.
        """
        prefix, at, suffix = name.rpartition("@")
        readings = [split_version(name), (name, None), *([(prefix, suffix)] if at else [])]  # `a@b` may be a name
        for collection, version in readings:
            banks = self.banks(collection_id(collection)) if collection else []
            if banks:
                return self._choose(name, banks, version)
        if parts := split_mix(name):
            raise CatalogError(f"expected one bank, found the mix {name}; name one of {', '.join(parts)}")
        banks = self.banks()
        known = ", ".join(sorted({_describe(bank) for bank in banks})) or "no bank yet"
        advice = advise_name(name, {known for bank in banks for known in (bank.collection, bank.title)})
        raise CatalogError(
            f"no bank {name} in {self._root.uri}: there is {known}; train it, or name one of these{advice}"
        )

    def _choose(self, name: str, banks: Sequence[BankRecord], version: str | None) -> BankRecord:
        """Return a version of a collection, the default one when None; `name` is what was asked for."""
        numbers = ", ".join(bank.name for bank in banks)
        if version is None:
            default = _default(banks, self._read(BankEvent, self._events, banks[0].collection))
            if default is None:
                raise CatalogError(f"every version of {name} is retired; promote or name one of {numbers}")
            return default
        for bank in banks:
            if str(bank.version) == version:
                return bank
        raise CatalogError(f"no bank {name} in {self._root.uri}: there is {numbers}; name one of these")

    def default(self, collection: str) -> BankRecord | None:
        """Return the default version of a collection, or None if there is none.

        It is the version that was promoted last, or the highest version if none was promoted; retired versions do not
        count.

        Raises:
            CatalogError: A row cannot be read.
        """
        return _default(self.banks(collection), self._read(BankEvent, self._events, collection))

    def promote(self, name: str) -> BankEvent:
        """Make a version the default of its collection, even if it was retired.

        Raises:
            CatalogError: See `find`.
        """
        return self._add_event(self.find(name), "promote")

    def retire(self, name: str) -> BankEvent:
        """Retire a version, so that it is no longer the default of its collection.

        Raises:
            CatalogError: See `find`.
        """
        return self._add_event(self.find(name), "retire")

    def _reserve(self, collection: str, bank_id: str) -> tuple[int, Mapping[int, str]]:
        """Return the bank's version, and the bank ids of all versions that were reserved before.

        The version is reserved before the bank's row is written. A bank that was interrupted between the two finds its
        version again. A new version is the first free number, so two processes that register the same bank agree on it.
        A file that holds no bank id keeps its number from being used.
        """
        versions = self._root.child("versions", _folder(collection))
        numbers = {stored.key: stored.size for stored in versions.list() if _VERSION.fullmatch(stored.key)}
        small = {number: size for number, size in numbers.items() if size <= _MOST_ID_BYTES}
        read = require_all(versions.read_listed(small))
        owners = {int(number): read.get(number, b"").decode("ascii", "replace") for number in numbers}
        for version, owner in owners.items():
            if owner == bank_id:
                return version, owners
        version = 1 + max(owners, default=0)
        while not versions.create(f"{version:06d}", bank_id.encode()):
            version += 1
        return version, owners

    def _add_event(self, bank: BankRecord, action: Literal["promote", "retire"]) -> BankEvent:
        earlier = self._read(BankEvent, self._events, bank.collection)
        at = max([datetime.now(UTC), *(event.at + timedelta(microseconds=1) for event in earlier)])
        event = BankEvent(bank.collection, bank.version, bank.bank_id, action, at)
        data = table_bytes(BankEvent.to_table([event]))
        since = at - datetime(1970, 1, 1, tzinfo=UTC)
        name = f"{since // timedelta(microseconds=1) * 1000}-{short_hash(data, 8)}"
        self._events.create(f"{_folder(bank.collection)}/{name}.parquet", data)
        return event

    def _read(self, kind: type[Row], store: Store, collection: str | None = None) -> list[Row]:
        sizes = _list_rows(store, collection)
        for key, size in sizes.items():
            check_size(store.uri_of(key), size)
        contents = require_all(store.read_listed(sizes))
        return [self._parse(kind, store, key, contents[key]) for key in sizes]

    def _inspect(self, kind: type[Row], folder: str, faults: dict[str, str]) -> list[Row]:
        """Return the rows of one folder that can be read; add the others to `faults`."""
        store = self._root.child(folder)
        rows: list[Row] = []
        for key, size in _list_rows(store).items():
            try:
                check_size(store.uri_of(key), size)
                rows.append(self._parse(kind, store, key, require(store.read_listed({key: size})[key])))
            except CatalogError as error:
                faults[f"catalog/{folder}/{key}"] = str(error)
        return rows

    def _parse(self, kind: type[Row], store: Store, key: str, data: bytes) -> Row:
        where = store.uri_of(key)
        row = parse_row(kind, data, where)
        folder = key.partition("/")[0]
        if folder != _folder(row.collection) or (kind is BankRecord and key != _row_key(row.collection, row.bank_id)):
            raise damaged_row(where, f"its row belongs to bank {row.bank_id} of {row.collection}")
        return row


def _describe(bank: BankRecord) -> str:
    return bank.collection if bank.title == bank.collection else f"{bank.title} ({bank.collection})"


def _row_key(collection: str, bank_id: str) -> str:
    return f"{_folder(collection)}/{bank_id}.parquet"


def _folder(collection: str) -> str:
    return f"collection={collection}"


def _list_rows(store: Store, collection: str | None = None) -> dict[str, int]:
    """Return the sizes of the files with rows by key."""
    listed = store.list(_folder(collection) if collection else "")
    return {stored.key: stored.size for stored in listed if stored.key.endswith(".parquet")}


def _retired(events: Sequence[BankEvent]) -> set[int]:
    """Return the versions whose last event is a retirement."""
    last_action = {event.version: event.action for event in sorted(events, key=lambda event: event.at)}
    return {version for version, action in last_action.items() if action == "retire"}


def _default(banks: Sequence[BankRecord], events: Sequence[BankEvent]) -> BankRecord | None:
    retired = _retired(events)
    available = {bank.version: bank for bank in banks if bank.version not in retired}
    promotions = [event for event in events if event.action == "promote" and event.version in available]
    if promotions:
        last = sorted(promotions, key=lambda event: event.at)[-1]
        return available[last.version]
    return available[max(available)] if available else None


def _status(banks: Sequence[BankRecord], events: Sequence[BankEvent]) -> list[str]:
    retired = _retired(events)
    default = _default(banks, events)
    status = dict.fromkeys((bank.version for bank in banks), "available")
    status |= dict.fromkeys(retired & status.keys(), "retired")
    if default is not None:
        status[default.version] = "default"
    return [status[bank.version] for bank in banks]

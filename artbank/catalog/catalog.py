"""The catalog: which banks there are, and which one a collection's name stands for.

    catalog/banks/collection=<collection>/<bank_id>.parquet        one row for each registration
    catalog/versions/collection=<collection>/<000001>              the bank_id that holds this version number
    catalog/events/collection=<collection>/<time in ns>-<hash>.parquet    one promotion or retirement
    catalog/snapshots/<hash>.parquet                               the whole table in one file, for many banks

Files are only ever added, each by conditional creation, so any number of processes may register at once without a lock.
`collection` is a column of every row, and the name of its folder: readers take both for the same partition column.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Literal, TypeVar

import pyarrow as pa

from artbank.errors import CatalogError
from artbank.records import BankEvent, BankRecord
from artbank.store.objects import Store
from artbank.store.parquet import read_table, table_bytes

_Row = TypeVar("_Row", BankRecord, BankEvent)
_REQUIRED = {
    BankRecord: ("bank_id", "collection", "version", "created_at", "base_model_hash", "weights_uri", "weights_sha256"),
    BankEvent: ("collection", "version", "bank_id", "action", "at"),
}


def make_bank_id(*, fingerprint: str, recipe_digest: str, base_model_hash: str, attempt: int = 0) -> str:
    """Return 16 hex digits that name a bank by all that it follows from.

    Args:
        fingerprint: Of the collection's artworks.
        recipe_digest: `BankRecipe.digest()`.
        base_model_hash: Of the frozen model's weights.
        attempt: Above 0 for a bank that was trained anew although nothing had changed.
    """
    facts = json.dumps([fingerprint, recipe_digest, base_model_hash, attempt])
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


class Catalog:
    """The banks of one store."""

    def __init__(self, store: Store):
        """Look into `catalog/` of a store; it need not be there yet."""
        self._root = store.child("catalog")
        self._rows, self._events = self._root.child("banks"), self._root.child("events")

    def reserve_version(self, record: BankRecord) -> BankRecord:
        """Return a row with the version that it will be registered under, held for this bank from now on.

        Claiming again gives the same version; a claim that is never used leaves a gap in the numbers.

        Args:
            record: Its `version` and `previous_version` are filled here, whatever they are.
        """
        registered = {stored.key for stored in self._rows.list(_folder(record.collection))}
        version, held = self._claim(record.collection, record.bank_id)
        earlier = (n for n, holder in held.items() if n < version and _row_key(record.collection, holder) in registered)
        return replace(record, version=version, previous_version=max(earlier, default=None))

    def register(self, record: BankRecord) -> BankRecord:
        """Add a bank under the next version of its collection, or return the row that is there already.

        Args:
            record: Its `version` and `previous_version` are filled here, whatever they are.

        Raises:
            CatalogError: The bank's row is there and cannot be read.
        """
        key = _row_key(record.collection, record.bank_id)
        if not self._rows.exists(key):
            row = self.reserve_version(record)
            if self._rows.create(key, table_bytes(BankRecord.to_table([row]))):
                return row
        return self._parse(BankRecord, self._rows, key, self._rows.read(key))

    def banks(self, collection: str | None = None) -> list[BankRecord]:
        """Return all registered banks, or those of one collection, by collection and version.

        Raises:
            CatalogError: A row cannot be read.
        """
        rows = self._read(BankRecord, self._rows, collection)
        return sorted(rows, key=lambda bank: (bank.collection, bank.version))

    def table(self) -> pa.Table:
        """Return the rows of `banks()` with a column `status`: `default`, `available` or `retired`.

        Raises:
            CatalogError: A row cannot be read.
        """
        banks, events = self.banks(), self._read(BankEvent, self._events)
        status: list[str] = []
        for collection, group in groupby(banks, key=lambda bank: bank.collection):
            status += _status(list(group), [event for event in events if event.collection == collection])
        return BankRecord.to_table(banks).append_column("status", pa.array(status, pa.string()))

    def names(self) -> frozenset[str]:
        """Return the names of all rows and events: where they are the same, so is all that the catalog says."""
        return frozenset(stored.key for part in (self._rows, self._events) for stored in part.scan())

    def find(self, name: str) -> BankRecord:
        """Return the bank that `COLLECTION` or `COLLECTION@VERSION` stands for.

        A retired version is still found by its number.

        Raises:
            CatalogError: There is no such collection or version, or the name alone stands for none.
        """
        collection, _, version = name.partition("@")
        banks = self.banks(collection) if collection else []
        if not banks:
            there = ", ".join(sorted({bank.collection for bank in self.banks()})) or "no bank yet"
            raise CatalogError(f"no bank {name} in {self._root.uri}: there is {there}; train it, or name one of these")
        numbers = ", ".join(f"{collection}@{bank.version}" for bank in banks)
        if not version and "@" not in name:
            default = _default(banks, self._read(BankEvent, self._events, collection))
            if default is None:
                raise CatalogError(f"every version of {name} is retired; promote or name one of {numbers}")
            return default
        for bank in banks:
            if str(bank.version) == version:
                return bank
        raise CatalogError(f"no bank {name} in {self._root.uri}: there is {numbers}; name one of these")

    def default(self, collection: str) -> BankRecord | None:
        """Return the bank that a collection's name stands for, or None where there is none.

        It is the version promoted last, among those not retired; without a promotion the highest one not retired.

        Raises:
            CatalogError: A row cannot be read.
        """
        return _default(self.banks(collection), self._read(BankEvent, self._events, collection))

    def promote(self, name: str) -> BankEvent:
        """Let a collection's name stand for this version, also where it was retired.

        Raises:
            CatalogError: See `find`.
        """
        return self._add_event(self.find(name), "promote")

    def retire(self, name: str) -> BankEvent:
        """Let a collection's name no longer stand for this version.

        Raises:
            CatalogError: See `find`.
        """
        return self._add_event(self.find(name), "retire")

    def compact(self) -> str:
        """Write the whole table into one file of its own and return its key; the rows stay as they are.

        Raises:
            CatalogError: A row cannot be read.
        """
        data = table_bytes(self.table())
        key = f"snapshots/{hashlib.sha256(data).hexdigest()[:16]}.parquet"
        self._root.create(key, data)
        return f"catalog/{key}"

    def _claim(self, collection: str, bank_id: str) -> tuple[int, dict[int, str]]:
        # A number is claimed before the row that bears it is written: a claim that this bank made before it was
        # interrupted is taken up again, and numbers are tried upwards one by one, so that two who register the same
        # bank meet at the same claim.
        claims = self._root.child("versions", _folder(collection))
        numbers = [stored.key for stored in claims.list() if stored.key.isdigit()]
        held = {int(number): data.decode() for number, data in _fetch(claims, numbers).items()}
        for version, holder in held.items():
            if holder == bank_id:
                return version, held
        version = 1 + max(held, default=0)
        while not claims.create(f"{version:06d}", bank_id.encode()):
            version += 1
        return version, held

    def _add_event(self, bank: BankRecord, action: Literal["promote", "retire"]) -> BankEvent:
        earlier = self._read(BankEvent, self._events, bank.collection)
        at = max([datetime.now(UTC), *(event.at + timedelta(microseconds=1) for event in earlier)])
        event = BankEvent(bank.collection, bank.version, bank.bank_id, action, at)
        data = table_bytes(BankEvent.to_table([event]))
        since = at - datetime(1970, 1, 1, tzinfo=UTC)
        name = f"{since // timedelta(microseconds=1) * 1000}-{hashlib.sha256(data).hexdigest()[:8]}"
        self._events.create(f"{_folder(bank.collection)}/{name}.parquet", data)
        return event

    def _read(self, kind: type[_Row], store: Store, collection: str | None = None) -> list[_Row]:
        keys = [
            stored.key
            for stored in store.list(_folder(collection) if collection else "")
            if stored.key.endswith(".parquet")
        ]
        found = _fetch(store, keys)
        return [self._parse(kind, store, key, found[key]) for key in keys]

    def _parse(self, kind: type[_Row], store: Store, key: str, data: bytes) -> _Row:
        where = store.uri_of(key)
        try:
            rows = kind.from_table(read_table(data, kind.SCHEMA))
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise _damaged(where, f"it is no readable Parquet file of that kind ({error})") from error
        if len(rows) != 1:
            raise _damaged(where, f"it holds {len(rows)} rows")
        [row] = rows
        lacking = [name for name in _REQUIRED[kind] if getattr(row, name) is None]
        if lacking:
            raise _damaged(where, f"it lacks {', '.join(lacking)}")
        folder = key.partition("/")[0]
        if folder != _folder(row.collection) or (kind is BankRecord and key != _row_key(row.collection, row.bank_id)):
            raise _damaged(where, f"its row is that of bank {row.bank_id} of {row.collection}")
        return row


def _row_key(collection: str, bank_id: str) -> str:
    return f"{_folder(collection)}/{bank_id}.parquet"


def _folder(collection: str) -> str:
    return f"collection={collection}"


def _damaged(where: str, found: str) -> CatalogError:
    return CatalogError(
        f"{where} should hold one row of the catalog, but {found}; "
        "restore the file, or move it out of the catalog (a bank without its row is registered anew by training)"
    )


def _fetch(store: Store, keys: Iterable[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for key, data in store.read_many(list(keys)).items():
        if isinstance(data, Exception):
            raise data
        found[key] = data
    return found


def _retired(events: Sequence[BankEvent]) -> set[int]:
    last = {event.version: event.action for event in sorted(events, key=lambda event: event.at)}
    return {version for version, action in last.items() if action == "retire"}


def _default(banks: Sequence[BankRecord], events: Sequence[BankEvent]) -> BankRecord | None:
    retired = _retired(events)
    standing = {bank.version: bank for bank in banks if bank.version not in retired}
    promoted = sorted(
        (e for e in events if e.action == "promote" and e.version in standing), key=lambda event: event.at
    )
    if promoted:
        return standing[promoted[-1].version]
    return standing[max(standing)] if standing else None


def _status(banks: Sequence[BankRecord], events: Sequence[BankEvent]) -> list[str]:
    retired, default = _retired(events), _default(banks, events)
    return ["retired" if bank.version in retired else "default" if bank == default else "available" for bank in banks]

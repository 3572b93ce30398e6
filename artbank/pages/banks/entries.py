"""The sources of the bank pages: the catalog's rows, and each bank's album and history."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from artbank.bank.history import History
from artbank.catalog.album import ALBUM, COVER, Album
from artbank.catalog.bank_files import HISTORY, PREVIEW, bank_folder, file_key, files_id
from artbank.catalog.catalog import Catalog
from artbank.errors import BankError
from artbank.pages.publishing import INDEX
from artbank.records.bank_records import BankRecord
from artbank.store.bounded_file import MOST_BYTES
from artbank.store.delivered import require_all
from artbank.store.objects import Store, StoredObject

logger = logging.getLogger(__name__)

_SHOWN = (ALBUM, HISTORY, PREVIEW, COVER)


@dataclass(frozen=True)
class Entry:
    """A registered bank.

    Attributes:
        record: Its row in the catalog.
        status: `default`, `available` or `retired`.
        etags: ETags of its album, history and pictures, by file name.
    """

    record: BankRecord
    status: str
    etags: Mapping[str, str]

    @property
    def cover(self) -> str | None:
        """File name of its cover picture; None without one."""
        return next((name for name in (COVER, PREVIEW) if name in self.etags), None)

    @property
    def files_root(self) -> str:
        """Relative path from the bank's page to the folder of its files; empty or ends with a slash."""
        return f"{files_id(self.record)}/".lstrip("/")

    def key(self, name: str = INDEX) -> str:
        """Return the key of one of the bank's files; by default of its page."""
        return page_key(self.record) if name == INDEX else file_key(self.record, name)


@dataclass(frozen=True)
class BankDetails:
    """A bank's album and history; None if missing or unreadable."""

    album: Album | None = None
    history: History | None = None


def page_key(record: BankRecord) -> str:
    """Return the key of a bank's page in its store."""
    return f"{bank_folder(record.collection, record.bank_id)}/{INDEX}"


def read_entries(store: Store, listed: Mapping[str, StoredObject]) -> list[Entry]:
    """Return all banks of a store, sorted by collection and version; reads the catalog once.

    Args:
        store: The store.
        listed: Objects below `banks/` in it, by key.

    Raises:
        CatalogError: A row cannot be read.
    """
    table = Catalog(store).table()
    rows = zip(BankRecord.from_table(table), table["status"].to_pylist(), strict=True)
    return [Entry(record, status, _etags(record, listed)) for record, status in rows]


def read_details(store: Store, entries: Sequence[Entry]) -> dict[str, BankDetails]:
    """Fetch the albums and histories of banks, by bank id; logs and skips unreadable ones.

    Raises:
        OSError: The store failed.
    """
    keys = [entry.key(name) for entry in entries for name in (ALBUM, HISTORY) if name in entry.etags]
    contents = require_all(store.read_many(keys))  # they are listed, so another run may read what this one cannot
    return {
        entry.record.bank_id: BankDetails(
            _parse_album(store, entry.key(ALBUM), contents), _parse_history(store, entry.key(HISTORY), contents)
        )
        for entry in entries
    }


def _etags(record: BankRecord, listed: Mapping[str, StoredObject]) -> dict[str, str]:
    keys = {name: file_key(record, name) for name in _SHOWN}
    listed_keys = {name: listed[key] for name, key in keys.items() if key in listed}
    for stored in listed_keys.values():
        if stored.size > MOST_BYTES:
            logger.warning(
                "the page omits %s: expected at most %d bytes, found %d", stored.key, MOST_BYTES, stored.size
            )
    return {name: stored.etag for name, stored in listed_keys.items() if stored.size <= MOST_BYTES}


def _parse_album(store: Store, key: str, contents: Mapping[str, bytes]) -> Album | None:
    try:
        return Album.from_bytes(contents[key]) if key in contents else None
    except BankError as error:
        logger.warning("the page omits %s: %s", store.uri_of(key), error)
        return None


def _parse_history(store: Store, key: str, contents: Mapping[str, bytes]) -> History | None:
    try:
        history = History.parse(contents[key].decode()) if key in contents else None
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        logger.warning("the page omits %s: expected a training history, found %s", store.uri_of(key), error)
        return None
    return history if history is not None and history.validation else None

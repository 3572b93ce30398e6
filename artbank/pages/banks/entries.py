"""What the pages are made from: the catalog's rows, and what is kept beside each bank."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from artbank.bank.checkpoint import History
from artbank.catalog.album import ALBUM, COVER, Album
from artbank.catalog.bank_files import HISTORY, PREVIEW, bank_key
from artbank.catalog.catalog import Catalog
from artbank.errors import BankError
from artbank.pages.publishing import INDEX
from artbank.records import BankRecord
from artbank.store.objects import Store, StoredObject

logger = logging.getLogger(__name__)

_SHOWN = (ALBUM, HISTORY, PREVIEW, COVER)


@dataclass(frozen=True)
class Entry:
    """A registered bank.

    Attributes:
        record: Its row.
        status: `default`, `available` or `retired`.
        etags: Of what is kept beside it for people, by name.
    """

    record: BankRecord
    status: str
    etags: Mapping[str, str]

    @property
    def name(self) -> str:
        """What a style is asked for by."""
        return f"{self.record.collection}@{self.record.version}"

    @property
    def cover(self) -> str | None:
        """Name of the picture that stands for it, beside it."""
        return next((name for name in (COVER, PREVIEW) if name in self.etags), None)

    def key(self, name: str = INDEX) -> str:
        """Return where a file of the bank lives in its store; its page by default."""
        return bank_key(self.record.collection, self.record.bank_id, name)


@dataclass(frozen=True)
class Kept:
    """What is kept beside a bank; None where there is none, or where it cannot be read."""

    album: Album | None = None
    history: History | None = None


def page_key(record: BankRecord) -> str:
    """Return where a bank's page lives in its store."""
    return bank_key(record.collection, record.bank_id, INDEX)


def read_entries(store: Store, listed: Mapping[str, StoredObject]) -> list[Entry]:
    """Return all banks of a store by collection and version, with one reading of its catalog.

    Args:
        store: The store.
        listed: What is below `banks/` in it, by key.

    Raises:
        CatalogError: A row cannot be read.
    """
    table = Catalog(store).table()
    rows = zip(BankRecord.from_table(table), table["status"].to_pylist(), strict=True)
    return [Entry(record, status, _etags(record, listed)) for record, status in rows]


def read_kept(store: Store, entries: Sequence[Entry]) -> dict[str, Kept]:
    """Fetch what is kept beside some banks, by their ids; what cannot be read is logged and left out.

    Raises:
        OSError: The store failed.
    """
    keys = [entry.key(name) for entry in entries for name in (ALBUM, HISTORY) if name in entry.etags]
    found: dict[str, bytes] = {}
    for key, data in store.read_many(keys).items():
        if isinstance(data, Exception) and not isinstance(data, FileNotFoundError):
            raise data
        if isinstance(data, bytes):
            found[key] = data
    return {
        entry.record.bank_id: Kept(
            _parse_album(store, entry.key(ALBUM), found), _parse_history(store, entry.key(HISTORY), found)
        )
        for entry in entries
    }


def read_recipe(record: BankRecord) -> dict[str, Any]:
    """Return a bank's recipe as it was registered, empty where that makes no sense."""
    try:
        recipe = json.loads(record.recipe)
    except (ValueError, TypeError, RecursionError):
        return {}
    return recipe if isinstance(recipe, dict) else {}


def _etags(record: BankRecord, listed: Mapping[str, StoredObject]) -> dict[str, str]:
    keys = {name: bank_key(record.collection, record.bank_id, name) for name in _SHOWN}
    return {name: listed[key].etag for name, key in keys.items() if key in listed}


def _parse_album(store: Store, key: str, found: Mapping[str, bytes]) -> Album | None:
    try:
        return Album.from_bytes(found[key]) if key in found else None
    except BankError as error:
        logger.warning("%s is left out of its page: %s", store.uri_of(key), error)
        return None


def _parse_history(store: Store, key: str, found: Mapping[str, bytes]) -> History | None:
    try:
        history = History.parse(found[key].decode()) if key in found else None
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        logger.warning("%s is left out of its page: it is no history (%s)", store.uri_of(key), error)
        return None
    return history if history is not None and history.validation else None

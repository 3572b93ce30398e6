"""Register a bank that a program holds in the catalog of a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from artbank.catalog.catalog import Catalog
from artbank.catalog.registration import register_files
from artbank.catalog.store_places import check_may_hold_banks
from artbank.errors import CatalogError
from artbank.pages.banks.build import refresh
from artbank.records.bank_records import BankRecord
from artbank.store.objects import Store


def register_bank(store: Store, record: BankRecord, files: Mapping[str, bytes]) -> BankRecord:
    """Add a bank to the catalog of a store, unless it is there; returns its row there, which has its version.

    Args:
        store: Is made if it is not there.
        record: Its row.
        files: Its files by name.

    Raises:
        ConfigError: The place holds pages of another store, or an output.
        CatalogError: The catalog cannot be read.
        OSError: The store failed.
    """
    check_may_hold_banks(store)
    catalog = Catalog(store)
    if known := catalog.find_bank(record.collection, record.bank_id):
        return known
    added = register_files(store, replace(record, created_at=datetime.now(UTC)), files)
    refresh(store)
    if found := added or catalog.find_bank(record.collection, record.bank_id):
        return found
    raise CatalogError(f"{store.uri} has lost bank {record.bank_id} while it was registered; try it again")

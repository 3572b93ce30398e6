"""Add a bank with its files to a catalog."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from artbank.catalog.bank_files import BANK, CARD, PREVIEW, bank_folder, file_key, hash_files
from artbank.catalog.catalog import Catalog, ReservedVersion
from artbank.records.bank_records import BankRecord
from artbank.report.bank_card import bank_card
from artbank.runtime.hashing import full_hash
from artbank.store.objects import Store

logger = logging.getLogger(__name__)


def register_files(store: Store, record: BankRecord, files: Mapping[str, bytes]) -> BankRecord | None:
    """Reserve a bank's version, write its files and its card, then its row.

    Args:
        store: Store of the catalog.
        record: The bank's row. Its version, the one before it and the place of its weights are set here.
        files: All files of the bank but its card, by name.

    Returns:
        The row; None if another process was first to register the bank. Then the files are deleted again.

    Raises:
        OSError: The store failed.
    """
    version = Catalog(store).reserve_version(record.collection, record.bank_id)
    placed = _place(store, record, version, files)
    preview = PREVIEW if PREVIEW in files else None
    card = bank_card(placed, "available", preview).encode()
    keys = {file_key(placed, name): body for name, body in {**files, CARD: card}.items()}
    store.write_many(keys)
    registered = Catalog(store).register(placed)
    if file_key(registered) != file_key(placed):
        logger.warning("%s: another run has registered bank %s", placed.collection, placed.bank_id)
        store.delete_many(keys)
        return None
    logger.info("registered %s@%d, bank %s", registered.collection, registered.version, registered.bank_id)
    return registered


def _place(store: Store, record: BankRecord, version: ReservedVersion, files: Mapping[str, bytes]) -> BankRecord:
    digests = {name: full_hash(body) for name, body in files.items()}
    folder = f"{bank_folder(record.collection, record.bank_id)}/{hash_files(digests, record.created_at)}"
    return replace(
        record,
        version=version.number,
        previous_version=version.previous,
        weights_uri=store.uri_of(f"{folder}/{BANK}"),
        weights_sha256=digests[BANK],
    )

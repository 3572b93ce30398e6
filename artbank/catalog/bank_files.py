"""The files of banks in a store, and how a registered bank is fetched.

banks/<collection>/<bank_id>/bank.safetensors       the bank
                             reference.safetensors  what its collection looks like to the scorer
                             history.json           losses
                             preview.jpg, card.md   for people
                             album.json, album/     what its page shows, see `album`
                             index.html             its page, see `site`
checkpoints/<collection>/<bank_id>.safetensors      while it trains, gone afterwards
                         <bank_id>.lease-000001     likewise: who trains it, see `leases`
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artbank.errors import BankError
from artbank.records import BankRecord
from artbank.store.objects import Store

if TYPE_CHECKING:  # both load torch, which cards and pages do without
    from artbank.bank.bank import Bank
    from artbank.scoring.style_reference import StyleReference

BANK, REFERENCE, HISTORY, PREVIEW, CARD = (
    "bank.safetensors",
    "reference.safetensors",
    "history.json",
    "preview.jpg",
    "card.md",
)


def bank_key(collection: str, bank_id: str, name: str = BANK) -> str:
    """Return where a file of a bank lives in its store."""
    return f"banks/{collection}/{bank_id}/{name}"


def load_bank(store: Store, record: BankRecord) -> Bank:
    """Fetch a registered bank and check that its bytes are those that were registered.

    Raises:
        BankError: It is missing, damaged, or not what was registered.
        OSError: The store failed.
    """
    from artbank.bank.bank import Bank

    data, key = _read(store, record, BANK), bank_key(record.collection, record.bank_id)
    if hashlib.sha256(data).hexdigest() != record.weights_sha256:
        raise BankError(
            f"bank {record.collection}@{record.version}: {key} is not the file that was registered; "
            "restore it, or train again with force"
        )
    return Bank.from_bytes(data)


def load_reference(store: Store, record: BankRecord) -> StyleReference:
    """Fetch what a registered bank's collection looks like to the scorer.

    Raises:
        BankError: It is missing or damaged.
        OSError: The store failed.
    """
    from artbank.scoring.style_reference import StyleReference

    return StyleReference.from_bytes(_read(store, record, REFERENCE))


def load_card(store: Store, record: BankRecord) -> str:
    """Fetch a registered bank's card, Markdown.

    Raises:
        BankError: It is missing.
        OSError: The store failed.
    """
    return _read(store, record, CARD).decode()


@dataclass(frozen=True)
class CheckpointFile:
    """The place of one training's checkpoint; see `training.Keeper`."""

    store: Store
    collection: str
    bank_id: str

    @property
    def name(self) -> str:
        """What the key of everything about this training starts with."""
        return f"checkpoints/{self.collection}/{self.bank_id}"

    @property
    def key(self) -> str:
        """Its key in the store."""
        return f"{self.name}.safetensors"

    def load(self) -> bytes | None:
        """Return the newest checkpoint, or None where there is none."""
        try:
            return self.store.read(self.key)
        except FileNotFoundError:
            return None

    def save(self, data: bytes) -> None:
        """Replace the checkpoint."""
        self.store.write(self.key, data)

    def delete(self) -> None:
        """Forget it."""
        self.store.delete_many([self.key])


def _read(store: Store, record: BankRecord, name: str) -> bytes:
    key = bank_key(record.collection, record.bank_id, name)
    try:
        return store.read(key)
    except FileNotFoundError as error:
        raise BankError(
            f"bank {record.collection}@{record.version}: {key} is gone from the store; train it again"
        ) from error

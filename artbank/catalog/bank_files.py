"""The files of banks in a store, and how a registered bank is fetched.

banks/<collection>/<bank_id>/bank.safetensors       the bank
                             reference.safetensors  its collection as the scorer sees it
                             history.json           losses
                             preview.jpg, card.md   for people
                             album.json, album/     small pictures and facts for its page, see `album`
                             index.html             its page, see `pages.banks`
checkpoints/<collection>/<bank_id>.safetensors      during training only: the checkpoint
                         <bank_id>.lease-000001     during training only: the lease of the run that trains it
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

BANK = "bank.safetensors"
REFERENCE = "reference.safetensors"
HISTORY = "history.json"
PREVIEW = "preview.jpg"
CARD = "card.md"


def bank_key(collection: str, bank_id: str, name: str = BANK) -> str:
    """Return the key of a file of a bank."""
    return f"banks/{collection}/{bank_id}/{name}"


def load_bank(store: Store, record: BankRecord) -> Bank:
    """Fetch a registered bank, and check that its bytes are those that were registered.

    Raises:
        BankError: The bank's file is missing or damaged, or is not the one that was registered.
        OSError: The store failed.
    """
    from artbank.bank.bank import Bank

    data = _read(store, record, BANK)
    key = bank_key(record.collection, record.bank_id)
    if hashlib.sha256(data).hexdigest() != record.weights_sha256:
        raise BankError(
            f"bank {record.collection}@{record.version}: {key} is not the file that was registered; "
            "restore it, or train again with force"
        )
    return Bank.from_bytes(data)


def load_reference(store: Store, record: BankRecord) -> StyleReference:
    """Fetch the style reference of a registered bank's collection.

    Raises:
        BankError: The reference is missing or damaged.
        OSError: The store failed.
    """
    from artbank.scoring.style_reference import StyleReference

    return StyleReference.from_bytes(_read(store, record, REFERENCE))


def load_card(store: Store, record: BankRecord) -> str:
    """Fetch the card of a registered bank, in Markdown.

    Raises:
        BankError: The card is missing.
        OSError: The store failed.
    """
    return _read(store, record, CARD).decode()


@dataclass(frozen=True)
class CheckpointFile:
    """The file of one bank's checkpoint in the store; see `bank.checkpoint.CheckpointIO`."""

    store: Store
    collection: str
    bank_id: str

    @property
    def name(self) -> str:
        """Start of the keys of this checkpoint and of the leases of its training."""
        return f"checkpoints/{self.collection}/{self.bank_id}"

    @property
    def key(self) -> str:
        """Key in the store."""
        return f"{self.name}.safetensors"

    def load(self) -> bytes | None:
        """Return the newest checkpoint, or None if there is none."""
        try:
            return self.store.read(self.key)
        except FileNotFoundError:
            return None

    def save(self, data: bytes) -> None:
        """Replace the checkpoint."""
        self.store.write(self.key, data)

    def delete(self) -> None:
        """Delete the checkpoint, if there is one."""
        self.store.delete_many([self.key])


def _read(store: Store, record: BankRecord, name: str) -> bytes:
    key = bank_key(record.collection, record.bank_id, name)
    try:
        return store.read(key)
    except FileNotFoundError as error:
        raise BankError(
            f"bank {record.collection}@{record.version}: {key} is gone from the store; train it again"
        ) from error

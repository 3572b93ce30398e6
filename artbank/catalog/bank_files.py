"""The files of banks in a store, and how a registered bank is fetched.

banks/<collection>/<bank_id>/<files_id>/bank.safetensors       the bank
                                        reference.safetensors  its collection as the scorer sees it
                                        history.json           losses
                                        preview.jpg, card.md   for people
                                        album.json, album/     small pictures and facts for its page, see `album`
                             index.html                        its page, see `pages.banks`
checkpoints/<collection>/<bank_id>.safetensors      during training only: the checkpoint
                         <bank_id>.lease-000001     during training only: the lease of the run that trains it

`files_id` is a hash of the files, and the bank's row names it in `weights_uri`. Two processes that register the same
bank write to different folders, so neither can change what the other's row names; only one row is created. Older
versions had no such folder: their files lie beside the page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from artbank.catalog.album import ALBUM
from artbank.errors import BankError
from artbank.records.bank_records import BankRecord
from artbank.runtime.hashing import full_hash, short_hash
from artbank.store.objects import Store
from artbank.store.tensor_files import parse_header

if TYPE_CHECKING:  # two of them load torch, which cards and pages do without
    from artbank.bank.bank_file import BankFile
    from artbank.bank.lora_bank import AnyBank
    from artbank.scoring.style_reference import StyleReference

BANKS = "banks"
CHECKPOINTS = "checkpoints"
BANK = "bank.safetensors"
REFERENCE = "reference.safetensors"
HISTORY = "history.json"
PREVIEW = "preview.jpg"
CARD = "card.md"

_ALBUM_PICTURE = re.compile(r"album/[A-Za-z0-9_-]{1,64}\.webp")
_FILES_ID = re.compile(r"[0-9a-f]{16}")


def hash_files(digests: Mapping[str, str], created_at: datetime) -> str:
    """Return the `files_id` of a bank, 16 hex digits.

    Args:
        digests: SHA-256, hex, of each file by name, without the card: its text names the folder.
        created_at: When the bank was registered; the card tells it.
    """
    lines = [f"{digest} {name}" for name, digest in sorted(digests.items())]
    return short_hash("\n".join([created_at.isoformat(), *lines]))


def bank_folder(collection: str, bank_id: str) -> str:
    """Return the folder of a bank's page and files."""
    return f"{BANKS}/{collection}/{bank_id}"


def files_id(record: BankRecord) -> str:
    """Return the name of the folder with a registered bank's files; empty for banks of older versions."""
    name = record.weights_uri.removesuffix(f"/{BANK}").rpartition("/")[2]
    return name if name != record.bank_id and _FILES_ID.fullmatch(name) else ""


def file_key(record: BankRecord, name: str = BANK) -> str:
    """Return the key of a file of a registered bank."""
    return "/".join(part for part in (bank_folder(record.collection, record.bank_id), files_id(record), name) if part)


def read_files(store: Store, record: BankRecord) -> dict[str, bytes]:
    """Fetch all files of a registered bank by name, but its card, which tells its place, and its page.

    Raises:
        BankError: The weights or the reference are missing or damaged.
        OSError: The store failed.
    """
    folder = file_key(record).removesuffix(BANK)
    listed = [stored.key.removeprefix(folder) for stored in store.list(folder)]
    names = {BANK, REFERENCE, *filter(is_kept_file, listed)}
    contents = store.read_many([f"{folder}{name}" for name in sorted(names)])
    files: dict[str, bytes] = {}
    for key, data in contents.items():
        name = key.removeprefix(folder)
        if isinstance(data, Exception) and not isinstance(data, FileNotFoundError):
            raise data
        if name in (BANK, REFERENCE) and (fault := _find_fault(record, name, data)):
            raise _damaged(record, fault)
        if isinstance(data, bytes):
            files[name] = data
    return files


def is_kept_file(name: str) -> bool:
    """Return whether a name is that of a file that belongs to a bank wherever it is kept."""
    return name in (BANK, REFERENCE, HISTORY, PREVIEW, ALBUM) or _ALBUM_PICTURE.fullmatch(name) is not None


def load_bank(store: Store, record: BankRecord) -> AnyBank:
    """Fetch a registered bank, and check that its bytes are those that were registered.

    Raises:
        BankError: The bank's file is missing or damaged, or is not the one that was registered.
        OSError: The store failed.
    """
    from artbank.bank.lora_bank import read_bank

    return read_bank(_read_bank(store, record))


def load_bank_file(store: Store, record: BankRecord) -> BankFile:
    """Fetch a registered bank as its file holds it, without PyTorch.

    Raises:
        BankError: As `load_bank` does.
        OSError: The store failed.
    """
    from artbank.bank.bank_file import read_bank_file

    return read_bank_file(_read_bank(store, record))


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
        BankError: The card is missing, or is no text.
        OSError: The store failed.
    """
    data = _read(store, record, CARD)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _damaged(record, f"{file_key(record, CARD)} is damaged: {error}") from error


def find_damage(store: Store, record: BankRecord) -> str | None:
    """Return why a registered bank cannot be used, or None; reads the two files that stylizing needs.

    Raises:
        OSError: The store failed.
    """
    contents = store.read_many([file_key(record, name) for name in (BANK, REFERENCE)])
    for name, data in zip((BANK, REFERENCE), contents.values(), strict=True):
        if isinstance(data, Exception) and not isinstance(data, FileNotFoundError):
            raise data
        if fault := _find_fault(record, name, data):
            return fault
    return None


def training_name(collection: str, bank_id: str) -> str:
    """Return the start of the keys of a training's checkpoint and leases."""
    return f"{CHECKPOINTS}/{collection}/{bank_id}"


@dataclass(frozen=True)
class CheckpointFile:
    """The file of one bank's checkpoint in the store; see `bank.checkpoint.CheckpointIO`."""

    store: Store
    collection: str
    bank_id: str

    @property
    def name(self) -> str:
        """Start of the keys of this checkpoint and of the leases of its training."""
        return training_name(self.collection, self.bank_id)

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


def _find_fault(record: BankRecord, name: str, data: bytes | Exception) -> str | None:
    """Return what is wrong with the content of a bank's weights or reference, or None."""
    key = file_key(record, name)
    if isinstance(data, Exception):
        return f"{key} is gone from the store"
    if name == BANK:
        is_registered = full_hash(data) == record.weights_sha256
        return None if is_registered else f"{key} is not the file that was registered"
    try:
        parse_header(data)
    except ValueError as error:
        return f"{key} is damaged: {error}"
    return None


def _read_bank(store: Store, record: BankRecord) -> bytes:
    """Return the bytes of a bank's file, checked to be those that were registered."""
    data = _read(store, record, BANK)
    if fault := _find_fault(record, BANK, data):
        raise _damaged(record, fault)
    return data


def _damaged(record: BankRecord, fault: str) -> BankError:
    return BankError(f"bank {record.name}: {fault}; restore it, or train the collection again")


def _read(store: Store, record: BankRecord, name: str) -> bytes:
    try:
        return store.read(file_key(record, name))
    except FileNotFoundError as error:
        raise _damaged(record, f"{file_key(record, name)} is gone from the store") from error

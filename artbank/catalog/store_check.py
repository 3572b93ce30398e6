"""Check the store of a catalog: that registered banks are whole, and that killed runs have left nothing behind.

<store>/catalog/...      rows and events
        banks/...        files of banks
        checkpoints/...  checkpoints and leases of trainings

Checking changes nothing; `delete_remains` deletes what no run needs. Runs may train meanwhile: files of a bank whose
lease is held are left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from artbank.catalog.bank_files import (
    BANK,
    BANKS,
    CARD,
    CHECKPOINTS,
    bank_folder,
    file_key,
    files_id,
    find_damage,
    hash_files,
    training_name,
)
from artbank.catalog.catalog import Catalog
from artbank.records.bank_records import BankRecord
from artbank.store.heartbeats import find_leases, parse_key
from artbank.store.objects import Store

PROBLEMS = {
    "unusable_bank": "restore its file, or let the next `artbank train` train the collection anew",
    "altered_files": "the bank can be used, but its files are not those that were registered; restore them",
    "bad_row": "restore the file, or move it out of the catalog; training registers a bank without a row again",
}
"""The kinds of problem, and what to do about each."""

NOTES = {
    "held_lease": "a run trains this bank, or was killed on another machine; the next training takes over by itself",
    "open_checkpoint": "the next training of the same artworks and recipe resumes from it; delete it to start anew",
    "settled_checkpoint": "its bank is registered; the next `artbank train` or --repair deletes it",
    "settled_lease": "its bank is registered; the next `artbank train` or --repair deletes it",
    "abandoned_lease": "its process has ended; the next training takes over, --repair deletes it",
    "unnamed_file": "a killed run wrote it for a bank that it did not register; --repair deletes it",
    "leftover": "a write stopped halfway here; the next `artbank train` or --repair deletes the file",
}
"""The kinds of note: findings that are no problem."""

_REMAINS = ("settled_checkpoint", "settled_lease", "abandoned_lease", "unnamed_file", "leftover")
_OLD_SECONDS = 3600.0  # no write takes longer
_PAGE = "index.html"


@dataclass(frozen=True)
class StoreFinding:
    """One finding about a store.

    Attributes:
        kind: A key of `PROBLEMS` or `NOTES`.
        key: The object.
        text: More about it; may be empty.
    """

    kind: str
    key: str
    text: str = ""

    @property
    def is_problem(self) -> bool:
        """Whether something must be done about it."""
        return self.kind in PROBLEMS


@dataclass(frozen=True)
class StoreReport:
    """The findings about a store, sorted by kind and key; `num_banks` is the number of readable rows."""

    num_banks: int
    findings: tuple[StoreFinding, ...]

    @property
    def problems(self) -> list[StoreFinding]:
        """The findings that something must be done about."""
        return [finding for finding in self.findings if finding.is_problem]


def check_store(store: Store, *, quick: bool = False) -> StoreReport:
    """Check the catalog, the files of all banks, and the remains of trainings.

    Args:
        store: The store of the catalog.
        quick: Read no file of a bank; only tell which ones are missing.

    Raises:
        OSError: The store failed.
    """
    banks, bad_rows = Catalog(store).inspect()
    listed = [stored.key for stored in store.scan(BANKS)]
    trainings = _find_trainings(store)
    leases = _judge_leases(store, trainings)
    unknown = {name.replace(CHECKPOINTS, BANKS, 1) for name, kind in leases.items() if kind == "held_lease"}
    unknown -= {bank_folder(bank.collection, bank.bank_id) for bank in banks}  # no other row can be created
    unknown |= {f"{BANKS}/{key.partition('=')[2].removesuffix('.parquet')}" for key in bad_rows}
    findings = [
        *(StoreFinding("bad_row", key, text) for key, text in bad_rows.items()),
        *_check_banks(store, banks, listed, quick=quick),
        *_check_trainings(trainings, leases, banks),
        *_find_unnamed(listed, banks, unknown),
        *(StoreFinding("leftover", key) for key in store.list_leftovers(older_than_seconds=_OLD_SECONDS)),
    ]
    return StoreReport(len(banks), tuple(sorted(findings, key=lambda finding: (finding.kind, finding.key))))


def delete_remains(store: Store, report: StoreReport) -> int:
    """Delete what killed runs left and no run needs; returns the number of objects."""
    keys = [finding.key for finding in report.findings if finding.kind in _REMAINS]
    store.delete_many(keys)
    return len(keys)


def delete_settled(store: Store, banks: Iterable[BankRecord]) -> None:
    """Delete checkpoints and leases of registered banks, and files of writes that were killed.

    A run that is killed between a bank's row and its clean-up leaves them, and no other run looks at that bank again.

    Args:
        store: The store of the catalog.
        banks: All registered banks.

    Raises:
        OSError: The store failed.
    """
    names = {training_name(bank.collection, bank.bank_id) for bank in banks}
    settled = [key for name, keys in _find_trainings(store).items() if name in names for key in keys]
    store.delete_many([*settled, *store.list_leftovers(older_than_seconds=_OLD_SECONDS)])


def _find_trainings(store: Store) -> dict[str, list[str]]:
    """Return the keys of checkpoints and leases, by the name of their training."""
    trainings: dict[str, list[str]] = defaultdict(list)
    for stored in store.scan(CHECKPOINTS):
        trainings[parse_key(stored.key) or stored.key.removesuffix(".safetensors")].append(stored.key)
    return trainings


def _judge_leases(store: Store, trainings: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the kind of each lease by the name of its training."""
    if not any(parse_key(key) for keys in trainings.values() for key in keys):
        return {}
    is_dead_lease = {parse_key(key): is_dead for key, is_dead in find_leases(store, CHECKPOINTS).items()}
    return {name: "abandoned_lease" if is_dead else "held_lease" for name, is_dead in is_dead_lease.items() if name}


def _check_trainings(
    trainings: Mapping[str, list[str]], leases: Mapping[str, str], banks: Iterable[BankRecord]
) -> Iterator[StoreFinding]:
    registered = {training_name(bank.collection, bank.bank_id) for bank in banks}
    for name, keys in trainings.items():
        for key in keys:
            if parse_key(key):
                yield StoreFinding("settled_lease" if name in registered else leases.get(name, "held_lease"), key)
            else:
                yield StoreFinding("settled_checkpoint" if name in registered else "open_checkpoint", key)


def _check_banks(
    store: Store, banks: Iterable[BankRecord], listed: Iterable[str], *, quick: bool
) -> Iterator[StoreFinding]:
    keys = set(listed)
    files: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        files["/".join(key.split("/")[:4])].append(key)
    for bank in banks:
        key = file_key(bank)
        fault = f"{key} is gone from the store" if key not in keys else None
        if fault is None and not quick:
            fault = find_damage(store, bank)
        if fault:
            yield StoreFinding("unusable_bank", key, f"{bank.name}: {fault}")
        elif files_id(bank) and not quick and not _is_whole(store, bank, files[key.rpartition("/")[0]]):
            yield StoreFinding("altered_files", key.rpartition("/")[0], bank.name)


def _is_whole(store: Store, bank: BankRecord, keys: Iterable[str]) -> bool:
    """Return whether the files of a bank have the hash that their folder is named by."""
    folder = file_key(bank).removesuffix(BANK)
    hashes = store.hash_many([key for key in keys if key != file_key(bank, CARD)])
    digests = {key.removeprefix(folder): digest or "" for key, digest in hashes.items()}
    return hash_files(digests, bank.created_at) == files_id(bank)


def _find_unnamed(
    listed: Iterable[str], banks: Iterable[BankRecord], unknown: Container[str]
) -> Iterator[StoreFinding]:
    """Yield the files of banks that no row names.

    Args:
        listed: The keys of all files of banks.
        banks: The registered banks.
        unknown: Folders of banks that are being trained, or whose row cannot be read.
    """
    folders = {bank_folder(bank.collection, bank.bank_id): bank for bank in banks}
    for key in listed:
        folder = "/".join(key.split("/")[:3])
        key_in_folder = key.removeprefix(f"{folder}/")
        bank = folders.get(folder)
        if folder in unknown or key_in_folder == key or (bank is not None and _is_named(bank, key_in_folder)):
            continue
        yield StoreFinding("unnamed_file", key)


def _is_named(bank: BankRecord, key_in_folder: str) -> bool:
    """Return whether a bank's row names a file, by its key below the bank's folder; the page needs no name."""
    folder = files_id(bank)
    if folder:
        return key_in_folder == _PAGE or key_in_folder.startswith(f"{folder}/")
    return "/" not in key_in_folder or key_in_folder.startswith("album/")

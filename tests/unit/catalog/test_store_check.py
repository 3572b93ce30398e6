"""A check of a store finds damaged banks and what killed runs left, and deletes only the latter."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from artbank.catalog.bank_files import BANK, CARD, REFERENCE, bank_folder, file_key, hash_files
from artbank.catalog.catalog import Catalog
from artbank.catalog.store_check import NOTES, check_store, delete_remains, delete_settled
from artbank.records.bank_records import BankRecord
from artbank.store.leases import Contender
from artbank.store.objects import Store
from tests.support.rows import bank_record, register

REFERENCE_FILE = b"\x02\0\0\0\0\0\0\0{}"
AT = datetime(2026, 1, 1, tzinfo=UTC)


def add_bank(store: Store, number: int, *, is_of_older_version: bool = False) -> BankRecord:
    """Register a bank with files, laid out as training leaves them; its weights are never parsed."""
    files = {BANK: b"weights", REFERENCE: REFERENCE_FILE, "album/a.webp": b"picture"}
    digests = {name: hashlib.sha256(body).hexdigest() for name, body in files.items()}
    bank_id = f"{number:016x}"
    own = bank_folder("monet", bank_id) + ("" if is_of_older_version else f"/{hash_files(digests, AT)}")
    record = bank_record(
        bank_id, created_at=AT, weights_uri=store.uri_of(f"{own}/{BANK}"), weights_sha256=digests[BANK]
    )
    bodies = {f"{own}/{name}": body for name, body in {**files, CARD: b"card"}.items()}
    store.write_many({**bodies, f"{bank_folder('monet', bank_id)}/index.html": b"page"})
    return register(Catalog(store), record)


@pytest.fixture
def store(store_uri: str) -> Store:
    return Store.open(store_uri)


def kinds(store: Store, **options: bool) -> list[tuple[str, str]]:
    return [(finding.kind, finding.key) for finding in check_store(store, **options).findings]


def leave_killed_training(store: Store, name: str) -> None:
    """Let a process take the lease of a training and die."""
    code = (
        "import os, sys; from artbank.store.leases import Contender; from artbank.store.objects import Store\n"
        "assert Contender(Store.open(sys.argv[1]), sys.argv[2], 90).try_acquire(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, store.uri, name])


def test_nothing_is_wrong_with_banks_as_training_leaves_them(store: Store) -> None:
    assert check_store(store).num_banks == 0
    add_bank(store, 1)
    add_bank(store, 2, is_of_older_version=True)
    Catalog(store).promote("monet@1")
    report = check_store(store)
    assert (report.num_banks, report.findings) == (2, ())


@pytest.mark.parametrize(
    ("name", "body", "kind", "quick_kind"),
    [
        (BANK, None, "unusable_bank", "unusable_bank"),
        (BANK, b"other", "unusable_bank", None),
        (REFERENCE, None, "unusable_bank", None),
        (REFERENCE, b"torn", "unusable_bank", None),
        ("album/a.webp", b"other", "altered_files", None),
        ("album/a.webp", None, "altered_files", None),
        (CARD, b"another text", None, None),
    ],
)
def test_lost_and_altered_files_of_a_bank_are_found(
    tmp_path: Path, name: str, body: bytes | None, kind: str | None, quick_kind: str | None
) -> None:
    store = Store.open(str(tmp_path))
    bank = add_bank(store, 1)
    add_bank(store, 2)
    if body is None:
        store.delete_many([file_key(bank, name)])
    else:
        store.write(file_key(bank, name), body)
    found = check_store(store)
    assert [finding.kind for finding in found.problems] == ([kind] if kind else [])
    assert all("monet@1" in finding.text for finding in found.problems)
    assert [one for one, _ in kinds(store, quick=True)] == ([quick_kind] if quick_kind else [])


def test_what_runs_left_is_found_and_deleted_and_nothing_else(store: Store) -> None:
    bank = add_bank(store, 1)
    before = {stored.key for stored in store.list()}
    registered = f"checkpoints/monet/{bank.bank_id}"
    held = Contender(store, "checkpoints/monet/held", 90).try_acquire()
    assert held is not None
    remains = {
        f"{registered}.safetensors": "settled_checkpoint",
        f"{registered}.lease-000001": "settled_lease",
        f"banks/monet/{bank.bank_id}/{'0' * 16}/{BANK}": "unnamed_file",
        f"banks/monet/{'9' * 16}/{'0' * 16}/{BANK}": "unnamed_file",
        f"banks/monet/{'8' * 16}/{BANK}": "unnamed_file",
    }
    kept = {
        held.key: "held_lease",
        "checkpoints/monet/open.safetensors": "open_checkpoint",
        "checkpoints/monet/held.safetensors": "open_checkpoint",
    }
    store.write_many(dict.fromkeys([*remains, *(key for key in kept if "lease" not in key)], b"[]"))
    store.write(f"banks/monet/held/{'0' * 16}/{BANK}", b"being registered")
    report = check_store(store)
    assert {finding.key: finding.kind for finding in report.findings} == remains | kept
    assert not report.problems and {finding.kind for finding in report.findings} <= NOTES.keys()
    assert delete_remains(store, report) == len(remains)
    assert dict(map(reversed, kinds(store))) == kept
    assert before <= {stored.key for stored in store.list()}


def test_a_killed_training_and_a_torn_write_are_found_and_deleted(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    leave_killed_training(store, "checkpoints/monet/killed")
    torn = f".{'a' * 16}{'0' * 16}00000001.tmp"
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / torn).write_bytes(b"")
    os.utime(tmp_path / "catalog" / torn, (1, 1))
    found = [("abandoned_lease", "checkpoints/monet/killed.lease-000001"), ("leftover", f"catalog/{torn}")]
    assert kinds(store) == found
    delete_remains(store, check_store(store))
    assert kinds(store) == []


def test_a_row_that_cannot_be_read_is_named_and_its_files_are_kept(store: Store) -> None:
    bank = add_bank(store, 1)
    row = f"catalog/banks/collection=monet/{bank.bank_id}.parquet"
    store.write(row, b"damaged")
    store.write("catalog/events/collection=monet/1-a.parquet", b"damaged")
    report = check_store(store)
    assert [(one.kind, one.key) for one in report.findings] == [
        ("bad_row", row),
        ("bad_row", "catalog/events/collection=monet/1-a.parquet"),
    ]
    assert report.num_banks == 0 and all("restore the file" in one.text for one in report.problems)


def test_the_next_training_deletes_what_is_settled(store: Store) -> None:
    bank = add_bank(store, 1)
    settled = [f"checkpoints/monet/{bank.bank_id}.{end}" for end in ("safetensors", "lease-000001", "lease-000002")]
    kept = ["checkpoints/monet/open.lease-000001", "checkpoints/monet/open.safetensors"]
    store.write_many(dict.fromkeys([*settled, *kept], b"[]"))
    delete_settled(store, [bank])
    assert [stored.key for stored in store.list("checkpoints")] == kept
